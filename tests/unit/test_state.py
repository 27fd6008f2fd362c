"""Training states: found again, keyed, double-buffered, locked."""

import errno
import multiprocessing
import os
import random
import shutil
import time
from pathlib import Path

import pytest
import torch

from memgan.errors import InputError
from memgan.state import TrainingState


def content(step: int) -> dict[str, object]:
    return {"step": step, "weights": torch.full((3,), float(step))}


def test_the_newest_state_is_found_and_an_older_one_if_it_is_damaged(tmp_path: Path) -> None:
    with TrainingState(tmp_path / "generator.safetensors", {"lr": 1}) as state:
        assert state.load() is None
        for step in (1, 2, 3):
            state.save(content(step))
            time.sleep(0.01)
        assert len(list(state.folder.glob("*.pt"))) == 2
        newest = max(state.folder.glob("*.pt"), key=lambda p: p.stat().st_mtime_ns)
        assert state.load()["step"] == 3
        newest.write_bytes(newest.read_bytes()[:100])
        assert state.load()["step"] == 2
        state.clear()
        assert state.load() is None


@pytest.mark.parametrize("place", [0, 64, 100, 200, -40])
def test_whatever_is_wrong_with_the_newest_state_the_older_one_is_taken(tmp_path: Path, place: int) -> None:
    with TrainingState(tmp_path / "generator.safetensors", {}) as state:
        for step in (1, 2):
            state.save(content(step))
            time.sleep(0.01)
        newest = max(state.folder.glob("*.pt"), key=lambda p: p.stat().st_mtime_ns)
        whole = newest.read_bytes()
        for damage in (bytes(30), random.Random(place).randbytes(30)):
            at = place % len(whole)
            newest.write_bytes(whole[:at] + damage + whole[at + 30 :])
            assert state.load()["step"] in (1, 2)  # it may have struck what nobody reads
        for other in (b"", random.Random(place).randbytes(3000)):
            newest.write_bytes(other)
            assert state.load()["step"] == 1
        torch.save({"weights": 1}, newest)
        assert state.load()["step"] == 1


def test_what_a_killed_process_left_half_written_goes(tmp_path: Path) -> None:
    out = tmp_path / "generator.safetensors"
    with TrainingState(out, {}) as state:
        state.save(content(1))
    for left in (state.folder / ".a.pt.4711.tmp", tmp_path / ".generator.safetensors.4711.tmp"):
        left.write_bytes(b"half")
    other = tmp_path / ".curves.csv.4711.tmp"
    other.write_bytes(b"another's")
    with TrainingState(out, {}) as state:
        assert state.load()["step"] == 1
    assert [path.name for path in tmp_path.rglob(".*.tmp")] == [other.name]


def test_what_is_finished_is_given_back_once_it_is_gone(tmp_path: Path) -> None:
    out, curves = tmp_path / "generator.safetensors", tmp_path / "curves.csv"
    with TrainingState(out, {"lr": 1}) as state:
        assert not state.finished(out, curves)
        state.save(content(1))
        out.write_bytes(b"weights")
        curves.write_bytes(b"losses")
        state.finish(out, curves)
        assert state.load() is None
    out.unlink()
    curves.unlink()
    with TrainingState(out, {"lr": 2}) as other:
        assert not other.finished(out, curves)
    with TrainingState(out, {"lr": 1}, writes=False) as reader:
        assert not reader.finished(out, curves)
    assert not out.exists()
    with TrainingState(out, {"lr": 1}) as state:
        assert state.finished(out, curves)
    assert (out.read_bytes(), curves.read_bytes()) == (b"weights", b"losses")


def test_where_there_are_no_hard_links_finished_outputs_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    out = tmp_path / "a.safetensors"
    out.write_bytes(b"weights")
    with TrainingState(out, {}) as state:
        state.finish(out)
        out.unlink()
        assert state.finished(out)
    assert out.read_bytes() == b"weights"


def test_a_training_is_good_without_room_for_the_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copy2", full)
    out = tmp_path / "a.safetensors"
    out.write_bytes(b"weights")
    with TrainingState(out, {}) as state:
        state.finish(out)
        assert not state.finished(out)
    assert out.read_bytes() == b"weights"


def test_seconds_that_are_no_number_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMGAN_STATE_EVERY", "60s")
    with pytest.raises(InputError, match="MEMGAN_STATE_EVERY: `60s` is no number of seconds"):
        TrainingState(tmp_path / "a.safetensors", {})


def test_a_state_of_other_parameters_is_not_resumed_and_is_named(tmp_path: Path, caplog) -> None:
    with TrainingState(tmp_path / "generator.safetensors", {"lr": 1}) as state:
        state.save(content(5))
        stale = state.folder
    logger = __import__("logging").getLogger("memgan")
    logger.propagate = True
    with caplog.at_level("INFO", "memgan"), TrainingState(tmp_path / "generator.safetensors", {"lr": 2}) as other:
        assert other.load() is None
    assert str(stale) in caplog.text
    with TrainingState(tmp_path / "generator.safetensors", {"lr": 1}) as again:
        assert again.load()["step"] == 5


def hold(path: Path, entered: multiprocessing.Event, seconds: float) -> None:
    with TrainingState(path, {}):
        entered.set()
        time.sleep(seconds)


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    entered = spawn.Event()
    process = spawn.Process(target=hold, args=(tmp_path / "a.safetensors", entered, 1.5))
    process.start()
    assert entered.wait(300)
    started = time.monotonic()
    with TrainingState(tmp_path / "a.safetensors", {}):
        assert time.monotonic() - started > 0.5
    process.join()


def test_patience_with_the_first_may_end(tmp_path: Path) -> None:
    with (
        TrainingState(tmp_path / "a.safetensors", {}),
        pytest.raises(InputError, match="another process still trains"),
        TrainingState(tmp_path / "a.safetensors", {}, patience=0.3),
    ):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    entered = spawn.Event()
    process = spawn.Process(target=hold, args=(tmp_path / "a.safetensors", entered, 600))
    process.start()
    assert entered.wait(300)
    process.kill()
    process.join()
    with TrainingState(tmp_path / "a.safetensors", {}) as state:
        assert state.load() is None
