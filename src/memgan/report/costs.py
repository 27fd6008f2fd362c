"""What training costs, counted on PyTorch's `meta` device: multiply-adds of a step, and the memory that it holds.

Memory is what is certain before a run: weights, gradients and Adam's moments, and the tensors that autograd keeps for the backward
pass or, where there is none, what the widest layer takes and gives.
A GPU needs more: its libraries' own (about 1 GB) and what they borrow while they work, so plan with a quarter on top.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from memgan.device import device
from memgan.encoders.feature_network import FeatureNetwork
from memgan.encoders.image import ImageEncoder, InceptionTrunk
from memgan.encoders.judges import judge
from memgan.encoders.matching import Wrong, damsm_loss
from memgan.encoders.text import TextEncoder
from memgan.gan.discriminator import Discriminator
from memgan.gan.generator import Generator, Inputs
from memgan.params.data import Images
from memgan.params.encoders import Damsm, Evaluator, Features
from memgan.params.gan import Gan, Train
from memgan.params.load import Settings

FLOAT = 4  # bytes
ADAM = 4  # copies of a trained parameter: itself, gradient, two moments
UNKNOWN = {"unknown": ("one",)}  # heads of the evaluator, whose size is next to nothing


def step_multiply_adds(networks: Mapping[str, int], train: Train, online: bool = False) -> int:
    """Multiply-adds of a GAN step, for one image of `train.batch`, from those of one forward pass of each network.

    "of v" among the networks is the generator's share that depends on v alone.

    Backward is twice forward: once for the weights, once for the layer's input. The generator: forward and backward, and forward
    alone in every turn of the discriminators but the last. Each discriminator, in each turn: forward and backward on real and on
    fake images, and the gradient penalty, every `r1_interval` turns, about three times its forward pass; then forward and, for
    the images only, backward in the generator's turn. DAMSM's image encoder is frozen: forward, and backward for the images, of
    the last stage or, for L_DAMSM only, of all. The diversity loss draws once more, of the same v, and has the encoder look at it.
    The text encoder: forward in each turn, and for the foils; so the network of v where it is asked `online`, which retrieved
    neighbours need not.
    """
    turns = train.d_steps
    discriminators = [count for name, count in networks.items() if name.startswith("discriminator")]
    penalty = turns * 3 * sum(discriminators) / train.r1_interval if train.r1_gamma > 0 else 0
    matched = 2 * networks["image encoder"] * stages_matched(train, len(discriminators))
    asked = networks["text encoder"] * (turns + train.damsm_foils)
    asked += turns * networks["network of v"] if online and train.neighbours == "own" else 0
    asked += networks["generator"] - networks["of v"] + networks["image encoder"] if train.diversity_weight else 0
    return round((turns + 2) * networks["generator"] + (turns * 2 * 3 + 2) * sum(discriminators) + penalty + matched + asked)


def stages_matched(train: Train, stages: int) -> int:
    """How many stages' images DAMSM's image encoder sees in a step, of those that are trained."""
    if not train.damsm_weight and not train.diversity_weight:
        return 0
    return stages if train.damsm_weight and train.damsm_stages == "all" else 1


def training_memory(settings: Settings) -> dict[str, int]:
    """Bytes that GAN training holds at its peak: {"weights": with gradients, moments and the average, "kept": for backward}."""
    gan, train, images = settings.block("gan", Gan), settings.block("train", Train), settings.block("images", Images)
    damsm, features, batch = settings.block("damsm", Damsm), settings.block("features", Features), train.batch
    with torch.device("meta"):
        generator = Generator(gan, images, damsm.dimension, features.channels)
        sides = [images.size >> (gan.stages - 1 - stage) for stage in range(gan.stages)]
        judges = [Discriminator(side, gan, settings.value("pooling"), damsm.dimension) for side in sides]
        encoder = ImageEncoder(damsm, images.size).eval().requires_grad_(False)
        given = Inputs(*(torch.empty(batch, n) for n in (damsm.dimension, damsm.dimension, gan.z, gan.condition)), torch.empty(0))
        given = given._replace(feature=torch.empty(batch, features.channels, images.feature_side, images.feature_side))
        sentence = torch.empty(batch, damsm.dimension)
        made = kept(lambda: generator(given), generator)
        if train.diversity_weight:  # what v says is held for the second drawing: scales, which backward needs anyway, and shifts
            made += FLOAT * sum(affine.shift.numel() for affine in generator.look(given.feature) if affine is not None)
        pictures = [torch.empty(batch, 3, side, side, requires_grad=True) for side in sides]

        def judged(network: Discriminator, picture: Tensor, captions: int) -> list[Tensor]:
            seen = network.see(picture)
            return [network.judge(seen), *(network.judge_with(seen, sentence) for _ in range(captions))]

        own = [
            kept(lambda n=n, p=p: judged(n, p, 1 + train.wrong_caption) + judged(n, p, 1), n)
            for n, p in zip(judges, pictures, strict=True)
        ]
        for network in judges:
            network.requires_grad_(False)
        turn = sum(kept(lambda n=n, p=p: judged(n, p, 1), n) for n, p in zip(judges, pictures, strict=True))
        turn += stages_matched(train, gan.stages) * kept(lambda: encoder(pictures[-1]), encoder)
        frozen = parameters(encoder) + (parameters(FeatureNetwork(features, images)) if features.online else 0)
    weights = (ADAM + 1) * parameters(generator) + ADAM * sum(map(parameters, judges)) + frozen
    return {"weights": FLOAT * weights, "kept": made + max([turn, *own])}


def damsm_kept(settings: Settings) -> int:
    """Bytes that a training step of DAMSM keeps for backward, captions at their longest."""
    damsm, size = settings.block("damsm", Damsm), settings.block("images", Images).size
    with torch.device("meta"):
        text, image = TextEncoder(2, damsm), ImageEncoder(damsm, size)
        tokens = torch.zeros(damsm.batch * (1 + damsm.foils), damsm.words, dtype=torch.int64)
        mask, labels = torch.ones_like(tokens, dtype=torch.bool), torch.zeros(damsm.batch, dtype=torch.int64)
        pictures = torch.empty(damsm.batch, 3, size, size)

        def step() -> Tensor:
            # not `text` itself: its packing of captions by their length needs numbers
            words, (last, _) = text.rnn(text.dropout(text.embedding(tokens)))  # [B, L, D], [2, B, D / 2]
            told = words.transpose(1, 2), last.transpose(0, 1).flatten(1), mask
            (*own, shown), wrong = ([part[side] for part in told] for side in (slice(damsm.batch), slice(damsm.batch, None)))
            foils = Wrong.of(*wrong, torch.ones_like(labels, dtype=torch.bool)) if damsm.foils else None
            return damsm_loss(image(pictures), tuple(own), shown, labels, damsm, foils)

        return kept(step, nn.ModuleList([text, image]))


def evaluator_kept(settings: Settings) -> int:
    """Bytes that a training step of the evaluator keeps for backward."""
    params, size = settings.block("evaluator", Evaluator), settings.block("images", Images).size
    with torch.device("meta"):
        network, pictures = judge(params, size, UNKNOWN), torch.empty(params.batch, 3, size, size)
        return kept(lambda: network.logits(pictures), network)


def features_kept(settings: Settings) -> int:
    """Bytes that a training step of the network of v keeps for backward; 0 if that is ImageNet's."""
    params, images = settings.block("features", Features), settings.block("images", Images)
    if params.network != "small":
        return 0
    with torch.device("meta"):
        network, pictures = FeatureNetwork(params, images), torch.empty(params.batch, 3, images.size, images.size)
        return kept(lambda: network(pictures).mean(dim=(2, 3)), network)


