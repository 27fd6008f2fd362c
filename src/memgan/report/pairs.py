"""Two runs of the same seeds: their difference, seed by seed, with its interval (SPEC 13)."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import NamedTuple

from scipy.stats import t

LEVEL = 0.95


class Difference(NamedTuple):
    """Mean of the paired differences, and the ends of their interval; None where one seed gives none."""

    mean: float
    low: float | None
    high: float | None

    @property
    def decides(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def paired(one: Sequence[float], other: Sequence[float]) -> Difference:
    """one - other over the same seeds in the same order, with Student's interval of 95 % for the mean of the differences.

    Raises ValueError if they are not as many, or none.
    """
    each = [a - b for a, b in zip(one, other, strict=True)]
    middle = mean(each)
    if len(each) < 2:
        return Difference(middle, None, None)
    half = float(t.ppf((1 + LEVEL) / 2, len(each) - 1)) * stdev(each) / len(each) ** 0.5
    return Difference(middle, middle - half, middle + half)
