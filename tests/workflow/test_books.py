"""The part of the record that leans on the insides of DVC, against those insides: its notes of who is at work, and dvc.lock."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.dependency import param
from dvc.fs import localfs
from dvc.utils import serialize

from tests.workflow.clones import ROOT
from workflow.record import books, bulk


def test_the_look_reads_parameters_as_dvc_does(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(param, "read_param_file", param.read_param_file)
    keys = ["pooling", "seeds", "gan", "gan.stages", "data.birdworld.source", "runs.max", "nosuch", "gan.nosuch", "pooling.nosuch"]
    by_dvc = param.read_param_file(localfs, str(ROOT / "params.yaml"), keys, flatten=True)
    bulk.read_params_once()
    monkeypatch.setattr(param, "dpath", None)  # DVC's own way of looking entries up
    assert param.read_param_file(localfs, str(ROOT / "params.yaml"), keys, flatten=True) == by_dvc
    assert set(keys) - by_dvc.keys() == {"nosuch", "gan.nosuch", "pooling.nosuch"}


def note_reader(pid: int) -> None:
    books.TEMPORARY.mkdir(parents=True)
    (books.TEMPORARY / "rwlock").write_text(json.dumps({"read": {"/x": [{"pid": pid, "cmd": "dvc repro"}]}}))


def test_a_living_dvc_is_at_work_and_a_dead_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert books.at_work() is None
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    note_reader(process.pid)
    assert books.at_work() == f"`dvc repro` (PID {process.pid})"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert books.at_work() is None  # a zombie, until it is waited for
    process.wait()
    assert books.at_work() is None


def test_a_younger_process_with_the_number_of_a_dead_dvc_is_not_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As after a restart of the machine; DVC itself would wait for it for ever."""
    monkeypatch.chdir(tmp_path)
    note_reader(os.getppid())
    assert books.at_work()
    os.utime(books.RWLOCK, (1, 1))
    assert books.at_work() is None


def test_what_a_killed_dvc_holds_is_taken_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    holder = {"pid": os.getppid(), "cmd": "dvc repro"}
    books.TEMPORARY.mkdir(parents=True)
    books.RWLOCK.write_text(json.dumps({"write": {str(tmp_path / "out"): holder}}))
    with pytest.raises(SystemExit, match=r"^error: `dvc repro` \(PID \d+\) is at work here"):
        books.claim()
    os.utime(books.RWLOCK, (1, 1))
    books.claim()
    assert [reader["cmd"] for reader in json.loads(books.RWLOCK.read_text())["read"][str(tmp_path)]] == ["snakemake"]
    books.release()


@pytest.mark.parametrize("left", ["", '{"read": {"/x'])
@pytest.mark.parametrize("file", [books.RWLOCK, books.EXPERIMENTS])
def test_what_a_kill_has_left_of_dvc_s_notes_is_in_nobody_s_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path, left: str
):
    monkeypatch.chdir(tmp_path)
    file.parent.mkdir(parents=True)
    file.write_text(left)
    books.claim()
    assert "snakemake" in file.read_text()
    books.release()


def test_experiments_elsewhere_are_in_nobody_s_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    books.EXPERIMENTS.parent.mkdir(parents=True)
    holder = {"pid": os.getppid(), "cmd": "dvc exp run --run-all"}
    books.EXPERIMENTS.write_text(json.dumps({"write": {"refs/exps/stash": holder}}))
    assert books.at_work() is None
    books.EXPERIMENTS.write_text(json.dumps({"write": {"refs/exps/stash": holder, books.WORKSPACE: holder}}))
    assert books.at_work() == f"`dvc exp run --run-all` (PID {os.getppid()})"


LOCK = """schema: '2.0'
stages:
  a:
    cmd: one
  b:
    cmd: two
    outs:
    - path: x
      md5: abc
"""


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        (LOCK, LOCK),
        (LOCK[: LOCK.index("    outs") + 7], LOCK[: LOCK.index("  b:")]),
        (LOCK[:30], None),
        (LOCK[:9], None),
        ("", None),
    ],
)
def test_whole_stages_of_a_dvc_lock_that_was_cut_off_are_kept(tmp_path: Path, left: str, kept: str | None):
    lock = tmp_path / "dvc.lock"
    lock.write_text(left)
    said = bulk.mend(lock)
    assert (lock.read_text() if lock.exists() else None) == kept
    assert (said is None) == (left == LOCK)
    assert bulk.mend(lock) is None


def test_a_kill_while_dvc_lock_is_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for module in (serialize._common, serialize._yaml):
        monkeypatch.setattr(module, "_dump_data", module._dump_data)
    (lock := tmp_path / "dvc.lock").write_text(LOCK)
    bulk.write_whole()
    with serialize.modify_yaml(lock) as content:
        content["stages"]["a"]["cmd"] = "three"
    assert lock.read_text() == LOCK.replace("one", "three")
    monkeypatch.setattr(Path, "replace", lambda *_: sys.exit("killed"))
    with pytest.raises(SystemExit, match="killed"), serialize.modify_yaml(lock) as content:
        content["stages"]["a"]["cmd"] = "four"
    assert lock.read_text() == LOCK.replace("one", "three")
