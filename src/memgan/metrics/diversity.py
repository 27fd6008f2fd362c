"""Diversity: one caption, one retrieved image, many z (paper, Fig. 5); and the copy check against the retrieved image (SPEC 12)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memgan.metrics.score import score

FARTHEST, BINS = 2.0, 80  # two unit vectors are at most 2 apart


def diversity(features: Tensor, groups: Sequence[str], extractor: str) -> dict[str, Any]:
    """Mean distance of two images of a group in the extractor's normalised features: [n, F], `groups[i]` names what image i shares.

    0: z changes nothing; sqrt(2) and more: unrelated images. Std over groups. Empty if no group has two images.
    """
    members: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    rows = [torch.tensor(found) for found in members.values() if len(found) > 1]
    if not rows:
        return {}
    unit = torch.nn.functional.normalize(features.double(), dim=1)
    means = [torch.nn.functional.pdist(unit[found]).mean().item() for found in rows]
    n = sum(len(found) for found in rows)
    return {"diversity": score(float(np.mean(means)), n, extractor, float(np.std(means)), groups=len(rows))}


def histogram(retrieved: np.ndarray, random: np.ndarray) -> dict[str, Any]:
    """How often each distance occurs, for the copy check's figure: edges of the bins, counts of both kinds."""
    edges = np.linspace(0, FARTHEST, BINS + 1)
    counts = {"retrieved": retrieved, "random": random}
    return {"edges": edges.round(6).tolist()} | {name: np.histogram(far, edges)[0].tolist() for name, far in counts.items()}


def distances(features: Tensor, bank: Tensor, rows: Sequence[int]) -> np.ndarray:
    """Distance of each image to one image of the bank, both by normalised features: [n, F], [N, F], rows [n] -> float64 [n]."""
    one = torch.nn.functional.normalize(features.double(), dim=1)
    other = torch.nn.functional.normalize(bank.double(), dim=1)[torch.as_tensor(rows)]
    return (one - other).norm(dim=1).numpy()


def copy_check(retrieved: np.ndarray, random: np.ndarray, extractor: str) -> dict[str, Any]:
    """Distances of samples to their retrieved image and to random images of the bank, both [n]: mean of each, and their ratio.

    A ratio near 0 means that the retrieved image was pasted; 1 that it left no trace. Empty without samples.
    """
    if not len(retrieved):
        return {}
    n = len(retrieved)
    return {
        "distance to retrieved": score(float(retrieved.mean()), n, extractor, float(retrieved.std())),
        "distance to random": score(float(random.mean()), n, extractor, float(random.std())),
        "copy ratio": score(float(retrieved.mean() / random.mean()), n, extractor),
    }
