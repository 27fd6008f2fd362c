"""What runs beside what: jobs of one run, and two runs."""

import json
import os
import subprocess
import time
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.workflow.clones import STAND_IN_STATE, TABLE, Clone, make
from workflow.record import watch

BOTH = "data/birdworld/sources.json data/sceneworld/sources.json"
NETWORKS = ("DAMSM", "EVALUATOR", "VGG")


@pytest.fixture(scope="module")
def two_worlds(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return make(tmp_path_factory.mktemp("two") / "clone", stand_ins=True)


@pytest.fixture
def fresh(two_worlds: Clone, tmp_path: Path) -> Clone:
    return two_worlds.copy(tmp_path / "clone")


def most_at_once(log: Path, modules: Collection[str] | None = None) -> int:
    """The largest number of stand-ins at work at one time; of these modules, if any are named."""
    noted = map(json.loads, log.read_text().splitlines())
    changes = sorted((when, what) for what, module, _, when in noted if modules is None or module in modules)
    now = most = 0
    for _, what in changes:
        now += 1 if what == "start" else -1
        most = max(most, now)
    return most


@pytest.mark.xdist_group("sharing")
def test_independent_jobs_run_side_by_side(fresh: Clone, tmp_path: Path):
    log = tmp_path / "log"
    fresh.snakemake(f"{BOTH} --resources cpu_percent=1000", STAND_IN_LOG=str(log), TENTHS_DATA_RENDER="30")
    assert most_at_once(log) == 2


@pytest.mark.xdist_group("sharing")
def test_jobs_of_one_gpu_run_one_at_a_time(fresh: Clone, tmp_path: Path):
    log = tmp_path / "log"
    claims = "--set-resources render:gpu=1 render:cpu_percent=0"  # the one GPU is the default profile's
    fresh.snakemake(f"{BOTH} {claims}", STAND_IN_LOG=str(log), TENTHS_DATA_RENDER="30")
    assert most_at_once(log) == 1


@pytest.mark.xdist_group("sharing")
def test_eight_cores_on_a_smaller_machine_do_not_thrash(fresh: Clone, tmp_path: Path):
    log = tmp_path / "log"
    steps = {f"TENTHS_ENCODERS_{name}": "15" for name in NETWORKS}
    networks = [
        f"results/{world}/{name}.safetensors" for world in ("birdworld", "sceneworld") for name in ("damsm", "evaluator", "vgg")
    ]
    fresh.run(f"snakemake --cores 8 {' '.join(networks)}", STAND_IN_LOG=str(log), **steps)
    heavy = {f"encoders.{name.lower()}" for name in NETWORKS}  # beside them, light steps take no share
    assert 1 <= most_at_once(log, heavy) <= (os.cpu_count() or 1)


@pytest.fixture
def held(mocked: Clone, tmp_path: Path) -> dict[str, str]:
    """With this environment, training and the table take as long as the file is there."""
    (tmp_path / "hold").touch()
    return {"HELD": "GAN_TRAIN REPORT_TABLE1", "HELD_BY": str(tmp_path / "hold")}


@pytest.mark.xdist_group("stand-ins")
def test_beside_a_running_snakemake(mocked: Clone, held: dict[str, str]):
    mocked.edit("params.yaml", "pooling: avg", "pooling: max")
    first = mocked.started(f"snakemake --cores 2 {TABLE}", **held)
    mocked.wait_for(STAND_IN_STATE, first)
    refused(mocked, f"snakemake --cores 2 {TABLE}", "is at work here; wait for it")
    refused(mocked, "dvc repro", "is busy")
    before = (mocked.path / "params.yaml").read_text()
    refused(mocked, "dvc exp run -S pooling=avg", "is busy")
    assert (mocked.path / "params.yaml").read_text() == before
    assert "is at work here" in mocked.run(f"snakemake -n {TABLE}").stdout
    finish(mocked, first, held)


@pytest.mark.xdist_group("stand-ins")
def test_beside_a_running_dvc(mocked: Clone, held: dict[str, str]):
    mocked.edit("params.yaml", "pooling: avg", "pooling: max")
    first = mocked.started("dvc repro", **held)
    mocked.wait_for(STAND_IN_STATE, first)
    refused(mocked, f"snakemake --cores 2 {TABLE}", "is at work here; wait for it")
    refused(mocked, "dvc repro", "busy")
    finish(mocked, first, held)


def refused(clone: Clone, command: str, why: str) -> None:
    done = clone.run(command, check=False)
    assert done.returncode != 0
    assert why in done.stdout, done.stdout
    assert "Traceback" not in done.stdout, done.stdout


def finish(clone: Clone, process: subprocess.Popen[str], held: dict[str, str]) -> None:
    """Lets the run that was held end; both engines are content with what it made."""
    Path(held["HELD_BY"]).unlink()
    assert process.wait(300) == 0, clone.said()
    assert clone.planned() == []
    assert clone.status() == {}


@pytest.mark.xdist_group("stand-ins")
def test_code_edited_during_a_run_is_not_recorded_with_old_results(mocked: Clone, held: dict[str, str]):
    mocked.edit("src/memgan/report/table1.py", "VALUE = 0", "VALUE = 1")
    process = mocked.started(f"snakemake --cores 2 {TABLE}", **held)
    mocked.wait_for("results/state/*[0-9a-f]", process)
    mocked.edit("src/memgan/report/table1.py", "VALUE = 1", "VALUE = 2")
    Path(held["HELD_BY"]).unlink()
    assert process.wait(300) == 0, mocked.said()
    assert list(mocked.status()) == ["table1"]
    assert mocked.snakemake() == ["table1"]
    assert mocked.status() == {}


@pytest.mark.xdist_group("stand-ins")
def test_what_params_yaml_said_in_between_is_not_recorded_as_what_it_says(mocked: Clone, held: dict[str, str]):
    mocked.edit("params.yaml", "pooling: avg", "pooling: max")
    process = mocked.started(f"snakemake --cores 2 {TABLE}", **held)
    mocked.wait_for(STAND_IN_STATE, process)
    for old, new in (("max", "avg"), ("avg", "max")):
        mocked.edit("params.yaml", f"\npooling: {old}", f"\npooling: {new}")
        time.sleep(4 * watch.PERIOD)
    Path(held["HELD_BY"]).unlink()
    assert process.wait(300) == 0, mocked.said()
    assert "was edited while they were made: train@birdworld-ours-0; not recorded: run again" in mocked.said()
    assert "train@birdworld-ours-0" in mocked.status()
    assert "train" in mocked.snakemake()
    assert mocked.status() == {}
    assert mocked.planned() == []


@pytest.mark.xdist_group("stand-ins")
def test_what_snakemake_only_touches_is_not_recorded(mocked: Clone):
    mocked.edit("params.yaml", "pooling: avg", "pooling: max")
    mocked.snakemake(f"--touch {TABLE}")
    assert "train@birdworld-ours-0" in mocked.status()
    assert "train" in mocked.planned()
