"""What a run needs before it starts: work, disk, memory and hours of each step of the chain (`memgan plan`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from memgan.artifacts import read_json
from memgan.data import compose
from memgan.data.fetch import size
from memgan.data.prepare import cores
from memgan.data.worlds.known import WORLDS
from memgan.encoders.published import WEIGHTS
from memgan.encoders.vgg import FeatureNetwork
from memgan.errors import InputError
from memgan.params.data import Images
from memgan.params.encoders import Damsm, Evaluator, Features
from memgan.params.evaluation import Metrics, Sampling
from memgan.params.gan import Train
from memgan.params.load import Settings
from memgan.params.memory import Memory
from memgan.report import costs, describe, links

HALF, FLOAT = 2, 4  # bytes of float16 and float32
BYTES_PER_PIXEL = {"jpg": 0.6, "png": 1.7}  # of photographs, as preprocess and sample write them; about a third more or less
LONGER = 4 / 3  # a photograph's longer side in shorter ones, where it is not cut to a square
RATE = 1e7  # pixels a second and core that preprocess writes, estimated; benchmarks/preprocess.py measures it
INCEPTION = 5.7e9  # multiply-adds of Inception-v3 on 299 px, for FID
YOLO, YOLO_SIDE = 65.86e9 / 2, 416  # of YOLOv3 on 416 px, as its authors count: 65.86 billion operations
STATES = 2  # training states that are kept


class Counts(NamedTuple):
    """How much there is of a data set, and how that is known."""

    train: int
    test: int
    captions: float  # an image
    categories: int  # of objects
    known: str


class Step(NamedTuple):
    """One step of the chain: bytes left on the disk, bytes of memory (of the GPU, where there is one), multiply-adds, hours."""

    step: str
    work: str
    disk: int
    memory: int
    multiply_adds: int
    hours: float | None


def counts(settings: Settings) -> Counts:
    """From what is preprocessed, or what is rendered, or what the makers say. Raises InputError if nothing is known."""
    source, index = settings.source(), Path("results") / str(settings.dataset) / "images" / "index.json"
    if index.is_file():
        found = read_json(index)
        captions = sum(len(row["captions"]) for row in found["train"]) / len(found["train"])
        return Counts(len(found["train"]), len(found["test"]), captions, len(found["categories"]), "counted")
    if world := source.world:
        kinds = getattr(WORLDS[world.name], "CATEGORIES", ())
        return Counts(world.train_images, world.test_images, WORLDS[world.name].CAPTIONS, len(kinds), "params.yaml")
    if made := source.scenes:
        return Counts(made.train_images, made.test_images, compose.CAPTIONS, 0, "params.yaml")
    if told := source.counts:
        return Counts(told.train_images, told.test_images, told.captions, told.categories, "as its makers say")
    key = f"data.{settings.dataset}"
    raise InputError(
        f"params.yaml: how much there is of `{key}` is not known yet; run `snakemake --cores all {index.parent}`, "
        f"or write `{key}.source.counts: {{train_images: ..., test_images: ..., captions: ...}}`"
    )


class Planned:
    """The plan of one data set and run."""

    def __init__(self, dataset: str, run: str, tflops: float):
        self.settings, self.tflops = Settings(dataset, run), tflops
        self.counts = counts(self.settings)
        self.images, self.damsm = self.settings.block("images", Images), self.settings.block("damsm", Damsm)
        self.features, self.train = self.settings.block("features", Features), self.settings.block("train", Train)
        self.sampling = self.settings.block("sampling", Sampling)
        networks = describe.describe(dataset, run)["networks"]
        self.whole = {network["network"].partition(",")[0]: network for network in networks}
        self.cost = {name: network["multiply_adds"] for name, network in self.whole.items()}
        regions = next(part for part in self.whole["image encoder"]["parts"] if part["part"] == "regions")["outputs"][0]
        self.regions = regions[1] * regions[2]

    def step(self, name: str, work: str, disk: float = 0, memory: float = 0, count: float = 0, hours: float | None = None) -> Step:
        """A step; `hours` follow from the multiply-adds `count` if they are not given. One is two floating-point operations."""
        time = 2 * count / (self.tflops * 1e12) / 3600 if count else hours
        return Step(name, work, round(disk), round(memory), round(count), time)

    def steps(self) -> list[Step]:
        """In the chain's order."""
        return [
            self.raw(),
            self.preprocess(),
            self.train_damsm(),
            self.train_evaluator(),
            *self.memory(),
            self.train_gan(),
            *self.scores(),
        ]

    def raw(self) -> Step:
        """Archives and published weights."""
        source, names = self.settings.source(), links.weights_of(self.settings)
        if source.world:
            return self.step("render", f"{self.counts.train + self.counts.test:,} images")
        archives = links.archives_of(self.settings).values()
        disk = sum(map(archive_bytes, archives)) + sum(WEIGHTS[n].bytes or 0 for n in names)
        return self.step("download", f"{len(archives)} archives and files, {len(names)} networks' weights", disk)

    def preprocess(self) -> Step:
        """Cut, scaled and packed."""
        number = self.counts.train + self.counts.test
        pixels = self.images.short_side**2 * (1 if self.images.box_crop else LONGER)
        disk = number * pixels * BYTES_PER_PIXEL[self.images.format]
        hours = number * pixels / RATE / cores() / 3600
        return self.step(
            "preprocess", f"{number:,} images, {cores()} core{'s' * (cores() > 1)}", disk, 0.2e9 * (cores() + 1), hours=hours
        )

    def train_damsm(self) -> Step:
        """Text and image encoder. Inception's trunk is frozen: forward only."""
        parts = {part["part"]: part["multiply_adds"] for part in self.whole["image encoder"]["parts"]}
        frozen = parts["trunk"] if self.damsm.image_encoder == "inception_v3" else 0
        image = frozen + 3 * (self.cost["image encoder"] - frozen) + 3 * self.text
        number = self.damsm.epochs * self.counts.train
        weights = FLOAT * sum(self.whole[name]["parameters"] for name in (self.text_name, "image encoder"))
        held = costs.ADAM * weights + self.damsm.batch * self.picture * 64
        return self.step("damsm", epochs(self.damsm.epochs, self.counts.train, self.damsm.batch), weights, held, number * image)

    def train_evaluator(self) -> Step:
        """The network that judges where Inception is no fair judge."""
        params = self.settings.block("evaluator", Evaluator)
        labelled = self.counts.test if params.split == "test" else self.counts.train
        number = params.images if self.settings.source().world else labelled
        weights = FLOAT * self.whole["evaluator"]["parameters"]
        count = 3 * params.epochs * number * self.cost["evaluator"]
        return self.step("evaluator", epochs(params.epochs, number, params.batch), weights, costs.ADAM * weights, count)

    def memory(self) -> list[Step]:
        """The network of v, v of every training image plain and mirrored, and the bank."""
        n, t, d = self.counts.train, self.counts.train * self.counts.captions, self.damsm.dimension
        v, weights = self.cost["network of v"], FLOAT * self.whole["network of v"]["parameters"]
        small = self.features.network == "small"
        with torch.device("meta"):
            network = FeatureNetwork(self.features, self.images)
            one = costs.widest(network, lambda: network(torch.empty(1, 3, self.images.size, self.images.size)))
        held = weights + self.features.batch * one
        said = epochs(self.features.epochs, n, self.features.batch) if small else "ImageNet's"
        disk = t * (d + self.damsm.words * d) * HALF + n * (d + self.regions * d) * HALF
        of_bank = n * self.cost["image encoder"] + t * self.text
        return [
            self.step("vgg", said, weights, costs.ADAM * weights if small else weights, 3 * self.features.epochs * n * v * small),
            self.step("features", f"{n:,} images, mirrored too", 2 * n * v_bytes(self.features, self.images), held, 2 * n * v),
            self.step("bank", f"{n:,} images, {round(t):,} captions", disk, weights + 1e9, of_bank),
        ]

    def train_gan(self) -> Step:
        """The generator and the discriminators."""
        steps = round(self.train.epochs * (self.counts.train // self.train.batch))
        names = ["generator", *(name for name in self.whole if name.startswith("discriminator"))]
        networks = {name: self.cost[name] for name in (*names, "image encoder")} | {"text encoder": self.text}
        count = steps * self.train.batch * costs.step_multiply_adds(networks, self.train)
        weights = {name: FLOAT * self.whole[name]["parameters"] for name in names}
        state = weights["generator"] + 3 * sum(weights.values())  # the average; then all with Adam's moments
        held = costs.training_memory(self.settings)
        disk = weights["generator"] + STATES * state
        return self.step("train", f"{steps:,} steps of {self.train.batch} images", disk, sum(held.values()), count)

    def scores(self) -> list[Step]:
        """Samples, what the real images score, what the samples score."""
        metrics, candidates = self.settings.block("metrics", Metrics), self.settings.block("memory", Memory).candidates
        n, m, d = self.counts.train, self.sampling.samples, self.damsm.dimension
        looked_at = n if candidates == "all" else min(n, candidates)
        search = n * self.counts.captions * d + 2 * looked_at * self.regions * self.damsm.words * d
        judges = self.cost["image encoder"] + self.cost["evaluator"]
        judges += INCEPTION * (metrics.fid_tv + (links.FIDELITY in (metrics.fidelity, metrics.inception_score)))
        real = n + min(self.counts.test, metrics.real_images)
        png = self.images.size**2 * BYTES_PER_PIXEL["png"]
        weights = FLOAT * (self.whole["generator"]["parameters"] + self.whole["image encoder"]["parameters"])
        held = weights + self.sampling.batch * self.picture * 64
        vectors, one, looks = 2048 * FLOAT, self.cost["generator"] + self.text + search, self.detector(metrics)
        judged, named = real * judges + (real - n) * looks, self.naming
        found = [
            self.step("sample", f"{m:,} images", m * png, held, m * one),
            self.step("reference", f"{real:,} real images", real * vectors, held + real * vectors, judged),
            self.step("metrics", f"{m:,} images", 0, held + m * vectors, m * judges + named * looks),
        ]
        work = f"at most {named:,} images of captions that name an object"
        extra = self.step("extra_samples", work, named * png, held, named * one)
        return [found[0], extra, *found[1:]] if named else found

    @property
    def naming(self) -> int:
        """Samples for SOA, at most: each caption is drawn once, however many categories it names."""
        captions = round(self.counts.test * self.counts.captions)
        drawn = min(captions, self.counts.categories * self.sampling.soa_captions)
        return drawn * self.sampling.soa_images

    def detector(self, metrics: Metrics) -> float:
        """Multiply-adds of looking for objects in one image, where the evaluator does not do that."""
        yolo = metrics.detector == "yolov3" and self.counts.categories
        return YOLO * (metrics.detector_side / YOLO_SIDE) ** 2 if yolo else 0.0

    @property
    def text_name(self) -> str:
        """Of the text encoder among the networks."""
        return next(name for name in self.whole if name.startswith("text encoder"))

    @property
    def text(self) -> int:
        """Multiply-adds of the text encoder on one caption."""
        return self.cost[self.text_name]

    @property
    def picture(self) -> int:
        """Bytes of one channel of an image in float32."""
        return FLOAT * self.images.size**2


def v_bytes(features: Features, images: Images) -> int:
    """Bytes of v of one image, as it is stored in float16 (SPEC 3)."""
    return features.channels * images.feature_side**2 * HALF


def epochs(count: float, number: int, batch: int) -> str:
    """Passes over so many images."""
    return f"{count:g} passes, {round(count * (number // batch)):,} steps of {batch} images"


def archive_bytes(archive: Any) -> int:
    """An archive's size, from params.yaml or from where it lies; 0 if neither tells."""
    path = Path(archive.path or "")
    return archive.bytes or (path.stat().st_size if archive.path and path.is_file() else 0)


def plan(dataset: str, run: str, tflops: float | None) -> dict[str, Any]:
    """{"dataset", "run", "counts", "tflops", "measured", "steps": [...], "all": {...}}; see `Step`. tflops None: measured here."""
    speed = costs.measured_tflops() if tflops is None else tflops
    planned = Planned(dataset, run, speed)
    steps = [step._asdict() for step in planned.steps()]
    total = {name: sum(step[name] or 0 for step in steps) for name in ("disk", "multiply_adds", "hours")}
    total["memory"] = max(step["memory"] for step in steps)
    held = costs.training_memory(planned.settings)
    known = {"dataset": dataset, "run": run, "counts": planned.counts._asdict(), "tflops": speed, "measured": tflops is None}
    return known | {"training_memory": held, "steps": steps, "all": total}


COLUMNS = ("step", "work", "disk", "memory", "mult-adds, T", "hours")


def table(planned: Mapping[str, Any]) -> str:
    """As text for a terminal."""
    said, speed = planned["counts"], "measured here" if planned["measured"] else "given"
    rows: list[Sequence[str]] = [COLUMNS, *(row(step) for step in planned["steps"])]
    rows.append(row({"step": "all", "work": "", **planned["all"]}))
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(COLUMNS))]
    lines = [line(cells, widths) for cells in rows]
    held = planned["training_memory"]
    return "\n".join(
        [
            f"{planned['dataset']}, run {planned['run']}: {said['train']:,} training and {said['test']:,} test images, "
            f"{said['captions']:.3g} captions each ({said['known']})",
            "",
            *lines[:-1],
            "-" * len(lines[0]),
            lines[-1],
            "",
            f"Hours at {planned['tflops']:.3g} TFLOPS ({speed}), two operations for a multiply-add; those of convolutions, matrix",
            "products and LSTMs are counted. Not in them: the web, starting up, waiting for the disk.",
            f"Training holds {size(held['weights'])} of weights, gradients and moments, and {size(held['kept'])} for backward,",
            "on the GPU if there is one: let it have a quarter more and 1 GB. Sizes of images are estimates, all else is counted.",
        ]
    )


def row(step: Mapping[str, Any]) -> tuple[str, ...]:
    """One step's cells."""
    count, hours = step["multiply_adds"] / 1e12, step["hours"]
    shown = "-" if hours is None else "< 0.01" if hours < 0.01 else f"{hours:,.2f}" if hours < 100 else f"{hours:,.0f}"
    sizes = [size(step[name]) if step[name] else "-" for name in ("disk", "memory")]
    return (step["step"], step["work"], *sizes, f"{count:,.1f}" if count else "-", shown)


def line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Words to the left, numbers to the right."""
    return "  ".join(f"{c:<{w}}" if i < 2 else f"{c:>{w}}" for i, (c, w) in enumerate(zip(cells, widths, strict=True))).rstrip()
