"""Training states: what a killed run leaves behind, and how the next one finds it.

Both engines delete a rule's outputs before they run it, so states lie beside the output in an undeclared folder:
`<folder of the output>/state/<name of the output>/<key>/`. The key is a hash of the step's parameters, code and inputs: a state
with another key is never resumed. Two files are written in turn, each atomically: if the last is damaged, the one before is there.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch

from memgan.artifacts import atomic_file
from memgan.steps import log

EVERY = "MEMGAN_STATE_EVERY"  # seconds between two states
DEFAULT_SECONDS = 60.0


class TrainingState:
    """The state of one training. Use as a context: it holds a lock, which the system frees however the process ends."""

    def __init__(self, output: Path, manifest: Mapping[str, Any]):
        self.root = output.parent / "state" / output.stem
        self.folder = self.root / hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
        self.seconds = float(os.environ.get(EVERY, DEFAULT_SECONDS))
        self.saved = time.monotonic()

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        self._lock = (self.root / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting: another process, perhaps of a killed run, still trains %s", self.root)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        for other in sorted(path for path in self.root.iterdir() if path.is_dir() and path != self.folder):
            log.info("not resumed, since it is of other parameters, code or inputs: the stale state %s", other)
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def load(self) -> dict[str, Any] | None:
        """The newest readable state, or None."""
        for path in sorted(self.folder.glob("*.pt"), key=lambda p: p.stat().st_mtime_ns, reverse=True):
            try:
                state = torch.load(path, weights_only=True)
            except (RuntimeError, OSError, EOFError, ValueError) as fault:
                log.info("damaged state %s passed over (%s)", path, fault)
                continue
            log.info("resuming from step %d (%s)", state["step"], path)
            return state
        return None

    def due(self) -> bool:
        """Whether it is time for the next state."""
        return time.monotonic() - self.saved >= self.seconds

    def save(self, state: Mapping[str, Any]) -> None:
        """Writes the state (it must hold "step") over the older of the two files."""
        with atomic_file(self.folder / f"{self._next()}.pt") as temporary:
            torch.save(dict(state), temporary)
        self.saved = time.monotonic()

    def _next(self) -> str:
        ages = {name: self._age(self.folder / f"{name}.pt") for name in ("a", "b")}
        return min(ages, key=lambda name: ages[name])

    @staticmethod
    def _age(path: Path) -> int:
        return path.stat().st_mtime_ns if path.exists() else 0

    def clear(self) -> None:
        """Removes all states of this output, stale ones too: the output is in place."""
        for path in self.root.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
