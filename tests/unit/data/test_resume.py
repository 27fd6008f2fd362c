"""Preprocessing on several processes, killed and resumed: always the same bytes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest

from memgan import steps
from memgan.data import prepare, preprocess, writer
from memgan.data.shards import ImageFolder
from memgan.errors import InputError
from tests.factory import ROOT
from tests.rawdata import cub_members, pack, write_params, write_sources

CUB = {"layout": "cub", "split": "official", "archives": {"images": {"path": "images.tgz"}, "captions": {"path": "captions.tgz"}}}
COUNT = 24
BROKEN = "CUB_200_2011/images/002.Blue_bird/bird.no_0007.jpg"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(writer, "PER_SHARD", 5)
    monkeypatch.setattr(writer, "SYNC_EVERY", 4)
    yield
    steps.log.handlers.clear()


def sources(**more) -> None:
    images, captions = cub_members(COUNT)
    images[BROKEN] = b"no picture"
    files = {"images": pack(Path("images.tgz"), images), "captions": pack(Path("captions.tgz"), captions)}
    write_sources(Path("sources.json"), "cub", files)
    params(1, **more)


def params(skipped: int, short_side: int = 20, **more) -> None:
    write_params(Path(), CUB | {"max_skipped": skipped} | more, {"size": 16, "short_side": short_side})


def bytes_of(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def made(out: str, processes: int = 1) -> dict[str, bytes]:
    preprocess.main("own", Path("sources.json"), Path(out) / "images", processes)
    assert sorted(path.name for path in Path(out).iterdir()) == ["images", "state"]
    assert not list((Path(out) / "state").iterdir())
    return bytes_of(f"{out}/images")


@pytest.fixture
def own_server():
    """Of the forks of this test: a process has one, and other tests' would have imported other things."""
    forkserver._forkserver._stop()
    yield
    forkserver._forkserver._stop()


def test_the_number_of_processes_changes_no_byte(monkeypatch, own_server):
    monkeypatch.setattr(prepare, "LITTLE", 0)
    monkeypatch.setattr(prepare, "CHUNK", 3)
    sources()
    one = made("one")
    assert len(one) == 3 + 2 + 1 and one == made("two", 2)
    assert len(ImageFolder(Path("two/images"), "train")) == 15


@pytest.mark.parametrize(("told", "count"), [("3", 3), ("", steps.cores()), ("0", steps.cores())])
def test_processes_are_the_cores_of_the_job(monkeypatch, told, count):
    monkeypatch.setenv(prepare.CORES, told)
    assert prepare.cores() == count


@pytest.mark.parametrize("stop", [1, 4, 7, COUNT - 1])
def test_what_was_done_before_a_stop_is_not_done_again(monkeypatch, stop):
    sources()
    whole = made("whole")
    worked: list[str] = []
    outcome = prepare.outcome

    def stopping(record, images):
        if len(worked) == stop:
            raise KeyboardInterrupt
        worked.append(record.id)
        return outcome(record, images)

    monkeypatch.setattr(prepare, "outcome", stopping)
    with pytest.raises(KeyboardInterrupt):
        made("again")
    assert not Path("again/images").exists()
    again: list[str] = []
    monkeypatch.setattr(prepare, "outcome", lambda record, images: (again.append(record.id), outcome(record, images))[1])
    assert made("again") == whole
    assert len(again) == COUNT - stop + stop % writer.SYNC_EVERY


def stopped(monkeypatch, after: int) -> Path:
    """A state of a run that was stopped after so many records."""
    outcome, count = prepare.outcome, iter(range(after))
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "outcome", lambda *given: (next(count), outcome(*given))[1])
        with pytest.raises((StopIteration, RuntimeError)):
            preprocess.main("own", Path("sources.json"), Path("out/images"), 1)
    return next(path for path in Path("out/state/images").iterdir() if path.is_dir())


@pytest.mark.parametrize("damage", ["journal", "shard", "no shard", "more"])
def test_what_is_damaged_is_done_again(monkeypatch, damage):
    sources()
    whole, state = made("whole"), stopped(monkeypatch, 18)
    journal = state.with_suffix(".journal")
    if damage == "journal":
        journal.write_bytes(journal.read_bytes()[:-40])
    elif damage == "shard":
        os.truncate(state / "train-00001.tar", 700)
    elif damage == "no shard":
        (state / "test-00000.tar").unlink()
    else:
        with (state / "train-00002.tar").open("ab") as file:
            file.write(b"written when the run was killed")
    assert made("out") == whole


def test_another_state_is_not_gone_on_with_unless_only_the_limit_changed(monkeypatch):
    sources()
    params(0)
    said: list[str] = []
    monkeypatch.setattr(steps.log, "info", lambda text, *values: said.append(text % values))
    with pytest.raises(InputError, match=r"bird.no_0007.jpg: does not decode .* raise `data.own.source.max_skipped`"):
        preprocess.main("own", Path("sources.json"), Path("out/images"), 1)
    params(1)
    made("out")
    assert any(line.startswith("resuming after 4 records") for line in said)
    params(0)
    with pytest.raises(InputError):
        preprocess.main("own", Path("sources.json"), Path("out/images"), 1)
    params(1, short_side=22)
    said.clear()
    made("out")
    assert any("the stale state" in line for line in said) and not any(line.startswith("resuming") for line in said)


def test_a_killed_process_goes_on(monkeypatch, tmp_path):
    images, captions = cub_members(400)
    files = {"images": pack(Path("images.tgz"), images), "captions": pack(Path("captions.tgz"), captions)}
    write_params(Path(), CUB, {"size": 64, "short_side": 76})
    write_sources(Path("sources.json"), "cub", files)
    command = [sys.executable, "-m", "memgan.data.preprocess", "--dataset", "own", "--sources", "sources.json", "--processes", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(
        [*command, "--out", "out/images"], env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while process.poll() is None and not any(path.stat().st_size for path in Path("out").rglob("*.journal")):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not Path("out/images").exists()
    done = subprocess.run([*command, "--out", "out/images"], env=environment, capture_output=True, text=True, check=True)
    assert "resuming after " in done.stderr
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert bytes_of("out/images") == made("whole")


def test_a_command_on_two_processes_says_what_one_says():
    images, captions = cub_members()
    large = {"CUB_200_2011/notes": random.Random(0).randbytes(prepare.LITTLE)}  # as much is worth a second process
    files = {"images": pack(Path("images.tgz"), images | large), "captions": pack(Path("captions.tgz"), captions)}
    write_params(Path(), CUB, {"size": 16, "short_side": 20})
    write_sources(Path("sources.json"), "cub", files)
    command = [
        sys.executable,
        "-m",
        "memgan.data.preprocess",
        "--dataset",
        "own",
        "--sources",
        "sources.json",
        "--out",
        "out/images",
    ]
    said = {}
    for processes in ("1", "2"):
        done = subprocess.run(
            [*command, "--out", "out/images", "--processes", processes],
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            check=True,
        )
        said[processes] = (done.stderr, done.stdout, bytes_of("out/images"))
    assert said["1"] == said["2"]


def test_counts_that_differ_from_the_makers_are_said(monkeypatch):
    sources(counts={"train_images": 16, "test_images": 8, "captions": 2})
    said: list[str] = []
    monkeypatch.setattr(steps.log, "info", lambda text, *values: said.append(text % values))
    made("out")
    assert "own: 15 train images, though its makers count 16" in said
    assert json.loads(Path("out/images/index.json").read_text())["manifest"]["step"] == "memgan.data.preprocess"
