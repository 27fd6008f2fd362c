"""The evaluator (SPEC 12): where ImageNet's Inception is no fair judge, a network trained on the data set scores its images.

python -m memgan.encoders.evaluator --images ... --vocabulary ... --dataset ... --out evaluator.safetensors
"""

from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from typer import Option

from memgan import artifacts, steps
from memgan.device import beside, placed
from memgan.encoders import fit
from memgan.encoders.examples import Renderings, examples
from memgan.encoders.imagenet import imagenet_weights
from memgan.encoders.judges import STEP, FineTuned, Judge, judge
from memgan.encoders.vocabulary import Vocabulary
from memgan.params import encoders
from memgan.params.data import Images, World
from memgan.params.load import Settings
from memgan.signals import Stop
from memgan.state import TrainingState

FRESH = 500  # renderings on which the trained evaluator of a world is tried


def worn(images: Tensor) -> Tensor:
    """Images [B, 3, H, W] a little blurred, noisy and off in colour, each in its own measure, as generated ones are."""
    amount = torch.rand(6, len(images), 1, 1, 1)
    blurred = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    images = torch.lerp(images, blurred, 0.8 * (amount[0] - 0.4).clamp_min(0) / 0.6)
    tint = 0.05 * torch.randn(len(images), 3, 1, 1)
    images = images * (1 + 0.1 * (2 * amount[1] - 1)) + 0.1 * (2 * amount[2] - 1) + tint
    return images + 0.1 * (amount[3] - 0.3).clamp_min(0) * torch.randn_like(images)


def train(
    network: Judge,
    source,
    params: encoders.Evaluator,
    seed: int,
    state: TrainingState | None = None,
    stop: Stop | None = None,
) -> None:
    """Adam, rate falling by half a cosine; the loss is the mean of the heads' cross entropies.

    A network that is trained from nothing sees images that are `worn`; one that ImageNet has trained, real ones as they are.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=params.lr)
    total = round(params.epochs * source.steps_per_epoch)
    kept = fit.Kept(state, network=network, optimizer=optimizer)
    for epoch, start, end in kept.spans(params.epochs, source.steps_per_epoch):
        began = perf_counter()
        for step in range(start, end):
            images, targets = source.batch_at(step)
            fit.reseed(seed, "evaluator", step)
            fit.set_lr(optimizer, fit.cosine_lr(params.lr, step, total))
            shown = worn(images) if params.network == "small" else images
            images, targets = beside(network, shown), beside(network, targets)
            heads = network.logits(images).values()
            loss = sum(F.cross_entropy(logits, targets[:, i]) for i, logits in enumerate(heads)) / len(network.heads)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            kept.losses.append(fit.checked(loss.item(), "evaluator", step))
            kept.after(step, stop)
        steps.log.info("evaluator: epoch %d: loss %.3f, %.0f s", epoch + 1, np.mean(kept.losses), perf_counter() - began)


@torch.no_grad()
def accuracy(network: Judge, images: Tensor, targets: Tensor) -> dict[str, float]:
    """Share of right answers of each head, for images [n, 3, size, size] and values int64 [n, heads]."""
    answers = network.eval().logits(beside(network, images)).values()
    right = [float((logits.argmax(dim=1).cpu() == targets[:, i]).float().mean()) for i, logits in enumerate(answers)]
    return dict(zip(network.heads, right, strict=True))


def main(
    images: Annotated[Path, Option(help="preprocessed images, a folder")],
    vocabulary: Annotated[Path, Option(help="words of the training captions, JSON")],
    dataset: Annotated[str, Option(help="entry under `data` of params.yaml")],
    out: Annotated[Path, Option(help="evaluator to write, safetensors")],
) -> None:
    """Trains the evaluator of a data set."""
    settings = Settings(dataset)
    params, geometry = settings.block("evaluator", encoders.Evaluator), settings.block("images", Images)
    seed, world = settings.value("seed"), settings.source().world
    steps.set_threads(settings.value("threads"))
    used = {"evaluator": params.model_dump(), "images": geometry.model_dump()}
    manifest = artifacts.manifest(STEP, used, {"images": images, "vocabulary": vocabulary}, seed)
    with fit.resumed(out, manifest) as (state, stop):
        if state.finished(out):
            return
        source = examples(world, images, geometry, Vocabulary.load(vocabulary), params, seed)
        fit.reseed(seed, "evaluator")
        network = judge(params, geometry.size, source.heads)
        if isinstance(network, FineTuned):
            network.trunk.load_imagenet(imagenet_weights("inception_v3"))
        network = placed(network)
        train(network, source, params, seed, state, stop)
        manifest |= {"heads": source.heads} | (tried(network, world, geometry, seed) if world else {})
        artifacts.save_tensors(out, network.state_dict(), manifest)
        state.finish(out)


def tried(network: Judge, world: World, geometry: Images, seed: int) -> dict[str, Any]:
    """`accuracy` of each head on fresh renderings."""
    fresh = Renderings(world, geometry, FRESH, FRESH, artifacts.seed_of(seed, "evaluator trial"))
    right = accuracy(network, *fresh.batch_at(0))
    steps.log.info("evaluator: right on %d fresh renderings: %.1f %%", FRESH, 100 * np.mean(list(right.values())))
    return {"accuracy": {name: round(share, 4) for name, share in right.items()}}


if __name__ == "__main__":
    steps.run(main)
