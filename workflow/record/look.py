"""A look at what has changed since it was recorded: DVC's answer, or the last one if no file that it was about has changed since.

DVC takes seconds to say that nothing has changed. It believes in times, sizes and inode numbers of files; so does this.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from memgan.artifacts import write_text
from workflow.needs import PARAMS
from workflow.record import books
from workflow.record.books import Stages
from workflow.record.engine import HOME

LAST = HOME / "look.json"
SETTINGS = (".dvcignore", ".dvc/config", ".dvc/config.local")
SLACK = 1.0  # seconds: what changes again in one tick of the clock looks the same
WORTH = 120.0  # seconds that a run must have taken before it pays for the next one's look, which takes it three or four


def start() -> Callable[[], Stages | None]:
    """Starts a look; what it returns waits for the answer, which is None if DVC cannot tell."""
    began, seen = time.time(), last()
    asked = books.ask() if seen is None else None

    def answer() -> Stages | None:
        if not asked:
            return seen
        stages = books.status(asked)
        if stages is not None:
            keep(stages, began)
        return stages

    return answer


def ahead() -> None:
    """Looks now, at the end of a run, so that the next one finds the answer."""
    time.sleep(2 * SLACK)  # what has just been written is not believed
    start()()


def last() -> Stages | None:
    """What the last look saw, if it still holds."""
    try:
        look = json.loads(LAST.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return look["stages"] if look["files"] == _state(look["stages"]) else None


def keep(stages: Stages, began: float) -> None:
    """Keeps what a look that began at this time saw, unless something has changed since."""
    files = _state(stages)
    if max(file[-1] for file in files.values() if file) / 1e9 < began - SLACK:
        write_text(LAST, json.dumps({"files": files, "stages": stages}))


def _state(stages: Stages) -> dict[str, list[int] | None]:
    """Inode number, size and times of each file that an answer is about; None if it is not there."""
    books_own = [file for pipeline in (books.TABLE1, books.ABLATIONS) for file in (pipeline, pipeline.with_suffix(".lock"))]
    program = [books.BULK[-1], getattr(find_spec("dvc"), "origin", "")]
    named = {path for stage in stages.values() for path in (*stage["outs"], *stage["deps"])}
    return {path: _stat(path) for path in _with_contents([str(PARAMS), *SETTINGS, *map(str, books_own), *program, *sorted(named)])}


def _with_contents(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        yield path
        for folder, folders, files in os.walk(path):
            yield from (f"{folder}/{name}" for name in (*folders, *files))


def _stat(path: str) -> list[int] | None:
    try:
        found = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
