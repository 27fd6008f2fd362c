"""What a step needs by its algorithm, item by item, from the shapes that pass its layers; the other side of torch's own count."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import Needed, layers_of
from memgan.data.loader import Batch
from memgan.encoders import damsm as training_of_damsm
from memgan.gan.discriminator import Discriminator
from memgan.gan.engine import Engine


def forward_of(networks: dict[str, nn.Module], run: Callable[[], Any]) -> Needed:
    """What one forward pass needs."""
    needed = Needed()
    for name, network in networks.items():
        with layers_of(network) as found:
            run()
        needed.add(f"{name}: forward", sum(gflop for _, gflop, _ in found))
    return needed


def with_gradients(needed: Needed, name: str, found: list[tuple[nn.Module, float, bool]], weights: bool = True) -> None:
    """Adds a pass forward and its gradients: of the weights (if wanted), and of the inputs that depend on something trained."""
    needed.add(f"{name}: forward", sum(gflop for _, gflop, _ in found))
    if weights:
        needed.add(f"{name}: gradients of weights", sum(gflop for _, gflop, _ in found))
    needed.add(f"{name}: gradients of inputs", sum(gflop for _, gflop, wanted in found if wanted))


def needs_of_training(engine: Engine, batch: Batch, v: Tensor) -> Needed:
    """One step without R1: G forward and back; each D on real and on fake images, forward and back, as often as it has a turn, for
    all of which but one G goes forward alone; each D and the image encoder on fake images for G, forward and back without gradients
    of weights; the matching of words with regions; for the diversity loss, the image encoder forward alone once more, and G but for
    what v alone tells it."""
    train = engine.recipe.train
    turns, wrong = train.d_steps, train.wrong_caption
    needed, batch, v = Needed(), batch.every(0, turns), v[::turns]
    texts = engine.reader(batch.captions)
    with layers_of(engine.generator) as found:
        made = engine.generator(engine.inputs(texts, v, torch.Generator().manual_seed(0)))
    with_gradients(needed, "generator", found)
    needed.add("generator: forward", (turns - 1) * sum(gflop for _, gflop, _ in found))
    if train.diversity_weight > 0:
        with layers_of(engine.generator) as of_v:
            engine.generator.look(v)
        needed.add("generator: forward", sum(gflop for _, gflop, _ in found) - sum(gflop for _, gflop, _ in of_v))
    for stage, (network, fake) in enumerate(zip(engine.discriminators, made.images, strict=True), 1):
        for name, images, captions in (
            (f"D{stage} on real", fake.detach(), 1 + wrong),
            (f"D{stage} on fake", fake.detach(), 1),
            (f"D{stage} for G", fake, 1),
        ):
            with layers_of(network) as found:
                seen = network.see(images)
                network.judge(seen)
                for _ in range(captions):
                    network.judge_with(seen, texts.sentence)
            trained = not name.endswith("G")
            shared, sentence = joint(network, len(fake), texts.sentence.shape[1])
            for _ in range(turns if trained else 1):
                with_gradients(needed, name, found, weights=trained)
                needed.add(f"{name}: joint block", (3 if trained else 2) * shared + (2 if trained else 1) * captions * sentence)
    needs_of_encoder_losses(needed, engine, made.images[-1], texts.words)
    return needed


def needs_of_encoder_losses(needed: Needed, engine: Engine, images: Tensor, words: Tensor) -> None:
    """Adds what the image encoder and the matching need for G's `images`, of captions with these `words`."""
    train = engine.recipe.train
    with layers_of(engine.image_encoder) as found:
        regions, _ = engine.image_encoder(images)
    if train.damsm_weight > 0 or train.diversity_weight > 0:
        with_gradients(needed, "image encoder for G", found, weights=False)
    if train.damsm_weight > 0:
        needed.add("words with regions", words_with_regions(regions, words, train.damsm_foils, trained=False))
    if train.diversity_weight > 0:
        needed.add("image encoder: forward", sum(gflop for _, gflop, _ in found))


def joint(network: Discriminator, batch: int, dimension: int) -> tuple[float, float]:
    """GFLOP forward of what the joint block does outside of its layers: once for an image, and once for each of its captions."""
    width = network.encoder.width
    shared = 2.0 * batch * 16 * width * 9 * width  # 3x3 on width x 4 x 4
    sentence = 2.0 * batch * width * 9 * (dimension + 16)  # nine taps of the sentence, summed at 16 places
    return shared / 1e9, sentence / 1e9


def words_with_regions(regions: Tensor, words: Tensor, foils: int, trained: bool) -> float:
    """GFLOP of the matching loss (memgan.encoders.matching): similarities, the regions' own products, the attention's spread over
    them; gradients of the regions, which are both factors of the second, and of the words if they are `trained`. An image meets all
    captions, and the `foils` of its own."""
    batch, dimension, places = len(regions), regions.shape[1], regions[0, 0].numel()
    pairs = batch * (len(words) + foils) * words.shape[2]
    similarity, gram, spread = pairs * places * dimension, batch * places**2 * dimension, pairs * places**2
    return 2.0 * ((2 + trained) * similarity + 3 * gram + 3 * spread) / 1e9


def needs_of_matching(encoders: training_of_damsm.Encoders, batch: Batch) -> Needed:
    """Forward through both encoders; gradients of the weights that are trained, and of the inputs of layers above those."""
    needed, words = Needed(), encoders.params.words
    with layers_of(encoders.image) as found:
        regions, _ = encoders.image(batch.images[-1])
    told = torch.empty(len(batch.captions), encoders.params.dimension, words, device="meta")
    needed.add("words with regions", words_with_regions(regions, told, encoders.params.foils, trained=True))
    needed.add("image encoder: forward", sum(gflop for _, gflop, _ in found))
    needed.add("image encoder: gradients of weights", sum(gflop for layer, gflop, _ in found if layer.weight.requires_grad))
    needed.add("image encoder: gradients of inputs", sum(gflop for _, gflop, wanted in found if wanted))
    return needed
