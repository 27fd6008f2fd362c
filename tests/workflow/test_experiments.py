"""`dvc exp run` in the workspace, with --temp, and queued: Snakemake agrees after each."""

import json
import time

import pytest

from tests.workflow.clones import TABLE, Clone, stages

ONWARD = ["extra_samples", "metrics", "sample", "table1", "train"]


def in_the_workspace_and_back(clone: Clone) -> bytes:
    """Both engines agree after each; returns the table as it was in between."""
    table = clone.path / TABLE
    before = table.read_bytes()
    assert stages(clone.run("dvc exp run -S pooling=max").stdout) == ONWARD
    assert clone.planned() == []
    assert clone.status() == {}
    between = table.read_bytes()
    assert between != before
    assert "FID" in clone.run("dvc exp show --csv").stdout.splitlines()[0]
    assert stages(clone.run("dvc exp run -S pooling=avg").stdout) == [], "going back comes from the run-cache"
    assert table.read_bytes() == before
    assert clone.planned() == []
    assert clone.status() == {}
    return between


@pytest.mark.xdist_group("stand-ins")
def test_in_the_workspace_and_back(mocked: Clone):
    in_the_workspace_and_back(mocked)


@pytest.mark.slow
@pytest.mark.xdist_group("real")
def test_in_the_workspace_and_back_with_real_steps(snakemade: Clone):
    assert b"max" in in_the_workspace_and_back(snakemade), "a row with another pooling must not look like the paper's"


@pytest.mark.xdist_group("stand-ins")
def test_in_a_temporary_folder_and_applied(mocked: Clone):
    assert stages(mocked.run("dvc exp run --temp -S pooling=max").stdout) == ONWARD
    assert mocked.status() == {}
    (name,) = mocked.run("dvc exp list --name-only").stdout.split()
    mocked.run(f"dvc exp apply {name}")
    assert "\npooling: max" in (mocked.path / "params.yaml").read_text()
    assert mocked.planned() == []
    assert mocked.status() == {}


def shown(revision: dict) -> tuple[str, str]:
    """Pooling and all scores of a commit, or of an experiment's newest one."""
    data = (revision["revs"][0] if "revs" in revision else revision)["data"]
    return data["params"]["params.yaml"]["data"]["pooling"], json.dumps(data["metrics"])


@pytest.mark.xdist_group("stand-ins")
def test_queued(mocked: Clone):
    mocked.run("dvc exp run --queue -S pooling=max")
    mocked.run("dvc queue start")
    deadline = time.monotonic() + 240
    while not any(word in (said := mocked.run("dvc queue status").stdout) for word in ("Success", "Failed")):
        assert time.monotonic() < deadline, said
        time.sleep(5)
    assert "Success" in said, said
    mocked.run("dvc queue stop")
    *_, baseline = json.loads(mocked.run("dvc exp show --json --no-pager 2>/dev/null").stdout)
    poolings, scores = zip(*map(shown, [baseline, *baseline["experiments"]]), strict=True)
    assert poolings == ("avg", "max")
    assert scores[0] != scores[1] and all("FID" in each for each in scores)
    assert "\npooling: max" not in (mocked.path / "params.yaml").read_text()
    assert mocked.planned() == []
    assert mocked.status() == {}


@pytest.mark.xdist_group("stand-ins")
def test_an_unknown_entry_is_refused(mocked: Clone):
    done = mocked.run("dvc exp run -S nosuch=1", check=False)
    assert done.returncode != 0
    assert "nosuch" in done.stdout and "Traceback" not in done.stdout
    assert mocked.status() == {}
    assert mocked.planned() == []
