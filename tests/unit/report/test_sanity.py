"""Whether the scores tell good from bad."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from memgan.errors import InputError
from memgan.metrics.score import score
from memgan.report import sanity


def of(fid: float, precision: float, **resolved: Any) -> dict[str, Any]:
    metrics = {"FID": score(fid, 500, "evaluator:w"), "R-precision": score(precision, 500, "damsm:w", 1.0, chance=1.0)}
    return {"resolved": {"dataset": "w"} | resolved, "metrics": metrics}


REAL = of(5.0, 95.0, method="Real Images")
OURS = of(40.0, 80.0, run="ours", seed=0, train={"epochs": 12})
LUCKY = of(800.0, 90.0, run="untrained", seed=0, train={"epochs": 0})
UNTRAINED = of(800.0, 2.0, run="untrained", seed=0, train={"epochs": 0})


def test_real_before_ours_before_untrained() -> None:
    fid, precision = sanity.checks([REAL, UNTRAINED, OURS])
    assert (fid.metric, fid.ratio, fid.in_order) == ("FID", 20.0, True)
    assert (precision.metric, precision.ratio, precision.in_order) == ("R-precision", 40.0, True)


@pytest.mark.parametrize(("fid", "precision"), [(4.0, 96.0), (900.0, 1.0), (800.0, 2.0)])
def test_what_is_out_of_order_is_said(fid: float, precision: float) -> None:
    ours = of(fid, precision, run="ours", seed=0, train={"epochs": 12})
    found = sanity.checks([REAL, ours, UNTRAINED])
    assert [check.in_order for check in found] == [False, False]
    assert sanity.markdown(found).count("**no**") == 2


def test_a_score_of_zero_has_no_ratio() -> None:
    found = sanity.checks([REAL, OURS, of(800.0, 0.0, run="untrained", seed=0, train={"epochs": 0})])
    assert found[1].ratio is None
    assert found[1].in_order
    assert "| - |" in sanity.markdown(found)


def test_the_step_writes_three_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(sanity.steps.log, "warning", lambda text, *values: said.append(text % values))
    paths = [tmp_path / f"{i}.json" for i in range(3)]
    for path, content in zip(paths, (REAL, OURS, LUCKY), strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    sanity.main(paths, *(tmp_path / name for name in ("s.csv", "s.md", "s.html")))
    rows = list(csv.DictReader((tmp_path / "s.csv").open(encoding="utf-8", newline="")))
    assert tuple(rows[0]) == sanity.COLUMNS
    assert [(row["metric"], row["ratio"], row["chance"], row["in order"]) for row in rows] == [
        ("FID", "20.000000", "", "yes"),
        ("R-precision", "0.888889", "1.000000", "no"),
    ]
    assert said == ["sanity: w, seed 0: R-precision is out of order: real images 95.00, ours 80.00, untrained 90.00"]
    assert "evaluator:w" in (tmp_path / "s.md").read_text(encoding="utf-8")
    assert "<table>" in (tmp_path / "s.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("given", [[OURS, UNTRAINED], [REAL, OURS]])
def test_missing_scores_are_named(given: list[dict[str, Any]]) -> None:
    with pytest.raises(InputError, match="w, seed 0: no scores"):
        sanity.checks(given)
