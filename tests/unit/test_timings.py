"""The benchmark of the training step: what it says is needed is what is computed."""

import pytest

from benchmarks.measure import counted
from benchmarks.run_all import checks, plot
from benchmarks.train_step import Bench, typed


@pytest.mark.parametrize("mode", ["training", "sampling", "matching", "extraction"])
def test_the_itemised_operations_are_those_that_are_counted(mode: str) -> None:
    """Nothing is computed that the algorithm does not need, in any mode; all networks of the embedded worlds."""
    case = getattr(Bench("birdworld", 4, {}), mode)()
    needed = case.needed()
    assert counted(lambda: case.work(0)) == pytest.approx(needed.total, rel=0.01), needed.table()


def test_entries_of_a_run_are_yaml() -> None:
    assert [typed(one) for one in ("precision=bfloat16", "compile=true", "r1_gamma=0.5")] == [
        ("precision", "bfloat16"), ("compile", True), ("r1_gamma", 0.5),
    ]  # fmt: skip


def test_figures_are_held_against_their_limits() -> None:
    checked = checks("train_step", {"figures": {"fraction": 0.5, "counted_over_needed": 1.0, "gflops": 3.0}})
    assert {name: one["kept"] for name, one in checked.items()} == {"fraction": False, "counted_over_needed": True}
    assert checks("train_step", {"failed": "error: no disk"}) == {"failed": "error: no disk"}
    bars = plot({"train_step --mode train": {"figures": {"fraction": 0.5}}, "orchestration": {"failed": "x"}}).axes[0].patches
    assert [bar.get_width() for bar in bars] == [pytest.approx(0.5 / 0.65)]
