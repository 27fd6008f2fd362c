"""What params.yaml said while jobs ran: a person may edit it meanwhile, and put it back before the results are recorded.

A job reads the file as it starts. While jobs run, a thread looks at it twice a second and notes each text that it finds. The notes
lie in .snakemake, since the results of a run that was killed are recorded by a later one.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import yaml

from memgan.artifacts import write_text
from workflow.needs import PARAMS
from workflow.record.books import FAST_LOADER
from workflow.record.engine import HOME

NOTES = HOME / "params.jsonl"  # a line each, in the order of time: {"since": s, "until": s, "text": ...}, until the next without
KEPT = 50  # lines of earlier runs
PERIOD = 0.5  # s


def begin() -> None:
    """Notes what params.yaml says now, and until the process ends whatever else it comes to say."""
    notes = _notes()[-KEPT:]
    write_text(NOTES, "".join(json.dumps(note) + "\n" for note in notes))
    text = PARAMS.read_text(encoding="utf-8")
    _note(text)
    threading.Thread(target=_watch, args=(text,), daemon=True).start()


def said(start: float, end: float) -> Iterator[dict[str, Any]]:
    """Whatever the file said between these times; what was no YAML no job has read. Nothing if it was not watched then."""
    texts = {note["text"] for note in _notes() if note["since"] - PERIOD <= end and note["until"] >= start}
    yield from filter(None, map(_tree, texts))


def _notes() -> list[dict[str, Any]]:
    notes: list[dict[str, Any]] = []
    if NOTES.exists():
        for line in NOTES.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # a line that a kill cut off
                notes.append(json.loads(line))
        following = [note["since"] for note in notes[1:]] + [NOTES.stat().st_mtime + PERIOD]
        notes = [{"until": until} | note for note, until in zip(notes, following, strict=True)]
    return notes


@cache
def _tree(text: str) -> dict[str, Any]:
    with suppress(yaml.YAMLError):
        tree = yaml.load(text, FAST_LOADER)
        return tree if isinstance(tree, dict) else {}
    return {}


def _watch(text: str) -> None:
    seen = None
    while True:
        with suppress(OSError, UnicodeDecodeError):  # an editor may be about to replace it
            found = PARAMS.stat()
            if (found.st_ino, found.st_size, found.st_mtime_ns) != seen:
                seen = found.st_ino, found.st_size, found.st_mtime_ns
                if (now := PARAMS.read_text(encoding="utf-8")) != text:
                    text = now
                    _note(text)
            os.utime(NOTES)  # until when the last note holds
        time.sleep(PERIOD)


def _note(text: str) -> None:
    with NOTES.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"since": time.time(), "text": text}) + "\n")
