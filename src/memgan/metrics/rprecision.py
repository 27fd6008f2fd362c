"""R-precision: of one right and 99 wrong captions, is the right one nearest to the image? (SPEC 12)"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memgan.artifacts import seed_of
from memgan.metrics.score import score

CHUNK = 2000  # images whose negatives' embeddings are gathered at once


@dataclass(frozen=True)
class Captions:
    """Test captions as R-precision sees them: distinct texts, and the classes that each is a right caption of.

    `texts` sorted and distinct; `groups[t]` the classes (where the data set has none: test rows) whose images text t describes.
    """

    texts: tuple[str, ...]
    groups: tuple[frozenset[int], ...]

    @classmethod
    def of(cls, rows: Sequence[dict[str, Any]]) -> "Captions":
        """From the rows of a split (`index.json`)."""
        owners: dict[str, set[int]] = {}
        for group, row in zip(groups_of(rows), rows, strict=True):
            for text in row["captions"]:
                owners.setdefault(text, set()).add(group)
        texts = tuple(sorted(owners))
        return cls(texts, tuple(frozenset(owners[text]) for text in texts))

    def positions(self, captions: Sequence[str]) -> np.ndarray:
        """Index of each caption in `texts`, int64 [n]; -1 for one that no test image has."""
        place = {text: t for t, text in enumerate(self.texts)}
        return np.array([place.get(caption, -1) for caption in captions], dtype=np.int64)


def groups_of(rows: Sequence[dict[str, Any]]) -> list[int]:
    """The class of each row; where no row has one, the row itself, so that other images' captions are the wrong ones."""
    if any(row["label"] is None for row in rows):
        return list(range(len(rows)))
    return [row["label"] for row in rows]


def draw_negatives(captions: Captions, groups: Sequence[int], right: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Wrong captions for each pair: int64 [n, count] indices in `captions.texts`, distinct in a row, -1 where there are no more.

    Pair i is an image of class `groups[i]` and the text `right[i]`; a text that also describes an image of that class, or is the
    right one itself, is no wrong caption. Fewer than `count` remain: all of them are taken.
    """
    rng = np.random.default_rng(seed_of(seed, "R-precision"))
    of_group: dict[int, list[int]] = {}
    for t, owners in enumerate(captions.groups):
        for group in owners:
            of_group.setdefault(group, []).append(t)
    drawn = np.full((len(right), count), -1, dtype=np.int64)
    for i, (group, own) in enumerate(zip(groups, right, strict=True)):
        barred = np.unique([*of_group.get(group, []), *([own] if own >= 0 else [])]).astype(np.int64)
        left = len(captions.texts) - len(barred)
        picks = rng.choice(left, min(count, left), replace=False)
        # the j-th text that is not barred: j plus the barred texts before it
        drawn[i, : len(picks)] = picks + np.searchsorted(barred - np.arange(len(barred)), picks, side="right")
    return drawn


def rprecision(
    images: Tensor, right: Tensor, sentences: Tensor, negatives: np.ndarray, folds: int, extractor: str
) -> dict[str, Any]:
    """R-precision in per cent, top 1, mean over all pairs and std over the folds (pair i is in fold i mod `folds`).

    `images` and `right` [n, D]: embeddings of each image and of its caption; `sentences` [T, D]: of the texts that `negatives`
    (`draw_negatives`) points into. Captions that tie with the right one share its point, so that a blind encoder scores at chance.
    """
    hits = _hits(unit(images), unit(right), unit(sentences), torch.from_numpy(negatives))
    present = (negatives >= 0).sum(axis=1)
    parts = [hits[fold::folds].mean() for fold in range(min(folds, len(hits)))]
    more = {"negatives": round(float(present.mean()), 2), "chance": 100 * float((1 / (1 + present)).mean())}
    return {"R-precision": score(100 * float(hits.mean()), len(hits), extractor, 100 * float(np.std(parts)), **more)}


def _hits(images: Tensor, right: Tensor, sentences: Tensor, negatives: Tensor) -> np.ndarray:
    hits = []
    for start in range(0, len(images), CHUNK):
        image, some = images[start : start + CHUNK], negatives[start : start + CHUNK]
        own = (image * right[start : start + CHUNK]).sum(dim=1, keepdim=True)  # [b, 1]
        others = torch.einsum("bd,bkd->bk", image, sentences[some.clamp(min=0)])  # [b, count]
        others = others.masked_fill(some < 0, -torch.inf)
        ties = (others == own).sum(dim=1)
        hits.append(torch.where((others > own).any(dim=1), 0.0, 1.0 / (1.0 + ties)))
    return torch.cat(hits).double().numpy()


def unit(vectors: Tensor) -> Tensor:
    """Rows of length one: float32 [n, D]."""
    return torch.nn.functional.normalize(vectors.float(), dim=1)
