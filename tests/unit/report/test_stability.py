"""docs/STABILITY.md from scores and curves that are known."""

import json
from pathlib import Path

import pytest

from memgan.errors import InputError
from memgan.report.stability import main


def run(results: Path, name: str, seed: int, fid: float) -> Path:
    folder = results / "birdworld" / name / str(seed)
    (folder / "samples").mkdir(parents=True)
    metrics = {"FID": {"value": fid, "extractor": "evaluator: birdworld"}, "recall": {"value": 0.5}, "IS": {"value": 2.0}}
    (folder / "metrics.json").write_text(json.dumps({"metrics": metrics}))
    lines = [f"{step},{1.0},{0.2 * (step >= 6)},{9.0},{0.75}" for step in range(8)]
    (folder / "curves.csv").write_text("\n".join(["step,d0,d1,g0,g1", *lines]) + "\n")
    params = {"training": {"train": {"epochs": 6.0}}, "sampling": {"samples": 2000}}
    (folder / "samples/0.json").write_text(json.dumps({"samples": [], "manifest": {"params": params}}))
    return folder


def test_the_page_has_a_line_for_each_combination(tmp_path: Path) -> None:
    results, out = tmp_path / "results", tmp_path / "docs/STABILITY.md"
    runs = [
        run(results, name, seed, fid + seed) for name, fid in (("ours", 20.0), ("diffaugment_spectral", 10.0)) for seed in (0, 1, 2)
    ]
    (results / "birdworld/images").mkdir()
    (results / "birdworld/images/index.json").write_text(json.dumps({"train": [{}] * 40}))
    out.parent.mkdir()
    out.write_text("# Above\n\n<!-- results: of before -->\nold\n<!-- end of results -->\n\nBelow.\n")
    main(runs, out)
    page = out.read_text()
    assert "| as in the paper: neither | 21 ± 1 | 0.5 ± 0 | 0.2 ± 0 | 0.75 ± 0 |" in page
    assert "| both | 11 ± 1 | 0.5 ± 0 |" in page
    assert "3 seeds, 6 passes over 40 training images" in page
    assert page.startswith("# Above\n") and page.endswith("\nBelow.\n") and "old" not in page
    assert page.index("(stability.png)") < page.index("<!-- end of results -->")
    assert sorted(path.name for path in out.parent.iterdir()) == ["STABILITY.md", "stability.png"]


def test_runs_of_unlike_numbers_are_refused(tmp_path: Path) -> None:
    runs = [run(tmp_path, "ours", 0, 1.0), run(tmp_path, "ours", 1, 1.0), run(tmp_path, "diffaugment_spectral", 0, 1.0)]
    with pytest.raises(InputError, match="each with as many seeds"):
        main(runs, tmp_path / "page.md")
