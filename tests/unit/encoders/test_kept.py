"""A training of encoders that is killed or told to end goes on, and ends in the same bytes."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from memgan import artifacts, steps
from memgan.encoders import damsm, evaluator, fit, vgg
from memgan.errors import InputError
from tests.unit.encoders.conftest import write_params

STEPS = {"damsm": damsm, "evaluator": evaluator, "vgg": vgg}
LONGER = {"damsm": {"epochs": 3}, "evaluator": {"epochs": 3}, "features": {"epochs": 2.5}}  # 12, 6 and 10 steps


@pytest.fixture(params=STEPS)
def step(request, project, monkeypatch):
    """The step's name. It saves a state after every update."""
    write_params(project, **LONGER)
    artifacts.write_json(Path("vocabulary.json"), {"words": ["red", "green", "blue", "yellow", "square"]})
    monkeypatch.setenv("MEMGAN_STATE_EVERY", "0")
    return request.param


@pytest.fixture
def said(monkeypatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(steps.log, "info", lambda text, *values: told.append(text % values))
    return told


def run(step: str, out: str) -> bytes:
    path = Path(out) / f"{step}.safetensors"
    STEPS[step].main(images=Path("images"), vocabulary=Path("vocabulary.json"), dataset="birdworld", out=path)
    return path.read_bytes()


def after(count: int, do, monkeypatch) -> None:
    """Lets `do` happen as the loss of update `count` is known."""
    checked, calls = fit.checked, iter(range(1, 1000))

    def counted(*given):
        if next(calls) == count:
            do()
        return checked(*given)

    monkeypatch.setattr(fit, "checked", counted)


class Killed(BaseException):
    """As a kill does, it ends the step wherever it is, and nothing is tidied up that catches exceptions."""


def kill() -> None:
    raise Killed


@pytest.mark.parametrize("update", [1, 2, 4, 5, 6])
def test_killed(step, update, monkeypatch, said):
    whole = run(step, "whole")
    losses = [line for line in said if "epoch" in line]
    with monkeypatch.context() as patch:
        after(update, kill, patch)
        with pytest.raises(Killed):
            run(step, "killed")
    assert not list(Path("killed").glob("*.safetensors"))
    said.clear()
    assert run(step, "killed") == whole
    resumed = [line.partition(" (")[0] for line in said if line.startswith("resuming")]
    assert resumed == [f"resuming from step {update - 1}"] * (update > 1)
    told = [line.rpartition(",")[0] for line in said if "epoch" in line]
    assert told == [line.rpartition(",")[0] for line in losses][-len(told) :]


def test_told_to_end(step, monkeypatch, said):
    whole = run(step, "whole")
    with monkeypatch.context() as patch:
        patch.setenv("MEMGAN_STATE_EVERY", "600")
        after(3, lambda: os.kill(os.getpid(), signal.SIGTERM), patch)
        with pytest.raises(SystemExit) as ended:
            run(step, "told")
    assert ended.value.code == 0
    assert said[-1] == "stopped by SIGTERM after step 3: its state is saved; the same command goes on"
    assert run(step, "told") == whole


def test_a_step_whose_end_no_engine_heard_of_is_not_done_again(step, monkeypatch):
    whole = run(step, "out")
    Path(f"out/{step}.safetensors").unlink()
    after(1, kill, monkeypatch)
    assert run(step, "out") == whole


def test_other_parameters_train_anew(step, project, monkeypatch):
    run(step, "out")
    write_params(project, **{name: {**block, "lr": 1e-3} for name, block in LONGER.items()})
    after(1, kill, monkeypatch)
    with pytest.raises(Killed):
        run(step, "out")


def test_what_was_changed_since_is_trained_anew(step, monkeypatch):
    run(step, "out")
    path = Path(f"out/{step}.safetensors")
    with path.open("r+b") as file:  # in place: the link that is kept shows the same
        file.seek(-4, os.SEEK_END)
        file.write(bytes(4 * [0x55]))
    path.unlink()
    after(1, kill, monkeypatch)
    with pytest.raises(Killed):
        run(step, "out")


def test_a_state_that_cannot_be_written_is_said(step, monkeypatch):
    shutil.rmtree("out", ignore_errors=True)
    with monkeypatch.context() as patch:
        patch.setattr("torch.save", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(InputError, match="its state cannot be written"):
            run(step, "out")
