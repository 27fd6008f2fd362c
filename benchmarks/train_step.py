"""How close training, generation, DAMSM and the extraction of v come to this machine's limit. Prints a JSON object last.

python -m benchmarks.train_step --dataset cub --batch 4 [--mode train|sample|damsm|features]   (repository's root, PYTHONPATH=src)

Networks as params.yaml has them for the data set, untrained; synthetic images, captions and v. Keys: images_per_s; gflop_per_step
counted by torch's flop counter; gflops, the same a second; roofline_gflops, 3x3 convolutions of typical sizes, forward, measured
before and after in the same run; fraction of the two; needed_gflop, itemised: what the algorithm needs, from the layers' shapes;
counted_over_needed, since a fraction alone rewards waste. Lazy R1 is timed in a step of its own and shared out over its interval.
"""

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
import typer
from torch import Tensor
from typer import Option

from benchmarks.measure import Needed, counted, facts, median_seconds, roofline
from benchmarks.needs import forward_of, needs_of_matching, needs_of_training
from memgan import steps
from memgan.allocator import keep_pages
from memgan.data.loader import Batch, pyramid
from memgan.device import device, placed
from memgan.encoders import damsm as training_of_damsm
from memgan.encoders.feature_network import FeatureNetwork
from memgan.encoders.foils import Foils
from memgan.encoders.image import ImageEncoder
from memgan.encoders.text import TextEncoder
from memgan.encoders.vocabulary import Vocabulary
from memgan.gan.arithmetic import Arithmetic
from memgan.gan.engine import Engine
from memgan.gan.generator import Generator, Inputs
from memgan.gan.recipe import Recipe
from memgan.gan.texts import TextReader
from memgan.params.data import Images
from memgan.params.encoders import Damsm, Features
from memgan.params.gan import Gan, Train
from memgan.params.load import Settings
from memgan.weight_gradients import use_products

WORDS = [f"word{k}" for k in range(1000)]
LAST, RIVALS = WORDS[0], WORDS[1:5]  # captions end in a rival and the last word: each of them can be made wrong there


class Case(NamedTuple):
    """What is timed: `work(k)` does step k on `batch` images; `needed` lists the GFLOP of one step."""

    work: Callable[[int], Any]
    needed: Callable[[], Needed]
    rare: Callable[[int], Any] | None = None  # a step that comes once in `interval`
    interval: float = 1


class Bench:
    """The blocks of a data set, and synthetic data of its sizes."""

    def __init__(self, dataset: str, batch: int, changes: dict[str, Any]):
        settings = Settings(dataset, "ours")
        self.gan, self.images, self.damsm = (
            settings.block("gan", Gan),
            settings.block("images", Images),
            settings.block("damsm", Damsm),
        )
        self.features, self.batch = settings.block("features", Features), batch
        self.train = settings.block("train", Train).model_copy(update={"batch": batch} | changes)
        self.vocabulary = Vocabulary(WORDS)
        self.rng = torch.Generator().manual_seed(0)
        torch.manual_seed(0)

    def pictures(self, count: int) -> Tensor:
        """count x 3 x p x p in [-1, 1]."""
        shape = (count, 3, self.images.size, self.images.size)
        return (torch.rand(shape, generator=self.rng) * 2 - 1).to(device(), memory_format=torch.channels_last)

    def v(self, count: int) -> Tensor:
        """count x C x h x h."""
        return torch.randn(count, self.features.channels, *[self.images.feature_side] * 2, generator=self.rng).to(device())

    def given(self, count: int) -> Batch:
        """A batch of the loader's kind."""
        draw = np.random.default_rng(0)
        captions = [" ".join([*draw.choice(WORDS[5:], self.damsm.words - 2), RIVALS[0], LAST]) for _ in range(count)]
        rows = torch.arange(count)
        sides = [self.images.size >> k for k in reversed(range(self.gan.stages))]
        return Batch(pyramid(self.pictures(count), sides), rows, captions, rows, torch.zeros(count, dtype=torch.bool))

    def reader(self) -> TextReader:
        """The text encoder, frozen."""
        encoder = placed(TextEncoder(len(self.vocabulary), self.damsm)).eval().requires_grad_(False)
        return TextReader(self.vocabulary, encoder, self.damsm.words)

    def foils(self, count: int) -> Foils | None:
        """Of captions as they are `given`, if any are asked for."""
        return Foils([[f"{rival} {LAST}"] * 3 for rival in RIVALS for _ in range(20)]) if count else None

    def training(self) -> Case:
        """One step of all discriminators and the generator."""
        encoder = placed(ImageEncoder(self.damsm, self.images.size)).eval().requires_grad_(False)
        recipe = Recipe(self.gan, self.train, self.images, self.damsm, "avg", 0)
        foils = self.foils(self.train.damsm_foils)
        engine = Engine(recipe, self.reader(), encoder, self.features.channels, foils=foils)
        batch, v = self.given(self.train.images), self.v(self.train.images)

        interval = self.train.r1_interval
        return Case(
            lambda k: engine.step(batch, v, k * interval + 1),
            lambda: needs_of_training(engine, batch, v),
            (lambda k: engine.step(batch, v, k * interval)) if self.train.r1_gamma > 0 else None,
            interval / self.train.d_steps,
        )

    def sampling(self) -> Case:
        """Captions, noise and v in, the images of all stages out."""
        network = Generator(self.gan, self.images, self.damsm.dimension, self.features.channels).eval().requires_grad_(False)
        placed(network).to(memory_format=torch.channels_last)
        reader, captions, v = self.reader(), self.given(self.batch).captions, self.v(self.batch)
        noise, jitter = (torch.randn(self.batch, width).to(device()) for width in (self.gan.z, self.gan.condition))

        @torch.no_grad()
        def work(_: int) -> None:
            texts = reader(captions)
            network(Inputs(texts.sentence, texts.mean, noise, jitter, v))

        return Case(work, lambda: forward_of({"generator": network}, lambda: work(0)))

    def matching(self) -> Case:
        """One step of DAMSM's own training."""
        text, image = TextEncoder(len(self.vocabulary), self.damsm), ImageEncoder(self.damsm, self.images.size)
        foils = self.foils(self.damsm.foils)
        encoders = training_of_damsm.Encoders(placed(text), placed(image), self.vocabulary, self.damsm, 0, foils)
        encoders.train()
        optimiser, batch = torch.optim.Adam(encoders.parameters(), lr=self.damsm.lr, fused=True), self.given(self.batch)
        return Case(
            lambda k: training_of_damsm.train_step(encoders, optimiser, batch, k),
            lambda: needs_of_matching(encoders, batch),
        )

    def extraction(self) -> Case:
        """v of images."""
        network = placed(FeatureNetwork(self.features, self.images)).eval().requires_grad_(False)
        pictures = self.pictures(self.batch)

        @torch.no_grad()
        def work(_: int) -> None:
            network(pictures)

        return Case(work, lambda: forward_of({"network of v": network}, lambda: work(0)))


