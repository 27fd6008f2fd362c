"""The benchmark of the loader: its figures, and that waiting is counted."""

import json
import time

import pytest

from benchmarks import loader
from benchmarks.run_all import LIMITS
from benchmarks.train_step import Bench


def test_its_last_line_holds_the_figures(tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(loader, "OUT", tmp_path / "out")
    loader.main(images=48, number=2, batch=4)
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert set(LIMITS["loader"]) <= set(found)
    assert 0 <= found["idle"] < 1
    assert found["loader_images_per_s"] > 0
    assert not (tmp_path / "out").exists()


def test_waiting_is_what_the_batches_take() -> None:
    def slow():
        for batch in range(3):
            time.sleep(0.05)
            yield batch

    done: list[int] = []
    waited, whole = loader.waits(slow(), lambda k: (done.append(k), time.sleep(0.02)))
    assert done == [0, 1, 2]
    assert waited >= 0.15  # a busy machine makes either longer, and neither shorter
    assert whole - waited >= 0.06


def test_alone_it_goes_once_through_the_pictures(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loader, "OUT", tmp_path / "out")
    loader.main(images=48, batch=4, alone=True)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["loader_images_per_s"] > 0 and "idle" not in found
    assert found["steps"] == 36 // Bench("birdworld", 4, {}).train.images  # a quarter of the pictures is the test split's
