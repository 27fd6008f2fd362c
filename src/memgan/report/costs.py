"""What training costs, counted on PyTorch's `meta` device: multiply-adds of a step, and the memory that it holds.

Memory is what is certain before a run: weights, gradients and Adam's moments, and the tensors that autograd keeps for the backward
pass. A GPU needs more: its libraries' own (about 1 GB) and what they borrow while they work, so plan with a quarter on top.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from memgan.device import device
from memgan.encoders.image import ImageEncoder
from memgan.gan.discriminator import Discriminator
from memgan.gan.generator import Generator, Inputs
from memgan.params.data import Images
from memgan.params.encoders import Damsm, Features
from memgan.params.gan import Gan, Train
from memgan.params.load import Settings

FLOAT = 4  # bytes
ADAM = 4  # copies of a trained parameter: itself, gradient, two moments


def step_multiply_adds(networks: Mapping[str, int], train: Train) -> int:
    """Multiply-adds of a GAN step, for one image, from those of one forward pass of each network.

    Backward is twice forward: once for the weights, once for the layer's input. The generator: forward and backward. Each
    discriminator: forward and backward on real and on fake images; then forward and, for the images only, backward in the
    generator's turn; the gradient penalty, every `r1_interval` steps, about three times its forward pass. DAMSM's image encoder is
    frozen: forward, and backward for the images. The text encoder: forward.
    """
    discriminators = sum(count for name, count in networks.items() if name.startswith("discriminator"))
    penalty = 3 * discriminators / train.r1_interval if train.r1_gamma > 0 else 0
    judge = 2 * networks["image encoder"] if train.damsm_weight > 0 else 0
    return round(3 * networks["generator"] + (2 * 3 + 2) * discriminators + penalty + judge + networks["text encoder"])


def training_memory(settings: Settings) -> dict[str, int]:
    """Bytes that GAN training holds at its peak: {"weights": with gradients, moments and the average, "kept": for backward}."""
    gan, train, images = settings.block("gan", Gan), settings.block("train", Train), settings.block("images", Images)
    damsm, channels, batch = settings.block("damsm", Damsm), settings.block("features", Features).channels, train.batch
    with torch.device("meta"):
        generator = Generator(gan, images, damsm.dimension, channels)
        sides = [images.size >> (gan.stages - 1 - stage) for stage in range(gan.stages)]
        judges = [Discriminator(side, gan, settings.value("pooling"), damsm.dimension) for side in sides]
        encoder = ImageEncoder(damsm, images.size).eval().requires_grad_(False)
        given = Inputs(*(torch.empty(batch, n) for n in (damsm.dimension, damsm.dimension, gan.z, gan.condition)), torch.empty(0))
        given = given._replace(feature=torch.empty(batch, channels, images.feature_side, images.feature_side))
        sentence = torch.empty(batch, damsm.dimension)
        made = kept(lambda: generator(given), generator)
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
        turn += kept(lambda: encoder(pictures[-1]), encoder) if train.damsm_weight > 0 else 0
    weights = (ADAM + 1) * parameters(generator) + ADAM * sum(map(parameters, judges)) + parameters(encoder)
    return {"weights": FLOAT * weights, "kept": made + max([turn, *own])}


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


def widest(network: nn.Module, run: Callable[[], Any]) -> int:
    """Bytes of the largest input and output of any layer: what a pass without gradients holds beside the weights."""
    most = 0

    def look(_: nn.Module, given: tuple[Any, ...], made: Any) -> None:
        nonlocal most
        both = [*given, *(made if isinstance(made, tuple | list) else [made])]
        most = max(most, sum(tensor.numel() * tensor.element_size() for tensor in both if isinstance(tensor, Tensor)))

    hooks = [module.register_forward_hook(look) for module in network.modules() if not list(module.children())]
    with torch.no_grad():
        run()
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
