"""Table 1: published numbers as published, measured ones beside their extractor, never one in the other's place."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from memgan.errors import InputError
from memgan.metrics.score import score
from memgan.report import table1
from memgan.report.rows import COLUMNS, measured_rows, published_rows, to_csv
from memgan.report.wide import wide
from tests.factory import PARAMS, ROOT

PUBLISHED = ROOT / "workflow" / "data" / "published_table1.csv"


def run_of(value: float, seed: int = 0, run: str = "ours", dataset: str = "birdworld", **changes: Any) -> dict[str, Any]:
    resolved = {name: PARAMS[name] for name in ("gan", "train")} | {"pooling": "avg", "memory": {"strategy": "both"}}
    resolved["gan"] = resolved["gan"] | {"stages": 3, "spectral_norm": False}
    resolved["train"] = resolved["train"] | {"augment": "none", "neighbours": "own"}
    metrics = {
        "FID": score(value, 500, "evaluator:birdworld", n_real=100),
        "R-precision": score(50 + value, 500, "damsm:birdworld", 1.5, negatives=99.0, chance=1.0),
    }
    return {"resolved": resolved | {"dataset": dataset, "run": run, "seed": seed} | changes, "metrics": metrics}


def real_of(dataset: str = "birdworld") -> dict[str, Any]:
    metrics = {
        "FID": score(40.0, 400, "evaluator:birdworld", n_real=100),
        "R-precision": score(90.0, 1000, "damsm:birdworld", 1.0, negatives=99.0, chance=1.0),
    }
    ceilings = {"R-precision": score(95.0, 1000, "none: ideal reader")}
    return {"resolved": {"dataset": dataset, "method": "Real Images"}, "metrics": metrics, "ceilings": ceilings}


def files(folder: Path, *contents: dict[str, Any]) -> list[Path]:
    paths = [folder / f"{i}.json" for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    return paths


def outputs(folder: Path) -> list[Path]:
    return [folder / name for name in ("table1.csv", "table1.md", "table1.html", "table1.json")]


def test_published_numbers_are_those_of_the_paper_to_the_letter() -> None:
    rows = published_rows(PUBLISHED)
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        theirs = list(csv.DictReader(file))
    assert [[row[key] for key in theirs[0]] for row in rows] == [list(row.values()) for row in theirs]
    assert {row["source"] for row in rows} == {"published"}
    assert not any(row["extractor"] or row["seed"] or row["n"] for row in rows)
    assert len(rows) == 70


def test_the_tidy_table_has_the_columns_and_real_images_first(tmp_path: Path) -> None:
    rows = measured_rows(files(tmp_path, run_of(28.0), real_of()))
    assert [(row["method"], row["metric"], row["value"]) for row in rows] == [
        ("Real Images", "FID", "40.000000"),
        ("Real Images", "R-precision", "90.000000"),
        ("Ideal reader of the captions", "R-precision", "95.000000"),
        ("Chance", "R-precision", "1.000000"),
        ("Ours", "FID", "28.000000"),
        ("Ours", "R-precision", "78.000000"),
    ]
    assert {row["source"] for row in rows} == {"measured"}
    assert rows[4]["note"] == "against 100 real test images"
    parsed = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert tuple(parsed[0]) == COLUMNS
    assert parsed == rows


def test_no_table_of_the_wide_form_holds_both_kinds(tmp_path: Path) -> None:
    measured = measured_rows(files(tmp_path, run_of(28.25), real_of()))
    text = wide(published_rows(PUBLISHED), measured)
    theirs, ours = text.split("## Measured: birdworld")
    assert "28.25" in ours
    assert "28.25" not in theirs
    assert "evaluator:birdworld" in ours
    assert "evaluator" not in theirs
    for value in ("23.98", "10.49", "65.83"):
        assert value in theirs
        assert value not in ours
    assert "5.10" in theirs  # as published, not 5.1


def test_notes_of_published_numbers_are_shown() -> None:
    text = wide(published_rows(PUBLISHED), [])
    notes = [row["note"] for row in published_rows(PUBLISHED) if row["note"]]
    assert all(f"{i}. " in text and note in text for i, note in enumerate(notes, start=1))
    assert len(re.findall(r"<sup>", text)) == len(notes)
    assert "LAFITE (CLIP)" in text
    assert "OP-GAN (boxes)" in text


def test_several_seeds_are_rows_with_mean_and_deviation(tmp_path: Path) -> None:
    text = wide([], measured_rows(files(tmp_path, *(run_of(value, seed) for seed, value in enumerate((20.0, 24.0, 28.0))))))
    assert "| Ours | 0 | 20.00 |" in text
    assert "| Ours | 2 | 28.00 |" in text
    assert "| Ours: mean ± std | 3 seeds | 24.00 ± 4.00 |" in text


def test_a_departure_from_the_paper_is_in_the_rows_name(tmp_path: Path) -> None:
    rows = measured_rows(files(tmp_path, run_of(28.0, pooling="max")))
    assert {row["method"] for row in rows} == {"Ours (pooling max)"}


def test_the_step_writes_the_same_bytes_each_time(tmp_path: Path) -> None:
    other = real_of("sceneworld"), run_of(9.0, dataset="sceneworld")
    scores = files(tmp_path, real_of(), run_of(28.0), run_of(90.0, run="untrained"), *other)
    contents = []
    for name in ("one", "two"):
        made = outputs(tmp_path / name)
        table1.main(scores, PUBLISHED, *made)
        contents.append([path.read_bytes() for path in made])
    assert contents[0] == contents[1]
    assert contents[0][0].decode().count("published") == 70
    assert contents[0][1].decode().index("## Measured: birdworld") < contents[0][1].decode().index("## Measured: sceneworld")


def test_two_runs_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two runs are called 'Ours'"):
        table1.main(files(tmp_path, run_of(1.0), run_of(2.0)), PUBLISHED, *outputs(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_the_summary_for_dvc_has_our_main_scores_by_data_set(tmp_path: Path) -> None:
    scores = files(tmp_path, real_of(), run_of(20.0, 0), run_of(24.0, 1), real_of("sceneworld"), run_of(9.0, dataset="sceneworld"))
    *_, summary = made = outputs(tmp_path)
    table1.main(scores, PUBLISHED, *made)
    assert json.loads(summary.read_text()) == {
        "birdworld": {"FID": 22.0, "R-precision": 72.0},
        "sceneworld": {"FID": 9.0, "R-precision": 59.0},
    }


def test_a_file_without_scores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no scores"):
        measured_rows(files(tmp_path, {"something": "else"}))


def test_published_numbers_with_other_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("method,value\nX,1\n")
    with pytest.raises(InputError, match="columns"):
        published_rows(path)
    with pytest.raises(InputError, match="no such file"):
        published_rows(tmp_path / "none.csv")
