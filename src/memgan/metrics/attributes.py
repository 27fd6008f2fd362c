"""Attribute accuracy on the embedded worlds: does the image show what its caption says? An exact text-image metric (SPEC 12)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memgan.metrics.score import score

Space = Mapping[str, Sequence[str]]  # attribute -> its values, in the order of the evaluator's head
Claims = Mapping[str, frozenset[str]]  # attribute -> the values that a caption allows; only attributes that it mentions


def allowed(claims: Sequence[Claims], space: Space) -> dict[str, np.ndarray]:
    """Which values the captions allow: attribute -> bool [n, values]; all of them where the attribute is not mentioned."""
    masks = {}
    for name, values in space.items():
        rows = {None: np.ones(len(values), dtype=bool)}
        masks[name] = np.stack([_mask(rows, claim.get(name), values) for claim in claims])
    return masks


def _mask(rows: dict[Any, np.ndarray], values: frozenset[str] | None, names: Sequence[str]) -> np.ndarray:
    if values not in rows:
        rows[values] = np.array([name in values for name in names])  # type: ignore[operator]
    return rows[values]


def truth(rows: Sequence[Mapping[str, Any]], space: Space) -> dict[str, np.ndarray]:
    """The described images' values: attribute -> int64 [n] indices in the attribute's values; -1 where the image has none."""
    places = {name: {value: i for i, value in enumerate(values)} for name, values in space.items()}
    return {
        name: np.array([place.get(row["attributes"].get(name), -1) for row in rows], dtype=np.int64)
        for name, place in places.items()
    }


def attribute_accuracy(
    seen: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], true: Mapping[str, np.ndarray], extractor: str
) -> dict[str, Any]:
    """Two accuracies in per cent: of the attributes that the caption mentions, and of all attributes of the described image.

    `seen[a]` int64 [n]: the value that the evaluator sees; `masks[a]` bool [n, values]: those the caption allows (`allowed`);
    `true[a]` int64 [n]: the described image's (`truth`). Chance is a uniform guess. Empty if nothing is mentioned or known.
    """
    rows = np.arange(len(next(iter(seen.values()))))
    said = {name: ~mask.all(axis=1) for name, mask in masks.items()}
    mentioned = [(masks[name][rows, seen[name]][said[name]], masks[name][said[name]].mean(axis=1)) for name in seen]
    known = [(seen[name] == true[name])[true[name] >= 0] for name in seen]
    chances = [np.full(len(hits), 1 / masks[name].shape[1]) for name, hits in zip(seen, known, strict=True)]
    return {
        **_accuracy("attribute accuracy", mentioned, seen, extractor),
        **_accuracy("attribute accuracy (all)", list(zip(known, chances, strict=True)), seen, extractor),
    }


def _accuracy(name: str, parts: list[tuple[np.ndarray, np.ndarray]], names: Mapping[str, Any], extractor: str) -> dict[str, Any]:
    hits = np.concatenate([part for part, _ in parts])
    if not len(hits):
        return {}
    chance = 100 * float(np.concatenate([part for _, part in parts]).mean())
    each = {key: round(100 * float(part.mean()), 2) for key, (part, _) in zip(names, parts, strict=True) if len(part)}
    return {name: score(100 * float(hits.mean()), len(hits), extractor, chance=chance, by_attribute=each)}
