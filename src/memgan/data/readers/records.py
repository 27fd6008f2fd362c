"""What every reader yields, whatever the layout of the raw data."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from memgan.data.images import Box
from memgan.errors import InputError
from memgan.steps import log

T = TypeVar("T")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff]")


@dataclass(frozen=True)
class Object:
    """One annotated object: category (index in the data set's categories), box in pixels, attributes (worlds)."""

    category: int
    box: Box
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One picture with what is known of it; `name` is where it lies, for messages."""

    name: str
    id: str
    split: str
    image: bytes
    captions: tuple[str, ...]
    label: int | None = None
    box: Box | None = None
    categories: tuple[int, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    objects: tuple[Object, ...] = ()
    size: tuple[int, int] | None = None  # width and height as annotated, where they are


@dataclass(frozen=True)
class Raw:
    """A data set as its reader sees it: names, and the records, streamed in the archive's order."""

    classes: list[str]
    categories: list[str]
    records: Iterator[Record]


class Skips:
    """Counts what is left out, says each in the log, and stops when there is more of it than `max_skipped` allows."""

    def __init__(self, limit: int, key: str):
        """`key` is the entry of params.yaml that holds the limit."""
        self.limit, self.key, self.count = limit, key, 0

    def add(self, name: str, reason: str) -> None:
        """Leave `name` out. Raises InputError above the limit."""
        self.count += 1
        if self.count > self.limit:
            raise InputError(f"{name}: {reason}; mend it, or raise `{self.key}` (it is {self.limit}) to leave out more than that")
        log.info("left out: %s: %s", name, reason)


def captions_of(data: bytes) -> tuple[str, ...]:
    """Captions of a text file, one a line, blank lines dropped; UTF-8, UTF-16 with its mark, or else Windows' Latin letters."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", errors="replace")
    return tuple(line for line in map(tidy, text.splitlines()) if line)


def tidy(caption: str) -> str:
    """One caption on one line: composed characters, single spaces, no control characters."""
    return " ".join(CONTROL.sub(" ", unicodedata.normalize("NFC", caption)).split())


def by_ending(name: str, wanted: Mapping[str, T]) -> T | None:
    """What `wanted` holds for a member's name or for its longest ending (in whole parts) that is listed."""
    parts = name.split("/")
    for start in range(len(parts)):
        ending = "/".join(parts[start:])
        if ending in wanted:
            return wanted[ending]
    return None
