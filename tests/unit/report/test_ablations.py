"""The ablations' table and figure: what is compared with what, which way is better, and what the claims' verdicts are."""

import csv
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from memgan.errors import InputError
from memgan.metrics.score import score
from memgan.report import ablations, compared, fill
from memgan.report.bars import bars_figure
from memgan.report.style import styled
from tests.factory import PARAMS, ROOT

BASE = (60.0, 61.0, 62.0)


def content(run: str, seed: int, fid: float, precision: float = 80.0, dataset: str = "short") -> dict[str, Any]:
    changes = PARAMS["runs"][run]
    resolved = {name: PARAMS[name] | changes.get(name, {}) for name in ("gan", "train", "memory")}
    resolved |= {"pooling": changes.get("pooling", "avg"), "dataset": dataset, "run": run, "seed": seed}
    metrics = {"FID": score(fid, 2000, "evaluator:short", n_real=100), "R-precision": score(precision, 2000, "damsm:short", 1.0)}
    return {"resolved": resolved, "metrics": metrics}


def files(folder: Path, fids: dict[str, tuple[float, ...]], **changes: Any) -> list[Path]:
    paths = []
    for run, values in fids.items():
        for seed, fid in enumerate(values):
            paths.append(folder / f"{run}-{seed}.json")
            paths[-1].write_text(json.dumps(content(run, seed, fid, **changes)), encoding="utf-8")
    return paths


def real_images(folder: Path, dataset: str = "short") -> Path:
    path = folder / "real.json"
    metrics = {"FID": score(35.0, 4000, "evaluator:short"), "R-precision": score(88.0, 9000, "damsm:short", 1.0)}
    path.write_text(json.dumps({"resolved": {"dataset": dataset, "method": "Real Images"}, "metrics": metrics}), encoding="utf-8")
    return path


def by_claim(folder: Path, fids: dict[str, tuple[float, ...]]) -> dict[str, compared.Claim]:
    found = compared.claims(compared.read_scores(files(folder, fids))[0])
    return {claim.run.name if claim.run else claim.text: claim for claim in found if claim.metric == "FID"}


def test_a_claim_falls_whichever_way_the_numbers_do(tmp_path: Path) -> None:
    """FID: lower is better, so a run without that has a higher FID speaks for the claim."""
    fids = {"ours": BASE, "parametric": (70.0, 71.5, 72.0), "no_content": (60.5, 60.0, 62.5), "max": (50.0, 51.5, 52.0)}
    found = by_claim(tmp_path, fids)
    assert found["parametric"].verdict == "holds"
    assert found["parametric"].each == [10.0, 10.5, 10.0]
    assert found["no_content"].verdict == "open: the interval holds 0"
    assert found["max"].verdict == "does not hold: the contrary is seen"
    assert found["max"].gain.mean == pytest.approx(-29.5 / 3)


def test_higher_is_better_for_r_precision(tmp_path: Path) -> None:
    paths = files(tmp_path, {"ours": BASE}) + files(tmp_path, {"parametric": BASE}, precision=70.0)
    found = {claim.metric: claim for claim in compared.claims(compared.read_scores(paths)[0]) if claim.run}
    assert found["R-precision"].each == [10.0, 10.0, 10.0]
    assert found["R-precision"].verdict == "holds"
    assert found["FID"].verdict == "open: the interval holds 0"


def test_claims_go_by_what_runs_change_and_not_by_their_names(tmp_path: Path) -> None:
    """A run without v_G alone, or an untrained one, is no purely parametric generator."""
    found = by_claim(tmp_path, {"ours": BASE, "no_v_g": BASE, "no_regional_v": BASE, "untrained": BASE})
    assert {claim.run for claim in found.values()} == {None}
    assert {claim.verdict for claim in found.values()} == {"no run of params.yaml goes without it alone"}
    assert "no run of params.yaml" in ablations.markdown(*compared.read_scores(files(tmp_path, {"ours": BASE})))


def test_one_seed_decides_nothing(tmp_path: Path) -> None:
    found = by_claim(tmp_path, {"ours": BASE[:1], "max": (90.0,)})
    assert found["max"].verdict == "open: one seed gives no interval"


def test_all_three_claims_are_the_papers_and_have_a_run() -> None:
    """Each claim's run is in params.yaml, and every strategy, stage number and way of training has one (SPEC 13)."""
    runs = [compared.Run(run, "short", content(run, 0, 1.0)["resolved"], {}) for run in PARAMS["runs"]]
    differing = [compared.changes(run, runs[0]) for run in runs]
    assert len(compared.CLAIMS) == 3
    assert all(without in differing for without in compared.CLAIMS.values())
    strategies = {of["memory.strategy"] for of in differing if "memory.strategy" in of} | {PARAMS["memory"]["strategy"]}
    assert strategies == {"sentence_sentence", "words_words", "sentence_image", "words_image", "both", "random", "oracle"}
    assert [of["gan.stages"] for of in differing if "gan.stages" in of] == [1, 2]
    assert {of["train.neighbours"] for of in differing if "train.neighbours" in of} == {"retrieved", "retrieved_excluding_self"}
    assert {"gan.image_features": False} in differing and {"gan.global_feature": False} in differing


