"""Paired differences: against SciPy's own paired test, and by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from memgan.report.pairs import paired

NUMBERS = st.floats(-100, 100).map(lambda x: round(x, 3))


@settings(max_examples=25)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=6))
def test_agrees_with_scipys_paired_test(pairs: list[tuple[float, float]]) -> None:
    one, other = zip(*pairs, strict=True)
    found = paired(one, other)
    if len({round(a - b, 9) for a, b in pairs}) == 1:  # no spread: the interval is a point
        assert found.low == pytest.approx(found.mean, abs=1e-9) and found.high == pytest.approx(found.mean, abs=1e-9)
        return
    ends = ttest_rel(one, other).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), abs=1e-6)


def test_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, deviation 1, t(2) = 4.302653, so 2 -+ 4.302653 / sqrt(3)."""
    found = paired([11, 22, 33], [10, 20, 30])
    assert found == pytest.approx((2, 2 - 2.484138, 2 + 2.484138), abs=1e-5)
    assert not found.decides
    assert paired([11, 12, 13], [10, 11, 12]).decides
    assert paired([1, 2, 3.1], [11, 12, 13]).decides


def test_one_seed_has_a_difference_but_no_interval() -> None:
    found = paired([3.0], [1.0])
    assert found == (2.0, None, None)
    assert not found.decides


@pytest.mark.parametrize(("one", "other"), [([1.0, 2.0], [1.0]), ([], [])])
def test_what_is_not_paired_is_refused(one: list[float], other: list[float]) -> None:
    with pytest.raises(ValueError):
        paired(one, other)
