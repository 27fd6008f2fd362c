"""Both engines on the real steps: they make the same bytes, also where one was killed, and agree on what is up to date."""

from pathlib import Path

import pytest

from tests.workflow.clones import ONE_WORLD, Clone, make

pytestmark = pytest.mark.xdist_group("e2e")
RUN = "results/birdworld/ours/0"


@pytest.fixture(scope="module")
def by_dvc(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Made by DVC from clean, killed once in training; nobody but the steps themselves says how many threads they take."""
    clone = make(tmp_path_factory.mktemp("dvc") / "clone", ONE_WORLD)
    del clone.env["OMP_NUM_THREADS"]
    clone.killed("dvc repro", f"{RUN}/state/generator/*/*.pt", MEMGAN_STATE_EVERY="0")
    assert not (clone.path / RUN / "generator.safetensors").exists()
    clone.repro()
    return clone


def test_a_killed_training_goes_on_from_its_state(by_dvc: Clone):
    assert "resuming from step" in (by_dvc.path / "logs/train/birdworld-ours-0.log").read_text()
    assert not list((by_dvc.path / RUN).rglob("*.tmp"))


def test_after_dvc_both_have_nothing_to_do(by_dvc: Clone):
    assert by_dvc.planned() == []
    assert by_dvc.status() == {}


def test_after_snakemake_both_have_nothing_to_do(chain: Clone):
    assert chain.status() == {}
    assert chain.repro() == []
    assert chain.snakemake() == []


def test_both_make_the_same_bytes(chain: Clone, by_dvc: Clone):
    theirs = {path: digest for path, digest in by_dvc.digests().items() if path.split("/")[1] == "birdworld"}
    assert len(theirs) > 12
    assert {path: digest for path, digest in chain.digests().items() if path in theirs} == theirs


def test_what_git_keeps_is_written_too(by_dvc: Clone):
    """Small results belong to git: metrics and tables, and no file that the engines use between themselves."""
    new = {line.split()[1] for line in by_dvc.run("git status --short -uall").stdout.splitlines()}
    assert {"dvc.lock", "results/table1.csv", "results/table1.md", f"{RUN}/metrics.json"} <= new
    assert all(path == "dvc.lock" or Path(path).suffix in (".json", ".csv", ".md") for path in new)
