"""Training states: what a killed run leaves behind, and how the next one finds it.

Both engines delete a rule's outputs before they run it, so states lie beside the output in an undeclared folder:
`<folder of the output>/state/<name of the output>/<key>/`. The key is a hash of the step's parameters, code and inputs: a state
with another key is never resumed. Two files are written in turn, each atomically: if the last is damaged, the one before is there.
A finished training leaves links to its outputs instead, for an engine that was killed before it heard that the step was done and
runs it again. How far a training is stands beside them in `progress.json`, which outlives it, for people (`memgan status`).
"""

import contextlib
import fcntl
import hashlib
import json
import math
import os
import pickle
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch

from memgan.artifacts import atomic_file, sha256, temporaries, write_json
from memgan.errors import InputError
from memgan.steps import log

EVERY = "MEMGAN_STATE_EVERY"  # seconds between two states
DEFAULT_SECONDS = 60.0
LOOK = 0.2  # seconds between two looks at a lock that another holds
MANIFEST, PROGRESS, LOCK, FINISHED = "manifest.json", "progress.json", "lock", "finished"
PATIENCE = 1200.0  # seconds that one of several processes waits for the lock: the others' patience with it ends after 1800
# what torch.load raises for a damaged file, and reading what it gives
DAMAGED = (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, pickle.UnpicklingError)


