"""Sampling and scoring: `sampling` (SPEC 11) and `metrics` (SPEC 12)."""

from typing import Literal

from memgan.params.base import Block, entry, optional

Fidelity = Literal["evaluator", "inception-v3-compat"]


class Sampling(Block):
    """What is sampled from a trained generator."""

    samples: int = entry("images; the paper's 30,000, 5,000 or more on the worlds", gt=0)
    batch: int = entry("images computed together; part of the arithmetic, so it changes last bits", gt=0)
    diverse_captions: int = optional("captions of the diversity score and figure [ours]", 20, gt=0)
    diverse_noises: int = optional("images of each of them, which differ in z alone [ours]", 10, gt=1)


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
