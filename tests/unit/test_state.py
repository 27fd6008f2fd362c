"""Training states: found again, keyed, double-buffered, locked."""

import multiprocessing
import time
from pathlib import Path

import torch

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