class TrainingState:
    """The state of one training. Use as a context: it holds a lock, which the system frees however the process ends.

    Of several processes that train together, only the one that `writes` locks and writes; the others wait for it, but not for ever,
    so that it waits for the lock no longer than `patience` seconds.
    """

    def __init__(self, output: Path, manifest: Mapping[str, Any], writes: bool = True, patience: float = math.inf):
        self.output, self.manifest, self.writes, self.patience = output, manifest, writes, patience
        self.root = output.parent / "state" / output.stem
        self.folder = self.root / hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
        self.seconds = seconds_between()
        self.saved, self.step = time.monotonic(), 0
        self.source: Path | None = None  # what `load` read

    def __enter__(self) -> Self:
        if not self.writes:
            return self
        self.root.mkdir(parents=True, exist_ok=True)
        self._lock = (self.root / LOCK).open("w")
        self._take()
        for half_written in (*temporaries(self.output.parent, self.output.name), *self.root.glob("*/.*.tmp")):
            if half_written.is_file():
                half_written.unlink()
        for other in sorted(path for path in self.root.iterdir() if path.is_dir() and path != self.folder):
            log.info("not resumed: %s, whose %s", other, self._unlike(other))
        return self

    def _take(self) -> None:
        """Takes the lock, waiting for it if need be. Raises InputError when patience ends."""
        until, told = time.monotonic() + self.patience, False
        while True:
            try:
                return fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise InputError(f"training: another process still trains {self.root}; wait for it, or end it") from None
            if not told:
                log.info("waiting: another process, perhaps of a killed run, still trains %s", self.root)
            told = True
            time.sleep(LOOK)

    def _unlike(self, other: Path) -> str:
        """How another state's manifest differs from this one's, in words."""
        try:
            theirs = json.loads((other / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return "parameters, code or inputs are other ones"
        told = differences(theirs, json.loads(json.dumps(self.manifest)))
        more = f", and {len(told) - 3} more" if len(told) > 3 else ""
        return "; ".join(told[:3]) + more

    def __exit__(self, *_: object) -> None:
        if self.writes:
            self._lock.close()

    def load(self) -> dict[str, Any] | None:
        """The newest readable state, or None."""
        for path in sorted(self.folder.glob("*.pt"), key=lambda p: p.stat().st_mtime_ns, reverse=True):
            try:
                state = torch.load(path, weights_only=True, map_location="cpu")
                self.source, self.step = path, int(state["step"])
            except DAMAGED as fault:
                log.info("damaged state %s passed over (%s)", path, str(fault).partition("\n")[0] or type(fault).__name__)
                continue
            log.info("resuming from step %d (%s)", self.step, path)
            return state
        return None

    def due(self) -> bool:
        """Whether it is time for the next state."""
        return self.writes and time.monotonic() - self.saved >= self.seconds

    def save(self, state: Mapping[str, Any]) -> None:
        """Writes the state (it must hold "step") over the older of the two files.

        Raises InputError if it cannot be written: the last good one is as it was.
        """
        try:
            if not (self.folder / MANIFEST).exists():
                write_json(self.folder / MANIFEST, self.manifest)
            with atomic_file(self.folder / f"{self._next()}.pt") as temporary:
                torch.save(dict(state), temporary)
        except (InputError, OSError, RuntimeError) as fault:
            kept = f"the state of step {self.step} is kept" if self.step else "there is no state yet"
            raise InputError(f"training: its state cannot be written: {str(fault).partition(chr(10))[0]}; {kept}") from None
        self.saved, self.step = time.monotonic(), state["step"]

    def tell(self, progress: Mapping[str, Any]) -> None:
        """Writes down how far the training is; if that cannot be written, nothing is lost."""
        if self.writes:
            with contextlib.suppress(OSError, InputError):
                write_json(self.root / PROGRESS, {**progress, "saved": self.step, "pid": os.getpid()})

    def _next(self) -> str:
        ages = {name: self._age(self.folder / f"{name}.pt") for name in ("a", "b")}
        return min(ages, key=lambda name: ages[name])

    @staticmethod
    def _age(path: Path) -> int:
        return path.stat().st_mtime_ns if path.exists() else 0

    def finish(self, *outputs: Path) -> None:
        """Removes all states of this output, stale ones too: all outputs are in place. Links to them stay, for `finished`.

        Where a disk takes no links any more, the training is good all the same.
        """
        self.clear()
        kept = self.folder / FINISHED
        with contextlib.suppress(OSError, InputError):
            kept.mkdir(parents=True)
            for path in outputs:
                linked(path, kept / path.name)
            write_json(self.folder / MANIFEST, self.manifest)
            write_json(kept / MANIFEST, {path.name: sha256(path) for path in outputs})

    def finished(self, *outputs: Path) -> bool:
        """Whether these outputs have been made before, from the same parameters, code and inputs; then they are in place again.

        False, too, if they have been changed since.
        """
        kept = self.folder / FINISHED
        if not self.writes or not (kept / MANIFEST).exists():
            return False
        hashes = json.loads((kept / MANIFEST).read_text(encoding="utf-8"))
        if any(not (kept / path.name).is_file() or sha256(kept / path.name) != hashes.get(path.name) for path in outputs):
            return False
        for path in outputs:
            with atomic_file(path) as temporary:
                linked(kept / path.name, temporary)
        log.info("finished before: taken from %s", kept)
        return True

    def clear(self) -> None:
        """Removes all states of this output, stale ones too."""
        for path in self.root.iterdir():
            if path.is_dir():
                shutil.rmtree(path)


def linked(path: Path, link: Path) -> None:
    """Gives a file a second name, or makes a copy where the file system has no hard links."""
    try:
        os.link(path, link, follow_symlinks=True)
    except OSError:
        shutil.copy2(path, link)


def seconds_between() -> float:
    """Seconds between two states. Raises InputError if the environment says no number."""
    told = os.environ.get(EVERY, "")
    try:
        return float(told) if told else DEFAULT_SECONDS
    except ValueError:
        raise InputError(f"{EVERY}: `{told}` is no number of seconds; set it to one, as 60, or leave it out") from None


def differences(old: Any, new: Any, key: str = "") -> list[str]:
    """`params.train.lr_g is 0.001 there, 0.002 now` for each entry that differs; hashes are only said to differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = dict.fromkeys([*old, *new])
        return [said for name in names for said in differences(old.get(name), new.get(name), f"{key}.{name}".lstrip("."))]
    if old == new:
        return []
    key = key.removeprefix("params.")
    return [f"{key} differs" if key == "code" or key.startswith("inputs.") else f"{key} is {old} there, {new} now"]


def is_held(root: Path) -> bool:
    """Whether a process trains here now; `root` is `<folder of the output>/state/<name of the output>`."""
    try:
        with (root / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
