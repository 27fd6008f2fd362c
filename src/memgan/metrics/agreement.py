"""How good a retrieval is: what an image that a caption retrieves has in common with what the caption and its own image show.

Each function gives one figure a query, between 0 and 1, or NaN where the question does not arise; `summary` averages them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memgan.metrics import attributes
from memgan.metrics.score import score

KNOWN = "none: known attributes and labels"  # what judges: no network does
Row = Mapping[str, Any]  # of index.json


def of_attributes(captions: Sequence[str], own: Sequence[Row], found: Sequence[Row], world: Any) -> dict[str, np.ndarray]:
    """On an embedded world, three figures a query, [Q] each.

    Share of the attributes mentioned by the caption whose values in the retrieved image it allows; whether that is so for all of
    them; share of all attributes, mentioned or not, in which the retrieved image is like the own one.
    """
    holds, said = mentioned(captions, found, world)
    true, seen = attributes.truth(own, world.ATTRIBUTES), attributes.truth(found, world.ATTRIBUTES)
    same = np.stack([true[name] == seen[name] for name in true])
    return _of_mentioned(holds, said) | {"all attributes": same.mean(axis=0)}


def mentioned(captions: Sequence[str], found: Sequence[Row], world: Any) -> tuple[np.ndarray, np.ndarray]:
    """How many of the attributes that a caption mentions hold of its image, and how many it mentions: int64 [Q] both."""
    masks = attributes.allowed([world.read_caption(caption) for caption in captions], world.ATTRIBUTES)
    seen, number = attributes.truth(found, world.ATTRIBUTES), np.arange(len(captions))
    said = np.stack([~mask.all(axis=1) for mask in masks.values()])  # [A, Q]
    holds = np.stack([mask[number, seen[name]] & (seen[name] >= 0) for name, mask in masks.items()])
    return (holds & said).sum(axis=0), said.sum(axis=0)


def best_of_bank(captions: Sequence[str], bank: Sequence[Row], world: Any) -> dict[str, np.ndarray]:
    """What a reader who knows all attributes reaches, by choosing the image of the bank of which most that is mentioned holds."""
    masks = attributes.allowed([world.read_caption(caption) for caption in captions], world.ATTRIBUTES)
    seen = attributes.truth(bank, world.ATTRIBUTES)
    said = np.stack([~mask.all(axis=1) for mask in masks.values()])  # [A, Q]
    most = np.zeros(len(captions), np.int64)
    for query in range(len(captions)):
        holds = np.zeros(len(bank), np.int64)
        for number, (name, mask) in enumerate(masks.items()):
            if said[number, query]:
                holds += mask[query, seen[name]] & (seen[name] >= 0)
        most[query] = holds.max()
    return _of_mentioned(most, said.sum(axis=0))


def _of_mentioned(holds: np.ndarray, said: np.ndarray) -> dict[str, np.ndarray]:
    share = np.where(said, holds / np.maximum(said, 1), np.nan)
    return {"attributes mentioned": share, "whole caption": np.where(said, holds == said, np.nan)}


def of_class(own: Sequence[Row], found: Sequence[Row], known: set[int]) -> dict[str, np.ndarray]:
    """Whether the retrieved image is of the own image's class, [Q]; NaN where the bank has none of it (`known` classes)."""
    pairs = zip(own, found, strict=True)
    return {"class": np.array([a["label"] == b["label"] if a["label"] in known else np.nan for a, b in pairs], float)}


def of_categories(own: Sequence[Row], found: Sequence[Row]) -> dict[str, np.ndarray]:
    """Object categories of both images, [Q] each: intersection over union, and the share of the own image's that are found."""
    sets = [(set(a["categories"]), set(b["categories"])) for a, b in zip(own, found, strict=True)]
    return {
        "object categories (IoU)": np.array([len(a & b) / len(a | b) if a else np.nan for a, b in sets], float),
        "object categories (recall)": np.array([len(a & b) / len(a) if a else np.nan for a, b in sets], float),
    }


def of_own(own: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Whether the own image (row [Q] of the bank) is the first, or among those retrieved, rows [Q, k]."""
    hits = rows == own[:, None]
    found = {"own image, recall@1": hits[:, 0].astype(float)}
    return found | ({f"own image, recall@{rows.shape[1]}": hits.any(axis=1).astype(float)} if rows.shape[1] > 1 else {})


def summary(figures: Mapping[str, np.ndarray], captions: str) -> list[dict[str, Any]]:
    """Mean in per cent of each figure [Q], its standard error, and over how many queries; figures that never arise are left out.

    `captions` says whose the queries are.
    """
    rows = []
    for name, values in figures.items():
        values = values[~np.isnan(values)]
        if len(values):
            error = 100 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else None
            rows.append({"metric": name, "captions": captions} | score(100 * float(values.mean()), len(values), KNOWN, error))
    return rows
