"""What a run needs before it starts: work, disk, memory and hours of each step of the chain (`memgan plan`)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from memgan.data.fetch import size
from memgan.data.prepare import cores
from memgan.encoders.published import WEIGHTS
from memgan.params.data import Images
from memgan.params.encoders import Damsm, Evaluator, Features
from memgan.params.evaluation import Metrics, Sampling
from memgan.params.gan import Train
from memgan.params.load import Settings
from memgan.params.memory import Memory
from memgan.report import costs, describe, judging, links
from memgan.report.amounts import archive_bytes, counts

HALF, FLOAT, DOUBLE = 2, 4, 8  # bytes of float16, float32 and float64
BYTES_PER_PIXEL = {"jpg": 0.6, "png": 1.7}  # of photographs, as preprocess and sample write them; about a third more or less
LONGER = 4 / 3  # a photograph's longer side in shorter ones, where it is not cut to a square
RATE = 1e7  # pixels a second and core that preprocess writes, estimated; benchmarks/preprocess.py measures it
WORKER = 0.2e9  # bytes of memory of one of its processes, estimated
STATES = 2  # training states that are kept


class Step(NamedTuple):
    """One step of the chain: bytes left on the disk, bytes of memory (of the GPU, where there is one), multiply-adds, hours."""

    step: str
    work: str
    disk: int
    memory: int
    multiply_adds: int
    hours: float | None


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
        self.passing, self.captions = costs.passing(self.settings), self.counts.test * self.counts.captions
        self.training_memory = costs.training_memory(self.settings)
        self.panel = judging.panel(self.settings, self.whole, self.passing, self.counts.categories)
        self.parts = self.whole["image encoder"]["parts"]
        regions = next(part for part in self.parts if part["part"] == "regions")["outputs"][0]
        self.regions = regions[1] * regions[2]

    def step(self, name: str, work: str, disk: float = 0, memory: float = 0, count: float = 0, hours: float | None = None) -> Step:
        """A step; `hours` follow from the multiply-adds `count` if they are not given. One is two floating-point operations."""
        time = 2 * count / (self.tflops * 1e12) / 3600 if count else hours
        return Step(name, work, round(disk), round(memory), round(count), time)

    def steps(self) -> list[Step]:
        """In the chain's order."""
        return [
            *self.raw(),
            self.preprocess(),
            self.train_damsm(),
            self.train_evaluator(),
            *self.memory(),
            self.train_gan(),
            *self.samples(),
            *self.scores(),
        ]

    def raw(self) -> list[Step]:
        """Archives and published weights; a world's images, or the scenes that are composed of what the archives show."""
        source, names, found = self.settings.source(), links.weights_of(self.settings), []
        if archives := links.archives_of(self.settings).values():
            disk = sum(archive_bytes(each) or 0 for each in archives) + sum(WEIGHTS[n].bytes or 0 for n in names)
            work = f"{len(archives)} archives and files, {len(names)} networks' weights"
            found = [self.step("download", work + missing(self.unknown), disk)]
        if made := source.world or source.scenes:
            number = self.counts.train + self.counts.test
            disk = number * made.side**2 * BYTES_PER_PIXEL["jpg"]
            found.append(self.step("render" if source.world else "compose", f"{number:,} images", disk))
        return found

    @property
    def unknown(self) -> list[str]:
        """What the files are whose size is told nowhere."""
        files = [(key.rpartition(".")[2], archive_bytes(each)) for key, each in links.archives_of(self.settings).items()]
        files += [(WEIGHTS[name].what, WEIGHTS[name].bytes) for name in links.weights_of(self.settings)]
        return [role for role, count in files if count is None]

    def preprocess(self) -> Step:
        """Cut, scaled and packed."""
        number = self.counts.train + self.counts.test
        pixels = self.images.short_side**2 * (1 if self.images.box_crop else LONGER)
        disk = number * pixels * BYTES_PER_PIXEL[self.images.format]
        hours = number * pixels / RATE / cores() / 3600
        work = f"{number:,} images, {cores()} core{'s' * (cores() > 1)}"
        return self.step("preprocess", work, disk, WORKER * (cores() + 1), hours=hours)

    def train_damsm(self) -> Step:
        """Text and image encoder. Inception's trunk is frozen: forward only."""
        parts = {part["part"]: part["multiply_adds"] for part in self.parts}
        frozen = parts["trunk"] if self.damsm.image_encoder == "inception_v3" else 0
        image = frozen + 3 * (self.cost["image encoder"] - frozen) + 3 * self.text
        number = self.damsm.epochs * self.counts.train
        weights = self.weights(self.text_name, "image encoder")
        trained = weights - FLOAT * next(part["parameters"] for part in self.parts if part["part"] == "trunk") * bool(frozen)
        kept = costs.damsm_kept(self.settings)
        passing = self.damsm.batch * self.passing["image encoder"]  # more where the trunk is frozen, of which nothing is kept
        held = 2 * weights + (costs.ADAM - 1) * trained + max(kept, passing)  # twice: and as they were at their best
        return self.step("damsm", epochs(self.damsm.epochs, self.counts.train, self.damsm.batch), weights, held, number * image)

    def train_evaluator(self) -> Step:
        """The network that judges where Inception is no fair judge."""
        params = self.settings.block("evaluator", Evaluator)
        labelled = self.counts.test if params.split == "test" else self.counts.train
        number = params.images if self.settings.source().world else labelled
        weights = self.weights("evaluator")
        count = 3 * params.epochs * number * self.cost["evaluator"]
        held = costs.ADAM * weights + costs.evaluator_kept(self.settings)
        return self.step("evaluator", epochs(params.epochs, number, params.batch), weights, held, count)

    def memory(self) -> list[Step]:
        """The network of v, v of every training image plain and mirrored, and the bank."""
        n, t, d = self.counts.train, self.counts.train * self.counts.captions, self.damsm.dimension
        v, weights, small = self.cost["network of v"], self.weights("network of v"), self.features.network == "small"
        trained = (costs.ADAM if small else 1) * weights + costs.features_kept(self.settings)
        held = weights + self.features.batch * self.passing["network of v"]
        encoders = self.weights(self.text_name, "image encoder") + self.damsm.batch * self.passing["image encoder"]
        said = epochs(self.features.epochs, n, self.features.batch) if small else "ImageNet's"
        disk = t * (d + self.damsm.words * d) * HALF + n * (d + self.regions * d) * HALF
        of_bank = n * self.cost["image encoder"] + t * self.text
        return [
            self.step("vgg", said, weights, trained, 3 * self.features.epochs * n * v * small),
            self.step("features", f"{n:,} images, mirrored too", 2 * n * v_bytes(self.features, self.images), held, 2 * n * v),
            self.step("bank", f"{n:,} images, {round(t):,} captions", disk, encoders, of_bank),
        ]

    def train_gan(self) -> Step:
        """The generator and the discriminators."""
        steps = round(self.train.epochs * (self.counts.train // self.train.images))
        names = ["generator", *(name for name in self.whole if name.startswith("discriminator"))]
        networks = {name: self.cost[name] for name in (*names, "image encoder", "network of v")}
        networks |= {"text encoder": self.text, "of v": self.whole["generator"]["of_feature"]}
        count = steps * self.train.batch * costs.step_multiply_adds(networks, self.train, self.features.online)
        weights = {name: self.weights(name) for name in names}
        state = weights["generator"] + 3 * sum(weights.values())  # the average; then all with Adam's moments
        held = self.training_memory
        disk = weights["generator"] + STATES * state
        return self.step("train", f"{steps:,} steps of {self.train.images} images", disk, sum(held.values()), count)

    def samples(self) -> list[Step]:
        """Images of test captions; of few captions with many z, and of captions that name an object."""
        n, m, d = self.counts.train, self.sampling.samples, self.damsm.dimension
        candidates = self.settings.block("memory", Memory).candidates
        looked_at = n if candidates == "all" else min(n, candidates)
        search = n * self.counts.captions * d + 2 * looked_at * self.regions * self.damsm.words * d
        one, png = self.cost["generator"] + self.text + search, self.images.size**2 * BYTES_PER_PIXEL["png"]
        held = self.weights("generator", self.text_name, "image encoder") + self.sampling.batch * self.passing["generator"]
        extra, work = self.varied + self.named, f"{self.varied:,} images for diversity"
        if self.named:
            work += f", at most {self.named:,} of captions that name an object"
        return [
            self.step("sample", f"{m:,} images", m * png, held, m * one),
            self.step("extra_samples", work, extra * png, held, extra * one),
        ]

    def scores(self) -> list[Step]:
        """What the real images score, what the samples score."""
        metrics, panel = self.settings.block("metrics", Metrics), self.panel
        n, m, tested = self.counts.train, self.sampling.samples, min(self.counts.test, metrics.real_images)
        judges, quality, fidelity = panel.of(), panel.of(*panel.quality), panel.of(metrics.fidelity)
        numbers = tested * panel.features * FLOAT + n * panel.features * HALF + self.captions * self.damsm.dimension * FLOAT
        squares = [panel.features, *([judging.POOLED] if metrics.fid_tv else [])]  # sides of covariances
        disk = numbers + DOUBLE * sum(side * (side + 1) for side in squares)
        real = tested * (judges.multiply_adds + panel.detector) + n * quality.multiply_adds
        scored = m * judges.multiply_adds + self.varied * fidelity.multiply_adds
        scored += self.named * (panel.detector or self.cost["evaluator"])
        held = judges.held(tested) + n * quality.numbers * FLOAT
        work = f"{m + self.varied:,} images" + (", and those for SOA" if self.named else "")
        return [
            self.step("reference", f"{n + tested:,} real images", disk, held, real),
            self.step("metrics", work, 0, judges.held(m) + disk, scored),
        ]

    @property
    def varied(self) -> int:
        """Samples for diversity: few captions, each of another test image, with many z."""
        return min(self.sampling.diverse_captions, self.counts.test) * self.sampling.diverse_noises

    @property
    def named(self) -> int:
        """Samples for SOA, at most: each caption is drawn once, however many categories it names."""
        drawn = min(round(self.captions), self.counts.categories * self.sampling.soa_captions)
        return drawn * self.sampling.soa_images

    @property
    def text_name(self) -> str:
        """Of the text encoder among the networks."""
        return next(name for name in self.whole if name.startswith("text encoder"))

    @property
    def text(self) -> int:
        """Multiply-adds of the text encoder on one caption."""
        return self.cost[self.text_name]

    def weights(self, *names: str) -> int:
        """Bytes of networks in float32."""
        return FLOAT * sum(self.whole[name]["parameters"] for name in names)


def v_bytes(features: Features, images: Images) -> int:
    """Bytes of v of one image, as it is stored in float16 (SPEC 3)."""
    return features.channels * images.feature_side**2 * HALF


def epochs(count: float, number: int, batch: int) -> str:
    """Passes over so many images."""
    return f"{count:g} passes, {round(count * (number // batch)):,} steps of {batch} images"


def missing(unknown: Sequence[str]) -> str:
    """What a sum of bytes leaves out."""
    return f" + {', '.join(unknown)}, size unknown" if unknown else ""


def plan(dataset: str, run: str, tflops: float | None) -> dict[str, Any]:
    """{"dataset", "run", "counts", "tflops", "measured", "training_memory", "unknown", "steps": [...], "all": {...}}; see `Step`.

    `unknown` are files whose size no sum holds. tflops None: measured here.
    """
    speed = costs.measured_tflops() if tflops is None else tflops
    planned = Planned(dataset, run, speed)
    steps = [step._asdict() for step in planned.steps()]
    total = {name: sum(step[name] or 0 for step in steps) for name in ("disk", "multiply_adds", "hours")}
    total["memory"] = max(step["memory"] for step in steps)
    held = planned.training_memory
    known = {"dataset": dataset, "run": run, "counts": planned.counts._asdict(), "tflops": speed, "measured": tflops is None}
    return known | {"training_memory": held, "unknown": planned.unknown, "steps": steps, "all": total}


COLUMNS = ("step", "work", "disk", "memory", "mult-adds, T", "hours")


def table(planned: Mapping[str, Any]) -> str:
    """As text for a terminal."""
    said, speed = planned["counts"], "measured here" if planned["measured"] else "given"
    rows: list[Sequence[str]] = [COLUMNS, *(row(step) for step in planned["steps"])]
    rows.append(row({"step": "all", "work": missing(planned["unknown"]).strip(), **planned["all"]}))
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
            f"GAN training holds {size(held['weights'])} of weights, gradients and moments, and {size(held['kept'])} for backward.",
            "Memory is counted so where a step trains; elsewhere it is weights, what the widest layer takes and gives, and",
            "what is kept of images. It is the GPU's if there is one: let it have a quarter more and 1 GB. Before there is a",
            "vocabulary, its word table is left out. Estimates: bytes of images on the disk; preprocess's memory and hours.",
            "As their makers say: multiply-adds of Inception, where it scores, and of YOLO; sizes of downloads.",
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