def main(
    dataset: Annotated[str, Option(help="whose networks: a name under `data` in params.yaml")] = "cub",
    batch: Annotated[int, Option(min=2, help="images that a network sees at once")] = 4,
    mode: Annotated[Literal["train", "sample", "damsm", "features"], Option(help="what is timed")] = "train",
    steps_: Annotated[int, Option("--steps", min=1, help="steps timed; their median counts")] = 3,
    threads: Annotated[int, Option(min=1, help="of torch")] = 2,
    clock: Annotated[Literal["wall", "cpu"], Option(help="cpu: processor time, for a busy machine; with one thread")] = "wall",
    change: Annotated[list[str] | None, Option(help="an entry of `train` for this run, as in precision=bfloat16")] = None,
) -> None:
    """Times one kind of step."""
    steps.set_threads(threads)
    if mode == "train":
        keep_pages()
        use_products()
    torch.set_flush_denormal(True)
    bench = Bench(dataset, batch, dict(typed(one) for one in change or []))
    case = {"train": bench.training, "sample": bench.sampling, "damsm": bench.matching, "features": bench.extraction}[mode]()
    gflop = counted(lambda: case.work(0))  # warms up as well
    rare = counted(lambda: case.rare(1)) if case.rare else gflop
    timer = time.perf_counter if clock == "wall" else time.process_time
    cast = Arithmetic(bench.train, device().type).cast if mode == "train" else nullcontext
    with cast():  # the limit is that of the precision which the step computes in
        before = roofline(batch, timer)
    seconds = median_seconds(lambda k: case.work(2 + k), steps_, timer)
    if case.rare:
        seconds += (median_seconds(lambda k: case.rare(2 + k), 1, timer) - seconds) / case.interval
    with cast():
        after = roofline(batch, timer)
    needed = case.needed()
    whole = gflop + (rare - gflop) / case.interval
    limit = max(before["all"], after["all"])
    result = {
        "mode": mode,
        "dataset": dataset,
        "batch": batch,
        "clock": clock,
        "images_per_s": round((bench.train.images if mode == "train" else batch) / seconds, 3),
        "seconds_per_step": round(seconds, 3),
        "gflop_per_step": round(whole, 2),
        "gflop_of_r1": round((rare - gflop) / case.interval, 2),
        "gflops": round(whole / seconds, 1),
        "roofline_gflops": limit,
        "fraction": round(whole / seconds / limit, 3),
        "needed_gflop": needed.table(),
        "counted_over_needed": round(gflop / needed.total, 4),
        "roofline_by_size": after,
        "change": change or [],
        "machine": facts(),
    }
    print(json.dumps(result))


def typed(change: str) -> tuple[str, Any]:
    """`key=value` with the value as YAML has it."""
    import yaml

    key, _, value = change.partition("=")
    return key, yaml.safe_load(value)


if __name__ == "__main__":
    Path("params.yaml").stat()  # in the root of the repository
    typer.run(main)
