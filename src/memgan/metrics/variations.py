"""Samples for the diversity score and figure: few captions, each with its retrieved image and many z (paper, Fig. 5)."""

from typing import Any

from memgan.gan.sample import Plan


def plan(rows: list[dict[str, Any]], captions: int, noises: int) -> list[Plan]:
    """The first caption of test images that are spread evenly over the split, each `noises` times; index tells the noise."""
    chosen = [i * len(rows) // min(captions, len(rows)) for i in range(min(captions, len(rows)))]
    pairs = [(row, k) for row in chosen for k in range(noises)]
    return [Plan(index, row, f"{rows[row]['id']}#0", rows[row]["captions"][0]) for index, (row, _) in enumerate(pairs)]