def test_the_step_writes_the_same_bytes_each_time(tmp_path: Path) -> None:
    fids = {"ours": BASE, "max": (50.0, 51.5, 52.0), "random": (70.0, 75.0, 80.0), "untrained": (900.0,) * 3}
    paths = [*files(tmp_path, fids), real_images(tmp_path)]
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name
        ablations.main(paths, *(folder / file for file in ("a.csv", "a.md", "a.html", "pictures")))
        made.append({str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert made[0] == made[1]
    assert set(made[0]) == {"a.csv", "a.md", "a.html", "pictures/ablations.png", "pictures/ablations.pdf"}
    rows = list(csv.DictReader((tmp_path / "one/a.csv").open(encoding="utf-8", newline="")))
    assert tuple(rows[0]) == ablations.COLUMNS
    (row,) = [row for row in rows if row["run"] == "max" and row["metric"] == "FID"]
    assert row["values"] == "50.000000 51.500000 52.000000"
    assert (row["seeds"], row["n"], row["extractor"], row["differs by"]) == ("0 1 2", "2000", "evaluator:short", "pooling max")
    assert float(row["difference"]) == pytest.approx(-29.5 / 3, abs=1e-6)
    assert float(row["low"]) < float(row["difference"]) < float(row["high"]) < 0
    assert not any(row["difference"] for row in rows if row["run"] == "ours")
    (row,) = [row for row in rows if row["run"] == "Real Images" and row["metric"] == "FID"]
    assert (row["value"], row["n"], row["seeds"], row["difference"]) == ("35.000000", "4000", "", "")
    text = made[0]["a.md"].decode()
    assert "| Real Images | FID of training images, else test images | 35.00 | 88.00 |" in text
    assert "| `ours` | - | 61.00 ± 1.00 | 80.00 ± 0.00 |" in text
    assert "| `max` | pooling max | 51.17 ± 1.04 | 80.00 ± 0.00 |" in text
    assert "| `max` | **-9.83 (-10.55 to -9.12)** | +0.00 (+0.00 to +0.00) |" in text


def test_runs_of_other_seeds_or_data_sets_are_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run `max` has another data set or other seeds"):
        compared.read_scores(files(tmp_path, {"ours": BASE, "max": BASE[:2]}))
    with pytest.raises(InputError, match="run `max` has another data set or other seeds"):
        compared.read_scores(files(tmp_path, {"ours": BASE}) + files(tmp_path, {"max": BASE}, dataset="other"))
    with pytest.raises(InputError, match="the run `ours` is missing"):
        compared.read_scores(files(tmp_path, {"max": BASE}))
    with pytest.raises(InputError, match="real images of other, runs of short"):
        compared.read_scores([*files(tmp_path, {"ours": BASE}), real_images(tmp_path, "other")])


def test_a_run_says_all_that_it_changes(tmp_path: Path) -> None:
    """Also what the paper's choices do not name; and a run that changes more than a claim's part does not judge it."""
    paths = files(tmp_path, {"ours": BASE, "no_content": BASE, "untrained": BASE})
    wider = json.loads(paths[3].read_text())
    wider["resolved"]["gan"]["ngf"] = 48
    for path in paths[3:6]:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"resolved": wider["resolved"] | {"seed": int(path.stem[-1])}}))
    runs, _ = compared.read_scores(paths)
    assert [compared.words(run, runs[0]) for run in runs] == ["-", "no content features, gan.ngf 48", "untrained"]
    assert "content features help the discriminators" in {claim.text for claim in compared.claims(runs) if claim.run is None}


def test_a_bar_a_run_with_its_deviation_and_seeds(tmp_path: Path) -> None:
    fids = {"ours": BASE, "max": (50.0, 51.5, 52.0), "untrained": (900.0, 901.0, 902.0)}
    with styled():
        figure = bars_figure(*compared.read_scores([*files(tmp_path, fids), real_images(tmp_path)]))
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == list(fids)
    widths = [bar.get_width() for bar in axis.patches]
    assert widths[:2] == pytest.approx([61.0, 153.5 / 3])
    assert widths[2] == axis.get_xlim()[1] < 80, "an untrained run must not flatten the others"
    assert [text.get_text() for text in axis.texts] == ["901.00 \u2192"]
    assert [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == ":"] == [35.0]
    assert [list(line.get_xdata()) for line in axis.lines if line.get_marker() == "o"] == [list(BASE), [50.0, 51.5, 52.0]]
    figure.draw_without_rendering()
    note = figure._supxlabel.get_window_extent()
    assert 0 < note.x0 < note.x1 < figure.bbox.width, "the note is as wide as the figure at most"
    plt.close(figure)


def test_the_page_is_filled_between_its_marks(tmp_path: Path) -> None:
    page, table, picture = tmp_path / "docs/PAGE.md", tmp_path / "t.md", tmp_path / "bars.png"
    page.parent.mkdir()
    page.write_text((ROOT / "docs/ABLATIONS.md").read_text(encoding="utf-8"), encoding="utf-8")
    before = page.read_text(encoding="utf-8")
    table.write_text("# Ablations\n\nAbout.\n\n## Claims\n\n| a |\n| --- |\n| b |\n", encoding="utf-8")
    picture.write_bytes(b"picture")
    for _ in range(2):
        fill.main(table, picture, page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(before.partition("<!-- results")[0])
    assert text.endswith("![bars](bars.png)\n\nAbout.\n\n### Claims\n\n| a |\n| --- |\n| b |\n\n<!-- end of results -->\n")
    assert (page.parent / "bars.png").read_bytes() == b"picture"
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(InputError, match="no marks"):
        fill.main(table, picture, page)
