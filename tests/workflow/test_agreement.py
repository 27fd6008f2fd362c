"""Both engines agree on what is up to date, whoever ran last, on any clone."""

import json
from pathlib import Path

import pytest

from tests.workflow.clones import Clone

TRAIN_ONWARD = ["extra_samples", "metrics", "sample", "sample", "table1", "train"]
SAMPLE_ONWARD = [rule for rule in TRAIN_ONWARD if rule != "train"]
EDITS = {
    "a run": ("params.yaml", "  ours: {}", "  ours: {train: {lr_g: 0.001}}", TRAIN_ONWARD),
    "code": ("src/memgan/encoders/vgg.py", "VALUE = 0", "VALUE = 1", sorted([*TRAIN_ONWARD, "bank", "features", "vgg"])),
    "code of one step": ("src/memgan/metrics/measure.py", "VALUE = 0", "VALUE = 1", ["metrics", "table1"]),
    "a data set": ("params.yaml", "    sampling: {}", "    sampling: {batch: 5}", SAMPLE_ONWARD),
}
QUICK = ("a run", "code")
NO_EDITS = {
    "another run": ("params.yaml", "train: {epochs: 0}", "train: {epochs: 1}"),
    "another data set": ("params.yaml", "{box_crop: 0.75}", "{box_crop: 0.8}"),
    "README": ("README.md", "", "\nAn edit.\n"),
}


@pytest.mark.xdist_group("stand-ins")
def test_after_a_run_both_have_nothing_to_do(made_by_stand_ins: Clone):
    assert made_by_stand_ins.status() == {}
    assert made_by_stand_ins.repro() == []
    assert made_by_stand_ins.planned() == []
    assert made_by_stand_ins.run("git status --short").stdout == ""


@pytest.mark.xdist_group("stand-ins")
def test_another_pooling_reruns_what_depends_on_it_in_both(maximum: Clone, mocked: Clone):
    assert maximum.made == TRAIN_ONWARD
    assert maximum.status() == {}
    mocked.edit("params.yaml", "pooling: avg", "pooling: max")
    assert mocked.repro() == sorted(set(TRAIN_ONWARD))  # shards share a stage
    assert mocked.planned() == []
    assert mocked.digests() == maximum.digests()


@pytest.mark.xdist_group("stand-ins")
@pytest.mark.parametrize("edit", [pytest.param(edit, marks=[pytest.mark.slow] * (edit not in QUICK)) for edit in EDITS])
def test_an_edit_reruns_what_depends_on_it_in_both(mocked: Clone, tmp_path: Path, edit: str):
    file, old, new, rules = EDITS[edit]
    path = mocked.path / file
    path.write_text(path.read_text().replace(old, new, 1))
    other = mocked.copy(tmp_path / "other")
    assert mocked.snakemake() == rules
    assert other.repro() == sorted(set(rules))  # shards share a stage
    assert mocked.status() == {}
    assert other.planned() == []
    assert mocked.digests() == other.digests()


@pytest.mark.xdist_group("stand-ins")
def test_a_comment_costs_dvc_what_imports_its_module_and_snakemake_what_follows(mocked: Clone, tmp_path: Path):
    path = mocked.path / "src/memgan/memory/bank.py"
    path.write_text(f"{path.read_text()}# a comment\n")
    other = mocked.copy(tmp_path / "other")
    assert other.repro() == ["bank", "sample", "train"]  # sampling imports training, training the bank
    assert mocked.snakemake() == sorted([*TRAIN_ONWARD, "bank"])
    assert mocked.digests() == other.digests()
    assert mocked.status() == {}
    assert other.planned() == []


@pytest.mark.xdist_group("stand-ins")
def test_dvc_is_asked_again_once_something_has_changed(mocked: Clone):
    look = mocked.path / ".snakemake/look.json"
    assert mocked.planned() == mocked.planned() == []  # a copied clone's times are put in order first
    kept = look.stat().st_mtime_ns
    assert mocked.planned() == []
    assert look.stat().st_mtime_ns == kept
    (mocked.path / "results/birdworld/ours/0/generator.safetensors").write_text("somebody's own")
    assert mocked.planned() == TRAIN_ONWARD
    assert mocked.repro() == []  # restored from the cache
    assert mocked.planned() == []


@pytest.mark.xdist_group("stand-ins")
def test_other_edits_rerun_nothing(mocked: Clone):
    for file, old, new in NO_EDITS.values():
        path = mocked.path / file
        text = path.read_text() if path.exists() else ""
        path.write_text(text.replace(old, new, 1) if old else text + new)
    assert mocked.planned() == []
    assert mocked.status() == {}


@pytest.mark.xdist_group("stand-ins")
def test_going_back_is_restored_by_dvc_and_seen_by_snakemake(maximum: Clone, tmp_path: Path):
    mocked = maximum.copy(tmp_path / "clone")
    mocked.edit("params.yaml", "\npooling: max", "\npooling: avg")
    assert mocked.repro() == []
    assert mocked.planned() == []


@pytest.mark.xdist_group("stand-ins")
def test_a_stage_that_dvc_yaml_has_lost_is_no_longer_vouched_for(mocked: Clone):
    """dvc.lock remembers it, but DVC looks at it no more: what Snakemake makes of it is Snakemake's affair."""
    asked = "results/birdworld/images"
    mocked.edit("params.yaml", "datasets: [birdworld]", "datasets: [sceneworld]")
    mocked.edit("src/memgan/data/preprocess.py", "VALUE = 0", "VALUE = 1")
    assert mocked.planned(asked) == ["preprocess"]


@pytest.mark.slow
@pytest.mark.xdist_group("stand-ins")
def test_the_price_of_nothing_to_do(mocked: Clone):
    said = mocked.run("python -m benchmarks.orchestration").stdout
    figures = json.loads(said.splitlines()[-1])
    assert figures["snakemake_noop_cpu_s"] < 15 and figures["dvc_noop_cpu_s"] < 15  # of any machine, busy or not
    assert 0 < figures["record_share"] < 1
