"""kill -9 at random moments under each engine: the next command, of either, just works and ends in the same bytes.

Three kills are in every run of the tests: two here, with stand-ins, and one of a real training in tests/e2e/test_engines.py.
"""

import random
from pathlib import Path

import pytest

from tests.workflow.clones import ONE_WORLD, STAND_IN_STATE, TABLE, Clone, make, ran

ENGINES = {"snakemake": f"snakemake --cores 2 {TABLE}", "dvc": "dvc repro"}
STATE = "results/birdworld/ours/0/state/generator/*/*.pt"
LONGER = ("    train: {}\n    sampling", "    train: {epochs: 12}\n    sampling")
OFTEN = {"MEMGAN_STATE_EVERY": "0.2"}
LOG = "logs/train/birdworld-ours-0.log"


@pytest.mark.xdist_group("stand-ins")
@pytest.mark.parametrize(("first", "then"), [("snakemake", "dvc"), ("dvc", "snakemake")])
def test_killed_in_training(mocked: Clone, maximum: Clone, first: str, then: str):
    mocked.edit("params.yaml", "pooling: avg", "pooling: max")
    assert mocked.killed(ENGINES[first], STAND_IN_STATE, after=0.5, TENTHS_GAN_TRAIN="3000")
    mocked.run(ENGINES[then])
    assert "resuming from step" in (mocked.path / LOG).read_text()
    assert_true(mocked, maximum.digests())


@pytest.mark.xdist_group("stand-ins")
def test_killed_before_the_results_are_recorded(mocked: Clone, maximum: Clone):
    mocked.edit("params.yaml", "pooling: avg", "pooling: max")
    mocked.run(f"{ENGINES['snakemake']} --no-hooks")  # as if killed after the last job
    assert mocked.status() != {}
    assert mocked.snakemake() == []
    assert_true(mocked, maximum.digests())


@pytest.mark.xdist_group("stand-ins")
@pytest.mark.parametrize("share", [0.5, 0.0])
def test_killed_while_dvc_writes_the_record(mocked: Clone, share: float):
    """DVC writes dvc.lock in place; it goes on where the next Snakemake has mended it."""
    lock = mocked.path / "dvc.lock"
    before, text = mocked.digests(), lock.read_text()
    lock.write_text(text[: int(share * len(text))])
    done = mocked.run(ENGINES["snakemake"])
    assert ran(done.stdout) == []
    assert share or "dvc.lock had been cut off; of its stages 0 are left" in done.stdout
    assert_true(mocked, before)


def untrained(clone: Clone) -> Clone:
    """Without what training made, and about to train longer."""
    path = clone.path / "params.yaml"
    path.write_text(path.read_text().replace(*LONGER, 1))
    return clone


@pytest.fixture(scope="session")
def truth(made_by_snakemake: Clone, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run of the real steps that nobody kills makes."""
    clone = untrained(made_by_snakemake.copy(tmp_path_factory.mktemp("truth") / "clone"))
    clone.snakemake()
    return clone.digests()


@pytest.mark.slow
@pytest.mark.xdist_group("real")
@pytest.mark.parametrize(("first", "then"), [("snakemake", "dvc"), ("dvc", "snakemake")])
def test_killed_in_a_real_training(snakemade: Clone, truth: dict[str, str], first: str, then: str):
    clone = untrained(snakemade)
    assert clone.killed(ENGINES[first], STATE, after=0.5, **OFTEN)
    assert not (clone.path / "results/birdworld/ours/0/generator.safetensors").exists()
    clone.run(ENGINES[then])
    assert "resuming from step" in (clone.path / LOG).read_text()
    assert_true(clone, truth)


@pytest.mark.slow
@pytest.mark.xdist_group("real")
@pytest.mark.parametrize("number", range(10))
def test_killed_at_random(made_by_snakemake: Clone, truth: dict[str, str], tmp_path: Path, number: int):
    """Half of them from a bare clone, so that any step may be hit; the others where only what training makes is left to make."""
    rng = random.Random(number)
    first, second, last = (rng.choice(sorted(ENGINES)) for _ in range(3))
    bare = number % 2 == 0
    clone = untrained(make(tmp_path / "clone", ONE_WORLD) if bare else made_by_snakemake.copy(tmp_path / "clone"))
    assert clone.killed(ENGINES[first], "params.yaml", after=rng.uniform(1, 45 if bare else 15), **OFTEN)
    clone.killed(ENGINES[second], "params.yaml", after=rng.uniform(1, 30), **OFTEN)  # what is left may take less
    clone.run(ENGINES[last])
    assert_true(clone, truth)


@pytest.mark.slow
@pytest.mark.xdist_group("real")
@pytest.mark.parametrize(("first", "then"), [("snakemake", "snakemake"), ("dvc", "dvc"), ("dvc", "snakemake")])
def test_orphans_of_a_killed_engine(snakemade: Clone, truth: dict[str, str], first: str, then: str):
    """Only the engine itself is killed; its trainer goes on, and the next one waits for it."""
    clone = untrained(snakemade)
    process = clone.started(f"exec {ENGINES[first]}", **OFTEN)
    clone.wait_for(STATE, process)
    process.kill()
    process.wait()
    clone.run(ENGINES[then])
    assert "finished before: taken from" in (clone.path / LOG).read_text()  # the next engine asked for it again
    assert_true(clone, truth)


def assert_true(clone: Clone, truth: dict[str, str]) -> None:
    """Both engines are content, the results are what they should be, and no lock is left for a person to clear."""
    assert clone.status() == {}
    assert clone.planned() == []
    assert clone.digests() == truth
    assert not list((clone.path / ".snakemake/locks").glob("*"))
