"""What every reader yields, whatever the layout of the raw data."""

import codecs
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from PIL import features

from memgan.data.images import Box
from memgan.data.source import without_surrogates
from memgan.errors import InputError
from memgan.steps import log

T = TypeVar("T")
PICTURES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")
UNREAD = (".heic", ".heif", ".jxl")  # pictures of kinds that Pillow does not know
if features.check("avif"):
    PICTURES += (".avif",)
else:
    UNREAD += (".avif",)
MARKS = {  # longest first: UTF-32's begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
WIDE = {  # which of every four bytes are zero
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
}
MOSTLY = 0.6
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff]")


@dataclass(frozen=True)
class Object:
    """One annotated object: category (index in the data set's categories), box in pixels, attributes (worlds)."""

    category: int
    box: Box
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One picture with what is known of it; `name` is where it lies and `texts` where its captions do, for messages."""

    name: str
    id: str
    split: str
    image: bytes
    captions: tuple[str, ...]
    texts: str
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


def captions_of(data: bytes, name: str, odd: list[str]) -> tuple[str, ...]:
    """Captions of a text file, one a line, blank lines dropped; the rest as `text_of`."""
    return tuple(line for line in map(tidy, text_of(data, name, odd).splitlines()) if line)


def text_of(data: bytes, name: str, odd: list[str], between: bytes = b"\n") -> str:
    """UTF-8, UTF-16 or UTF-32, with their mark or, of the latter two, without; or else Windows' Latin letters.

    What is not UTF-8 is taken for Latin letters from one `between` to the next, so that one bad byte spoils one line. Puts `name`
    into `odd` if there is any such thing, or if UTF-16 or UTF-32 is broken.
    """
    mark, encoding = next(((mark, known) for mark, known in MARKS.items() if data.startswith(mark)), (b"", None))
    data, encoding = data[len(mark) :], encoding or _wide(data[:4096]) or "utf-8"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        odd.append(name)
    if encoding == "utf-8":
        return between.decode().join(map(_latin, data.split(between)))
    width = 4 if "32" in encoding else 2
    return data[: len(data) // width * width].decode(encoding, errors="replace")


def _latin(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def say_odd(archive: Path, odd: list[str]) -> None:
    """Says which text files were read though they are not what they should be, as `passed_over` does."""
    if odd:
        said = "%s: %d text files are not Unicode throughout; what is not was read as Windows' Latin letters or dropped, %s first"
        log.info(said, archive, len(odd), odd[0])


def _wide(data: bytes) -> str | None:
    """The encoding of text that is mostly Latin letters, each two or four bytes wide, told by where the zeros are."""
    zeros = [data[i::4].count(0) / max(1, len(data[i::4])) > MOSTLY for i in range(4)]
    return WIDE.get(tuple(zeros)) if len(data) >= 4 else None


def tidy(caption: str) -> str:
    """One caption on one line: composed characters, single spaces, no control characters, nothing that UTF-8 cannot write."""
    return " ".join(CONTROL.sub(" ", unicodedata.normalize("NFC", without_surrogates(caption))).split())


def passed_over(archive: Path, names: list[str], why: str) -> None:
    """Says how many files were of no use, and names the first."""
    if names:
        log.info("%s: %d files are %s and were passed over, %s first", archive, len(names), why, names[0])


def by_ending(name: str, wanted: Mapping[str, T]) -> T | None:
    """What `wanted` holds for a member's name or for its longest ending (in whole parts) that is listed."""
    parts = name.split("/")
    for start in range(len(parts)):
        ending = "/".join(parts[start:])
        if ending in wanted:
            return wanted[ending]
    return None
