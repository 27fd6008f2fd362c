"""Who judges images, and what that costs: the networks that `memgan.metrics.protocol` asks, for `memgan plan`."""

from collections.abc import Mapping
from typing import NamedTuple

from memgan.params.encoders import Damsm, Evaluator
from memgan.params.evaluation import Metrics
from memgan.params.load import Settings
from memgan.report.links import FIDELITY

FLOAT = 4  # bytes
BATCH = 64  # images that are judged together: `memgan.metrics.extractor.BATCH`
INCEPTION = 5.7e9  # multiply-adds of Inception-v3 on 299 px, as is told of it
INCEPTION_WEIGHTS = 95.6e6  # bytes, as published for FID
TORCHVISION = "inception-v3-torchvision"
POOLED, CLASSES = 2048, 1008  # numbers that it gives of an image: features, and logits where it judges the Inception Score
YOLO, YOLO_SIDE = 65.86e9 / 2, 416  # of YOLOv3 on 416 px, as its authors count: 65.86 billion operations


class Judge(NamedTuple):
    """A network that judges, or several."""

    multiply_adds: float  # on one image
    weights: float  # bytes
    passing: int  # bytes that a pass of one image holds beside the weights
    numbers: int  # that are kept of an image

    def held(self, images: int) -> float:
        """Bytes of memory, at least: weights, what passes through them, and what is kept of so many images."""
        return self.weights + BATCH * self.passing + FLOAT * self.numbers * images


class Panel(NamedTuple):
    """All that judge the images of a data set."""

    judges: Mapping[str, Judge]
    quality: list[str]  # who compares image with image, first the one whose features are kept
    features: int  # how many these are
    detector: float  # multiply-adds of YOLOv3 on one image, 0 where it isn't asked

    def of(self, *names: str) -> Judge:
        """These judges together, all if none is named."""
        ops, weights, passing, numbers = zip(*(self.judges[name] for name in names or self.judges), strict=True)
        return Judge(sum(ops), sum(weights), max(passing), sum(numbers))


def panel(settings: Settings, networks: Mapping[str, Mapping[str, int]], passing: Mapping[str, int], categories: int) -> Panel:
    """The judges by name: DAMSM's image encoder, the evaluator, Inception with one or both sets of weights.

    `networks` are described by `describe`, `passing` is of `costs`.
    """
    metrics, params = settings.block("metrics", Metrics), settings.block("evaluator", Evaluator)
    features = POOLED if params.network == "inception_v3" else params.features

    def ours(name: str, numbers: int) -> Judge:
        return Judge(networks[name]["multiply_adds"], FLOAT * networks[name]["parameters"], passing[name], numbers)

    evaluator = ours("evaluator", features)
    inception = Judge(INCEPTION, INCEPTION_WEIGHTS, passing["inception"], POOLED)
    known = {"evaluator": evaluator, FIDELITY: inception._replace(numbers=POOLED + CLASSES)}
    judges = {"image encoder": ours("image encoder", settings.block("damsm", Damsm).dimension)}
    judges |= {name: known[name] for name in (metrics.fidelity, metrics.inception_score)}
    judges |= {TORCHVISION: inception} if metrics.fid_tv else {}
    if settings.source().world or (categories and metrics.detector == "evaluator"):
        judges["evaluator"] = evaluator
    quality = [metrics.fidelity, *([TORCHVISION] if metrics.fid_tv else [])]
    compared = features if metrics.fidelity == "evaluator" else POOLED
    return Panel(judges, quality, compared, detector(metrics, categories))


def detector(metrics: Metrics, categories: int) -> float:
    """Multiply-adds of YOLOv3 on one image, where it looks for the objects of SOA."""
    return YOLO * (metrics.detector_side / YOLO_SIDE) ** 2 if metrics.detector == "yolov3" and categories else 0.0
