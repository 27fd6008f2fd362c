"""Sampling and scoring: `sampling` (SPEC 11) and `metrics` (SPEC 12)."""

from typing import Literal, Self

from pydantic import model_validator

from memgan.params.base import Block, entry, optional
from memgan.params.data import Archive

Fidelity = Literal["evaluator", "inception-v3-compat"]


class Sampling(Block):
    """What is sampled from a trained generator."""

    samples: int = entry(
        "images: passes over the test images (one cut short favours the first); the paper's 30,000, 5,000 or more on the worlds",
        gt=0,
    )
    batch: int = entry("images computed together; part of the arithmetic, so it changes last bits", gt=0)
    diverse_captions: int = optional("captions of the diversity score and figure [ours]", 20, gt=0)
    diverse_noises: int = optional("images of each of them, which differ in z alone [ours]", 10, gt=1)
    soa_captions: int = optional("SOA: most captions an object category, drawn by seed; lineage: all, 30,000 at most", 50, gt=0)
    soa_images: int = optional("SOA: images a caption; lineage 3", 3, gt=0)


class Metrics(Block):
    """The protocol's numbers."""

    splits: int = entry("parts of the Inception score; paper's lineage 10", ge=1)
    negatives: int = entry("wrong captions beside the right one in R-precision; lineage 99", ge=1)
    folds: int = entry("parts over which R-precision's mean and std are taken; lineage 10", ge=1)
    real_images: int = entry("most real test images that FID compares with, drawn by seed; SPEC: 30,000", gt=0)
    kid_subset: int = entry("images a KID subset; cut to what there is", gt=1)
    kid_subsets: int = optional("KID subsets, over which its mean and std are taken; torch-fidelity's 100", 100, gt=0)
    neighbours: int = entry("k of precision and recall", ge=1)
    fidelity: Fidelity = optional(
        "whose features FID, KID, precision and recall compare; inception-v3-compat has the TensorFlow weights", "evaluator"
    )
    inception_score: Fidelity = optional(
        "whose logits IS judges; lineage: on CUB a network trained on the data set, on COCO ImageNet's", "evaluator"
    )
    fid_tv: bool = optional("FID-tv as well: by Inception with torchvision's weights, a download", False)
    detector: Literal["evaluator", "yolov3"] = optional("who looks for the objects of SOA; lineage yolov3", "evaluator")
    detector_files: dict[str, Archive] = optional("yolov3: Darknet's own files, by role: cfg, weights, names", {})
    detector_side: int = optional("yolov3: side of its input in px; lineage 256", 256, gt=0, multiple_of=32)
    confidence: float = optional("yolov3: least objectness of a detection; lineage 0.5", 0.5, ge=0, le=1)
    overlap: float = optional("yolov3: most overlap (IoU) of two detections of one category; lineage 0.4", 0.4, ge=0, le=1)

    @model_validator(mode="after")
    def _has_a_detector(self) -> Self:
        if self.detector == "yolov3" and set(self.detector_files) != {"cfg", "weights", "names"}:
            raise ValueError("the detector yolov3 needs `detector_files` with the roles cfg, weights and names")
        return self
