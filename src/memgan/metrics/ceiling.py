"""What an ideal reader of the captions would reach on the embedded worlds (SPEC 10).

Captions leave parts unmentioned, so some wrong captions describe the image too, and unmentioned parts must be guessed. On real
images no system can be expected to score higher than these figures; they stand beside the measured ones. Generated images can:
where they show no more than their caption says, fewer wrong captions hold.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memgan.metrics.score import score

READER = "none: ideal reader"


def rprecision_ceiling(
    true: Mapping[str, np.ndarray], images: Sequence[int], own: Sequence[int], masks: Mapping[str, np.ndarray], wrong: np.ndarray
) -> dict[str, Any]:
    """R-precision in per cent of a reader who sees all attributes and takes the most telling of the captions that hold.

    `true[a]` int64 [N]: values of the test images (`attributes.truth`); pair i is image `images[i]` and its own text `own[i]`;
    `masks[a]` bool [T, values]: what each text allows; `wrong` int64 [n, count]: the texts drawn against pair i (-1: none).
    Wrong captions are drawn whatever the image, so the text of largest p(text | image) / p(text) is the best choice: among those
    that hold, the one that the fewest test images satisfy. Mean over pairs of 1 / (number of texts that share that place), or 0.
    """
    holds = satisfied(true, masks)  # [N, T]
    fitting = holds.sum(axis=0)  # [T] images that satisfy the text
    image, own = np.asarray(images)[:, None], np.asarray(own)[:, None]
    rivals = np.where(holds[image, wrong] & (wrong >= 0), fitting[wrong], len(holds) + 1)  # [n, count]
    best = (rivals >= fitting[own]).all(axis=1)
    points = best / (1 + (rivals == fitting[own]).sum(axis=1))
    return {"R-precision": score(100 * float(points.mean()), len(points), READER)}


def satisfied(true: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which texts hold of which images: bool [N, T]. An attribute that an image does not have contradicts no text."""
    names = list(masks)
    forbidden = np.concatenate([~masks[name] for name in names], axis=1)  # [T, all values]
    has = np.concatenate([_one_hot(true[name], masks[name].shape[1]) for name in names], axis=1)  # [N, all values]
    return (has.astype(np.float32) @ forbidden.T.astype(np.float32)) == 0


def _one_hot(values: np.ndarray, count: int) -> np.ndarray:
    return values[:, None] == np.arange(count)[None, :]  # -1 matches nothing


def attribute_ceiling(
    true: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], training: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Attribute accuracy in per cent: all that is mentioned, and of all attributes what a reader of the captions can guess.

    The reader guesses the allowed value that is most frequent in training, and scores against the truth.
    `true[a]` int64 [n]: of the image that caption i describes; `masks[a]` bool [n, values]; `training[a]` int64 [N]: values of the
    training images. `blind` is what the reader reaches without the caption.
    """
    points, blind = [], []
    for name, mask in masks.items():
        known = true[name] >= 0
        counts = np.bincount(training[name][training[name] >= 0], minlength=mask.shape[1])
        guess = np.where(mask, counts, -1).argmax(axis=1)
        points.append((guess == true[name])[known])
        blind.append((counts.argmax() == true[name])[known])
    hits, unread = np.concatenate(points), np.concatenate(blind)
    said = sum(int((~mask.all(axis=1)).sum()) for mask in masks.values())
    return {
        "attribute accuracy": score(100.0, said, READER),
        "attribute accuracy (all)": score(100 * float(hits.mean()), len(hits), READER, blind=100 * float(unread.mean())),
    }