def passing(settings: Settings) -> dict[str, int]:
    """Bytes that a pass of one image without gradients holds beside the weights, by network (`widest`)."""
    gan, images, damsm, features = (
        settings.block(name, block) for name, block in (("gan", Gan), ("images", Images), ("damsm", Damsm), ("features", Features))
    )
    sizes = (damsm.dimension,), (damsm.dimension,), (gan.z,), (gan.condition,), (features.channels, *[images.feature_side] * 2)
    with torch.device("meta"):
        picture, given = torch.empty(1, 3, images.size, images.size), Inputs(*(torch.empty(1, *size) for size in sizes))
        generator = Generator(gan, images, damsm.dimension, features.channels)
        evaluator = judge(settings.block("evaluator", Evaluator), images.size, UNKNOWN)
        readers: dict[str, nn.Module] = {
            "image encoder": ImageEncoder(damsm, images.size),
            "network of v": FeatureNetwork(features, images),
        }
        if damsm.image_encoder != "inception_v3":
            readers["inception"] = InceptionTrunk()
        found = {name: widest(network, lambda network=network: network(picture)) for name, network in readers.items()}
        found.setdefault("inception", found["image encoder"])  # which is one
        found["evaluator"] = widest(evaluator, lambda: evaluator.features(picture))
        return found | {"generator": widest(generator, lambda: generator(given))}


def parameters(network: nn.Module) -> int:
    """Their number."""
    return sum(parameter.numel() for parameter in network.parameters())


def kept(run: Callable[[], Any], network: nn.Module) -> int:
    """Bytes that autograd keeps of a forward pass for the backward one, each storage once, without the network's own tensors."""
    own = {tensor.untyped_storage()._cdata for tensor in (*network.parameters(), *network.buffers())}
    with saved() as tensors:
        run()
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(count for storage, count in storages.items() if storage not in own)


@contextmanager
def saved() -> Iterator[list[Tensor]]:
    """Collects the tensors that autograd saves. They are held, so that no storage gets another's address."""
    tensors: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        tensors.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield tensors


@torch.no_grad()
def widest(network: nn.Module, run: Callable[[], Any]) -> int:
    """Bytes of the largest input and output of any layer: what a pass without gradients holds beside the weights."""
    most = 0

    def look(_: nn.Module, given: tuple[Any, ...], made: Any) -> None:
        nonlocal most
        both = [*given, *(made if isinstance(made, tuple | list) else [made])]
        most = max(most, sum(tensor.numel() * tensor.element_size() for tensor in both if isinstance(tensor, Tensor)))

    hooks = [module.register_forward_hook(look) for module in network.eval().modules() if not list(module.children())]
    run()  # in eval mode: batch statistics need more than one image
    for hook in hooks:
        hook.remove()
    return most


def measured_tflops(seconds: float = 2.0) -> float:
    """10^12 floating-point operations a second that this machine does in 3x3 convolutions, forward and backward, in float32."""
    from time import perf_counter

    where = device()
    batch, width, side = (64, 128, 64) if where.type == "cuda" else (8, 64, 32)
    layer = nn.Conv2d(width, width, 3, padding=1, bias=False, device=where)
    images = torch.randn(batch, width, side, side, device=where, requires_grad=True)
    done, began = 0, 0.0
    while not began or perf_counter() - began < seconds:
        layer(images).sum().backward()
        if where.type == "cuda":
            torch.cuda.synchronize()
        done += 1
        if done == 2:  # the first two warm up
            began = perf_counter()
    operations = 2 * 3 * batch * side * side * width * width * 9
    return (done - 2) * operations / (perf_counter() - began) / 1e12
