"""Samples for SOA: test captions that name an object category, three images each (SPEC 12; Hinz et al. 2020)."""

from typing import Any

import numpy as np

from memgan.artifacts import seed_of
from memgan.gan.sample import Plan
from memgan.params.evaluation import Sampling


def plan(rows: list[dict[str, Any]], named: np.ndarray, sampling: Sampling, seed: int) -> list[Plan]:
    """At most `soa_captions` captions of each category, drawn by seed, each `soa_images` times.

    `named` bool [captions, C]: what each caption of the rows, in their order, names. A caption that is drawn for one category
    counts for all that it names.
    """
    captions = [(row, j) for row, entry in enumerate(rows) for j in range(len(entry["captions"]))]
    drawn: set[int] = set()
    for c in range(named.shape[1]):
        those = np.flatnonzero(named[:, c])
        rng = np.random.default_rng(seed_of(seed, "SOA", c))
        drawn.update(rng.choice(those, min(sampling.soa_captions, len(those)), replace=False).tolist())
    chosen = [captions[i] for i in sorted(drawn) for _ in range(sampling.soa_images)]
    return [Plan(index, row, f"{rows[row]['id']}#{j}", rows[row]["captions"][j]) for index, (row, j) in enumerate(chosen)]
