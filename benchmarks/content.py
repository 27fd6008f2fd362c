"""Where FID is lost on birdworld: to what the images show, or to how they show it? Prints a JSON object last.

python -m benchmarks.content [--run ours] [--seed 0] [--samples 5000]     (in the repository's root, PYTHONPATH=src)

The world itself draws birds with the attributes that the evaluator reads off the samples, with those that an ideal reader of their
captions would give them (unmentioned ones drawn as frequent as in training), with the reader's but for one attribute, and with the
samples' but for what their captions mention, or do not. Each set of drawings is held against the test images, as the samples are.
Needs Table 1 to have been made. Keys: `samples` FID of the samples; `shown` of drawings of what they show (the rest is owed to how
they look); `mended` the same with the reader's attributes where the caption mentions them, and where it does not; `shuffled` the
same with what is unmentioned dealt out anew among the samples, each attribute by itself, so that nothing goes with anything else
but all is as frequent as before; `reader` of the ideal reader's; `remembered` of a reader who gives a bird what its retrieved
neighbour has where the caption is silent, so that what went together in training still does; `cost` by attribute, what the reader
loses with this one as the samples show it; `unread` the same with it drawn as in training, whatever the caption says: what `cost`
has beyond that, is owed to values that are shown too often; `most`, by attribute, the value that is so most of all, with the per
cent of our samples and of the training images that show it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor
from typer import Option

from benchmarks.drawn import drawn
from memgan import steps
from memgan.artifacts import load_tensors
from memgan.data.loader import to_tensor
from memgan.data.shards import ImageFolder
from memgan.data.worlds import birdworld
from memgan.data.worlds.packing import rng_for
from memgan.encoders.judges import load_evaluator
from memgan.metrics.attributes import allowed
from memgan.metrics.fidelity import frechet, statistics, statistics_of
from memgan.metrics.samples import Samples
from memgan.params.data import Images
from memgan.params.load import Settings

DATASET, RESULTS, BATCH = "birdworld", Path("results/birdworld"), 100
Birds = list[dict[str, str]]  # attributes, a picture each


class Studio:
    """Draws birds as the data set's and tells their FID to its test images."""

    def __init__(self) -> None:
        settings = Settings(DATASET)
        self.images, world = settings.block("images", Images), settings.source().world
        assert world is not None  # birdworld is drawn
        self.world, self.seed = world, settings.value("seed")
        self.judge = load_evaluator(RESULTS / "evaluator.safetensors").eval()
        self.real = statistics_of(load_tensors(RESULTS / "reference.safetensors")[0], "test")

    @torch.no_grad()
    def features(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """uint8 [H, W, 3] each -> [n, D]."""
        batches = to_tensor(list(pictures)).split(BATCH)
        return torch.cat([self.judge.features(batch.contiguous(memory_format=torch.channels_last)) for batch in batches])

    def fid(self, features: Tensor) -> float:
        """To all test images."""
        return round(float(frechet(statistics(features), self.real)), 2)

    def of(self, birds: Birds) -> float:
        """FID of drawings of these birds: poses and shades of their own, then through the steps of every raw image."""
        return self.fid(self.features([self._picture(i, bird) for i, bird in enumerate(birds)]))

    def _picture(self, number: int, bird: dict[str, str]) -> np.ndarray:
        return drawn(bird, rng_for(self.seed, "benchmarks", "content", number), self.world, self.images)


def main(
    run: Annotated[str, Option(help="entry under `runs`")] = "ours",
    seed: Annotated[int, Option(help="its seed")] = 0,
    samples: Annotated[int, Option(help="how many to look at, the first")] = 5000,
) -> None:
    """Measures, and prints the figures."""
    steps.start_log(None)
    studio, rng = Studio(), np.random.default_rng(0)
    made = Samples(sorted((RESULTS / run / str(seed) / "samples").glob("[0-9]*.tar")))
    count, space = min(samples, len(made)), studio.judge.heads
    features = studio.features([made.image(i) for i in range(count)])
    seen = {name: logits.argmax(dim=1).tolist() for name, logits in studio.judge.judged(features).items()}
    masks = allowed([birdworld.read_caption(caption) for caption in made.column("caption")[:count]], space)
    training = ImageFolder(RESULTS / "images", "train").rows
    known = {name: np.array([values.index(row["attributes"][name]) for row in training]) for name, values in space.items()}
    often = {name: np.bincount(known[name], minlength=len(values)) for name, values in space.items()}

    def draw(name: str, mask: np.ndarray) -> str:
        chances = often[name] * mask
        return space[name][rng.choice(len(chances), p=chances / chances.sum())]

    shown = [{name: space[name][seen[name][i]] for name in space} for i in range(count)]
    reader = [{name: draw(name, masks[name][i]) for name in space} for i in range(count)]
    unread = [{name: draw(name, np.ones(len(space[name]))) for name in space} for _ in range(count)]
    figures = {"samples": studio.fid(features), "shown": studio.of(shown), "reader": studio.of(reader), "n": count}
    figures["mended"] = {}
    for key, told in (("mentioned", True), ("unmentioned", False)):
        better = [
            {name: bird[name] if masks[name][i].all() != told else shown[i][name] for name in space}
            for i, bird in enumerate(reader)
        ]
        figures["mended"][key] = studio.of(better)
    near = [training[row]["attributes"] for row in made.column("neighbour")[:count]]
    figures["shuffled"] = studio.of(shuffled(shown, masks, rng))
    figures["remembered"] = studio.of(
        [
            {name: theirs[name] if masks[name][i].all() else bird[name] for name in space}
            for i, (bird, theirs) in enumerate(zip(reader, near, strict=True))
        ]
    )
    for key, others in (("cost", shown), ("unread", unread)):
        figures[key] = {}
        for name in space:
            mixed = [bird | {name: other[name]} for bird, other in zip(reader, others, strict=True)]
            figures[key][name] = round(studio.of(mixed) - figures["reader"], 2)
    figures["most"] = {name: most(values, seen[name], often[name]) for name, values in space.items()}
    print(json.dumps(figures))


def shuffled(birds: Birds, masks: dict[str, np.ndarray], rng: np.random.Generator) -> Birds:
    """What their captions do not mention, dealt out anew among them, each attribute by itself. masks: as `allowed` gives them."""
    dealt = [bird.copy() for bird in birds]
    for name, mask in masks.items():
        silent = np.flatnonzero(mask.all(axis=1))
        for to, source in zip(silent, rng.permutation(silent), strict=True):
            dealt[to][name] = birds[source][name]
    return dealt


def most(values: Sequence[str], seen: list[int], often: np.ndarray) -> tuple[str, float, float]:
    """The value that is shown most beyond its frequency in training; per cent of ours, per cent of the training images."""
    ours, theirs = (100 * counts / counts.sum() for counts in (np.bincount(seen, minlength=len(values)), often))
    place = int((ours - theirs).argmax())
    return values[place], round(float(ours[place]), 1), round(float(theirs[place]), 1)


if __name__ == "__main__":
    typer.run(main)
