"""`memgan status`: what is told of runs that train, have stopped, or are done."""

import fcntl
import json
import time
from pathlib import Path

from memgan.report.status import spoken, status, table
from memgan.state import LOCK, PROGRESS

TOLD = {"step": 300, "steps": 1200, "saved": 250, "images_per_s": 21.5, "eta_s": 3725, "terms": {"d0": 1.25, "g0": 0.5}}


def told(results: Path, name: str, state: str) -> Path:
    root = results / name / "state/generator"
    root.mkdir(parents=True)
    (root / PROGRESS).write_text(json.dumps(TOLD | {"state": state, "time": time.time() - 90}))
    (root / LOCK).touch()
    return results / name


def test_runs_that_train_have_stopped_or_are_done(tmp_path: Path) -> None:
    running = told(tmp_path, "birdworld/ours/0", "training")
    told(tmp_path, "birdworld/ours/1", "training")  # killed: it tells of a training that nobody goes on with
    done = told(tmp_path, "sceneworld/max/0", "finished")
    (done / "generator.safetensors").touch()
    (done / "metrics.json").write_text(json.dumps({"metrics": {"FID": {"value": 12.5}, "KID": {"value": 0.25}}}))
    with (running / "state/generator" / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        entries = status(tmp_path)
        lines = table(entries).splitlines()
    assert [entry["training"] for entry in entries] == ["running", "stopped", "done"]
    said = [" ".join(line.split()) for line in lines]
    assert said[1] == "birdworld ours 0 running 300 of 1200 21.5 1 h 2 min d0 1.250 g0 0.500"
    assert said[2] == "birdworld ours 1 stopped 300 of 1200 21.5 d0 1.250 g0 0.500"
    assert said[3] == "sceneworld max 0 done 1200 FID 12.5, KID 0.25"
    assert lines[4].startswith("birdworld/ours/1: stopped 1 min 30 s ago; the same command goes on from step 250")
    assert len(lines) == 5


def test_results_from_elsewhere_and_cut_off_files_are_no_faults(tmp_path: Path) -> None:
    (tmp_path / "birdworld/ours/0").mkdir(parents=True)
    (tmp_path / "birdworld/ours/0/generator.safetensors").touch()
    (told(tmp_path, "birdworld/ours/1", "training") / "state/generator" / PROGRESS).write_text('{"step": ')
    assert [entry["training"] for entry in status(tmp_path)] == ["done", "stopped"]
    assert "stopped before its first step" in table(status(tmp_path))


def test_nothing_trained_says_what_to_do(tmp_path: Path) -> None:
    assert "make table1" in table(status(tmp_path))


def test_times_are_spoken() -> None:
    assert [spoken(s) for s in (4.4, 61, 3600, 7384)] == ["4 s", "1 min 1 s", "1 h 0 min", "2 h 3 min"]
