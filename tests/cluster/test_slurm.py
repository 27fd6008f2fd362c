"""Table 1's chain through a real Slurm, by the profile that users take."""

import os
from pathlib import Path

import pytest

from tests.workflow.clones import ONE_WORLD, TABLE, Clone, make

pytestmark = pytest.mark.cluster
HERE = "--slurm-status-command squeue --slurm-init-seconds-before-status-checks 3"  # no accounting, and jobs of a second
COMMAND = f"snakemake --workflow-profile profiles/slurm {HERE} {TABLE}"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, plugins: dict[str, str], slurm: tuple[Path, Path]) -> Clone:
    clone = make(tmp_path_factory.mktemp("slurm-run") / "clone", ONE_WORLD)
    config, commands = slurm
    clone.env |= {"SLURM_CONF": str(config), "PATH": f"{commands}{os.pathsep}{clone.env['PATH']}"}
    clone.run(COMMAND, timeout=1200, **plugins)
    return clone


def test_slurm_ran_the_jobs(clone: Clone):
    jobs = clone.run("squeue --states=all --noheader -o '%T %Z'").stdout
    mine = [line.split() for line in jobs.splitlines() if str(clone.path) in line]
    assert len(mine) == 15
    assert {state for state, _ in mine} <= {"COMPLETED", "COMPLETING"}


def test_the_record_is_kept_as_on_one_machine(clone: Clone):
    assert clone.status() == {}
    assert clone.planned() == []
    assert clone.repro() == []


def test_the_results_are_those_of_one_machine(clone: Clone, tmp_path: Path):
    other = make(tmp_path / "clone", ONE_WORLD)
    other.snakemake()
    assert clone.digests() == other.digests()
