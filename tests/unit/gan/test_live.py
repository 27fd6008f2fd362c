"""What is seen of a training while it runs."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from memgan import signals
from memgan.gan import live
from memgan.gan.live import Clock, Curves
from memgan.signals import Stop


def steps_of(path: Path) -> list[int]:
    return [int(line.split("\t")[0]) for line in path.read_text().splitlines()[1:]]


def test_curves_and_sheets_in_dvclives_format_go_on_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(live.SWITCH, raising=False)
    folder, beside, sheet = tmp_path / "dvclive/birdworld/ours/0", tmp_path / "state", np.zeros((8, 8, 3), np.uint8)
    killed = Curves(folder, beside, 0)
    for step in (0, 10, 20, 30):
        killed.point(step, {"loss/d0": step / 2, "speed/images_per_s": 3.0}, sheet if step in (10, 30) else None)
    again = Curves(folder, beside, 25)  # its last state was that of step 25
    again.point(30, {"loss/d0": 7.0})
    path = folder / "metrics/loss/d0.tsv"
    assert path.read_text() == "step\td0\n0\t0.0\n10\t5.0\n20\t10.0\n30\t7.0\n"
    assert steps_of(folder / "metrics/speed/images_per_s.tsv") == [0, 10, 20]
    assert [p.name for p in (folder / "images/samples").iterdir()] == ["0000010.png"]
    assert json.loads((beside / "metrics.json").read_text())["loss"]["d0"] == 7.0
    Curves(folder, beside, 0)  # other parameters: from the beginning
    assert not path.exists()
    assert not (tmp_path / ".dvc").exists()


@pytest.mark.parametrize("damage", ["summary", "curve"])
def test_files_that_a_kill_cut_off_cost_the_curves_and_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(live.SWITCH, raising=False)
    folder, beside = tmp_path / "dvclive/birdworld/ours/0", tmp_path / "state"
    killed = Curves(folder, beside, 0)
    for step in (0, 10):
        killed.point(step, {"loss/d0": 1.0, "loss/d1": 2.0})
    (beside / "metrics.json" if damage == "summary" else folder / "metrics/loss/d0.tsv").write_text('{"lo' * (damage == "summary"))
    again = Curves(folder, beside, 5)
    again.point(10, {"loss/d0": 7.0, "loss/d1": 8.0})
    assert steps_of(folder / "metrics/loss/d0.tsv") == [10]
    assert steps_of(folder / "metrics/loss/d1.tsv") == ([10] if damage == "summary" else [0, 10])
    assert json.loads((beside / "metrics.json").read_text())["loss"]["d0"] == 7.0


def test_curves_can_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(live.SWITCH, "off")
    Curves(tmp_path / "dvclive", tmp_path, 0).point(0, {"loss/d0": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_more_ends_the_curves_and_nothing_else(tmp_path: Path) -> None:
    class Full:
        plots_dir = "dvclive"

        def log_metric(self, *_: object) -> None:
            raise OSError(28, "No space left on device")

    curves = Curves(None, tmp_path, 0)
    curves.live = Full()
    curves.point(3, {"loss/d0": 1.0})
    curves.point(4, {"loss/d0": 1.0})
    assert curves.live is None


def test_pace_and_waiting() -> None:
    clock = Clock(first=10, last=110, batch=4)
    clock.began = time.monotonic() - 20
    clock.wait(1.0)
    told = clock.progress(60, {"d0": 1.23456789}, "training")
    assert told["images_per_s"] == pytest.approx(10, rel=0.01)
    assert told["eta_s"] == pytest.approx(20, abs=1)
    assert told["idle"] == pytest.approx(0.05, rel=0.02)
    assert told["terms"] == {"d0": 1.2346}
    assert told["memory_gb"] > 0.01


def test_the_first_signal_is_noted_and_a_late_second_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest's workers ignore it
    with Stop() as stop:
        assert stop.name == ""
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.name == "SIGTERM"
        os.kill(os.getpid(), signal.SIGINT)  # an engine's echo
        assert stop.name == "SIGTERM"
        monkeypatch.setattr(signals, "ECHO", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
    signal.signal(signal.SIGINT, interrupt)
    assert signal.getsignal(signal.SIGTERM) is before
