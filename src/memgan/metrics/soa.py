"""Semantic object accuracy (Hinz et al. 2020): does a detector find in the image what the caption names? (SPEC 12)"""

from typing import Any

import numpy as np

from memgan.metrics.score import score


def soa(found: np.ndarray, named: np.ndarray, extractor: str, **more: Any) -> dict[str, Any]:
    """SOA-C and SOA-I in per cent.

    `found` bool [n, C]: the detector sees category c in image i; `named` bool [n, C]: the caption of image i names it. An image
    whose caption names several categories counts once for each. C is the mean over the categories that any caption names, I over
    all pairs of an image and a named category. Empty if no caption names a category. `more` is said of both.
    """
    pairs = named.sum(axis=0)  # [C]
    if not pairs.sum():
        return {}
    hits = (found & named).sum(axis=0)  # [C]
    rates = hits[pairs > 0] / pairs[pairs > 0]
    n, more = int(pairs.sum()), {"categories": len(rates)} | more
    return {
        "SOA-C": score(100 * float(rates.mean()), n, extractor, **more),
        "SOA-I": score(100 * float(hits.sum() / n), n, extractor, **more),
    }
