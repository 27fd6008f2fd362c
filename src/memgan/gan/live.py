"""What is seen of a training while it runs: curves and sheets in DVCLive's format, a bar on a terminal, `progress.json`.

The curves lie in `dvclive/<dataset>/<run>/<seed>/`, outside of results/: neither engine declares, deletes or records them, and git
ignores them. `dvc plots show` draws them. MEMGAN_LIVE=off leaves them out.
"""

import os
import resource
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from memgan import device
from memgan.steps import log

SWITCH = "MEMGAN_LIVE"
ROOT = Path("dvclive")
TELL = 2.0  # seconds between two notes of progress, at least


class Curves:
    """DVCLive's files of one training. A disk that takes no more ends them with a line in the log, not the training.

    Curves and sheets lie in `folder`, the summary (`metrics.json`) in `beside`: `dvc plots show` would take it for a curve.
    """

    def __init__(self, folder: Path | None, beside: Path, first: int):
        self.live: Any = None
        if folder is None or os.environ.get(SWITCH) == "off":
            return
        try:
            if first:
                forget(folder, first)
            else:
                shutil.rmtree(folder, ignore_errors=True)
            self.live = _live(folder, beside, first > 0)
        except (OSError, ValueError) as fault:  # DVCLive writes in place: a kill or a full disk cuts its files off
            log.info("the curves in %s begin anew at step %d: %s", folder, first, fault)
            self.live = _anew(folder, beside)

    def point(self, step: int, values: Mapping[str, float], sheet: np.ndarray | None = None) -> None:
        """Adds a point to each curve, named `kind/name`, and the sheet of samples (uint8 H x W x 3) if there is one."""
        if self.live is None:
            return
        try:
            self.live.step = step
            for name, value in values.items():
                self.live.log_metric(name, float(value))
            if sheet is not None:
                self.live.log_image(f"samples/{step:07d}.png", sheet)
            self.live.sync()
        except OSError as fault:
            log.info("the curves in %s end at step %d: %s", self.live.plots_dir, step, fault)
            self.live = None


def _live(folder: Path, beside: Path, resume: bool) -> Any:
    from dvclive import Live  # takes a second

    class Apart(Live):
        @property
        def plots_dir(self) -> str:
            return str(folder)

    return Apart(str(beside), resume=resume, dvcyaml=None, save_dvc_exp=False)


def _anew(folder: Path, beside: Path) -> Any:
    """Without what is there; None if the disk takes nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        (beside / "metrics.json").unlink(missing_ok=True)
        return _live(folder, beside, False)
    except OSError as fault:
        log.info("there are no curves in %s: %s", folder, fault)
        return None


def forget(folder: Path, first: int) -> None:
    """Drops what a killed run wrote after its last state: points and sheets of step `first` and later."""
    for path in folder.glob("metrics/**/*.tsv"):
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines[1:] if line.partition("\t")[0].isdigit() and int(line.partition("\t")[0]) < first]
        if kept:
            path.write_text("\n".join([lines[0], *kept]) + "\n", encoding="utf-8")
        else:  # nothing, not even a whole line of names
            path.unlink()
    for path in folder.glob("images/samples/*.png"):
        if int(path.stem) >= first:
            path.unlink()


class Clock:
    """Pace of a training, and how long it waited for data."""

    def __init__(self, first: int, last: int, batch: int):
        self.first, self.last, self.batch = first, last, batch
        self.began, self.waited, self.told = time.monotonic(), 0.0, 0.0

    def wait(self, seconds: float) -> None:
        """Adds time that went by without a batch."""
        self.waited += seconds

    @property
    def seconds(self) -> float:
        """Since the first step."""
        return time.monotonic() - self.began

    @property
    def idle(self) -> float:
        """Share of the time spent waiting for data."""
        return self.waited / max(self.seconds, 1e-9)

    def pace(self, done: int) -> float:
        """Images a second after `done` steps, counted from 0."""
        return (done - self.first) * self.batch / max(self.seconds, 1e-9)

    def due(self) -> bool:
        """Whether to tell of the progress again."""
        if time.monotonic() - self.told < TELL:
            return False
        self.told = time.monotonic()
        return True

    def progress(self, done: int, terms: Mapping[str, float], state: str) -> dict[str, Any]:
        """What `progress.json` says."""
        pace = self.pace(done)
        return {
            "state": state,
            "step": done,
            "steps": self.last,
            "images_per_s": round(pace, 2),
            "eta_s": round((self.last - done) * self.batch / pace) if pace else None,
            "seconds": round(self.seconds, 1),
            "idle": round(self.idle, 4),
            **{name: round(value, 3) for name, value in memory().items()},
            "time": round(time.time()),
            "terms": {name: float(f"{value:.5g}") for name, value in terms.items()},
        }


def memory() -> dict[str, float]:
    """Largest memory that this process has held, in GB: `memory_gb`, and `gpu_memory_gb` where it computes on one."""
    held = {"memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}
    return held | ({"gpu_memory_gb": on_gpu} if (on_gpu := device.memory()) else {})
