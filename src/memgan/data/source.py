"""Raw data in place: the members of a folder, tar, tgz or zip, in their order, never unpacked, never trusted.

Refused, each with one line: names that lead outside, links, devices, names that come twice, members and archives of absurd size,
damaged and truncated archives, members that are not as they declare. Hidden files (a name that starts with a dot, __MACOSX) are
passed over.
"""

import bz2
import errno
import lzma
import mmap
import os
import re
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Self

from isal import igzip, isal_zlib

from memgan.artifacts import disk_is_full, read_json
from memgan.errors import InputError

MEMBER_LIMIT = 2**31  # bytes of one member; the largest one needed is COCO's instances_train2014.json, 0.45 GB
GROWTH, ALLOWANCE = 100, 2**28  # an archive may unpack to GROWTH times its own size and ALLOWANCE bytes more
DAMAGE = (  # NotImplementedError is zipfile's, of archives encrypted or written in a way that it cannot read
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, isal_zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, ValueError, OverflowError, struct.error),
)
NOT_THE_SYSTEMS = (None, errno.EINVAL)  # bz2's and gzip's own OSErrors have no number; a seek to nowhere is EINVAL
COMPRESSED = {b"\x1f\x8b": igzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
ZIP = b"PK"
DICTIONARY = 2**28  # bytes that a zip's LZMA may ask for; `xz -9` needs 2**26
BUFFER = 2**14  # tarfile copies what is left of its buffer at every read, so a large one is slow
BLOCK = 2**20  # bytes inflated at a time
DRIVE = re.compile("[A-Za-z]:")
SURROGATE = re.compile("[\ud800-\udfff]")

_kept: ContextVar["Inflated | None"] = ContextVar("inflated archives", default=None)


@dataclass(frozen=True)
class Member:
    """A regular file in the raw data. `read` gives its bytes and must be called before the next member is asked for."""

    name: str
    size: int
    read: Callable[[], bytes]


def members(path: Path) -> Iterator[Member]:
    """Every regular file of a folder (sorted) or an archive (in its order). Raises InputError for what is refused."""
    seen: set[str] = set()
    total = 0
    with _told_of_damage(path):
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder; correct the path in params.yaml or put it there")
        limit = None if path.is_dir() else _most(path)
        for member in _opened(path):
            if _is_hidden(name := without_surrogates(member.name)):
                continue
            if name in seen:
                raise InputError(f"{path}: holds {name} twice; make the archive again without duplicates")
            seen.add(name)
            total += member.size
            if member.size > MEMBER_LIMIT or (limit and total > limit):
                raise InputError(f"{path}: unpacks to an absurd size ({total} bytes with {name}); do not trust this archive")
            yield Member(name, member.size, partial(_read, path, member))


def without_surrogates(text: str) -> str:
    """Text that UTF-8 can write: bytes of a file name that is not in UTF-8 as Windows' Latin letters, half a pair as U+FFFD."""
    return SURROGATE.sub(_letter, text)


def _letter(surrogate: re.Match[str]) -> str:
    byte = ord(surrogate[0]) - 0xDC00  # where Python keeps a byte that does not decode (PEP 383)
    return bytes([byte]).decode("cp1252", errors="replace") if 0x80 <= byte <= 0xFF else "\ufffd"


def _read(path: Path, member: Member) -> bytes:
    with _told_of_damage(path):
        return member.read()


class Inflated:
    """Inflated tars, in files without a name, which vanish with the process."""

    def __init__(self, folder: Path):
        self._folder, self._files, self._open = folder, dict[Path, IO[bytes]](), ExitStack()

    def stream(self, path: Path) -> mmap.mmap:
        """The whole tar of a compressed one, inflated at the first call. Raises InputError if it is of absurd size."""
        if path not in self._files:
            file = self._open.enter_context(tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115
            limit = _most(path)
            with _opener(path)(path, "rb") as source:
                while block := source.read(BLOCK):
                    file.write(block)
                    if file.tell() > limit:
                        raise InputError(f"{path}: unpacks to an absurd size (over {limit} bytes); do not trust this archive")
            if not file.tell():
                raise EOFError("it is empty")
            file.flush()
            self._files[path] = file
        return mmap.mmap(self._files[path].fileno(), 0, access=mmap.ACCESS_READ)  # with a position of its own

    def close(self) -> None:
        """Lets go of them."""
        self._open.close()


@contextmanager
def inflated_once(folder: Path) -> Iterator[None]:
    """While it lasts, a compressed tar is inflated into `folder` when it is first read, and only then."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = Inflated(folder)
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)
        kept.close()


def located(sources: Path) -> dict[str, Path]:
    """Role -> path, from a sources.json. Raises InputError if a file is gone or no longer has the size that was checked."""
    found = {}
    for role, file in read_json(sources)["files"].items():
        path = Path(file["path"])
        if not path.exists():
            raise InputError(f"{path}: it was here when {sources} was written and is gone; put it back, or delete {sources}")
        if path.is_file() and path.stat().st_size != file["bytes"]:
            raise InputError(f"{path}: has changed since {sources} was written; delete {sources} and run again")
        found[role] = path
    return found


def _opened(path: Path) -> Iterator[Member]:
    if path.is_dir():
        return _of_folder(path)
    return _of_zip(path) if _start(path).startswith(ZIP) else _of_tar(path)  # by its end a tar of a zip is a zip


@contextmanager
def _told_of_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        if fault.errno in NOT_THE_SYSTEMS:
            raise _damaged(path, fault) from None
        if disk_is_full(fault, path):  # where `inflated_once` writes; the step says so (artifacts.full_disk_told)
            raise
        said = f"cannot be read ({fault.strerror}); see to its rights and its disk, and run again"
        raise InputError(f"{without_surrogates(str(fault.filename or path))}: {said}") from None
    except DAMAGE as fault:
        raise _damaged(path, fault) from None


def _damaged(path: Path, fault: Exception) -> InputError:
    return InputError(f"{path}: no tar, tgz or zip that can be read to its end ({fault}); fetch or make it again")


def _of_folder(path: Path) -> Iterator[Member]:
    for file in _below(path):
        name = file.relative_to(path).as_posix()
        if file.is_symlink() and not _is_hidden(name):
            raise InputError(f"{file}: is a link; put the file itself there")
        if file.is_file():
            yield Member(name, file.stat().st_size, file.read_bytes)
        elif not file.is_dir():
            raise InputError(f"{file}: is neither a file nor a folder; remove it")


def _below(folder: Path) -> list[Path]:
    """All that is in a folder, sorted. Raises OSError where it cannot be looked into, which pathlib would pass over."""

    def stop(fault: OSError) -> None:
        raise fault

    return sorted(Path(where, name) for where, folders, files in os.walk(folder, onerror=stop) for name in (*folders, *files))


class Header(tarfile.TarInfo):
    """A tar's member. tarfile takes a damaged header for the end of the archive and loses the rest in silence; this one says it."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        """The next member. Raises ReadError if its header is damaged."""
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.InvalidHeaderError as fault:
            raise tarfile.ReadError(f"a member's header is damaged: {fault}") from None


def _of_tar(path: Path) -> Iterator[Member]:
    opener, kept = _opener(path), _kept.get()
    stream = kept.stream(path) if opener and kept else (opener or open)(path, "rb")
    mode = "r|" if opener and not kept else "r:"  # "|" reads forwards only: what is not kept is inflated once a pass
    with stream, tarfile.open(fileobj=stream, mode=mode, bufsize=BUFFER, tarinfo=Header) as archive:
        for info in archive:
            name = _checked(path, info.name)
            if info.isdir():
                continue
            if not info.isreg():
                raise InputError(f"{path}: {info.name} is a link or a device; make the archive again from plain files")
            yield Member(name, info.size, lambda info=info: archive.extractfile(info).read())
        # of two tars in one file, tarfile reads the first
        while rest := archive.fileobj.read(BLOCK):
            if rest != bytes(len(rest)):
                raise tarfile.ReadError("something follows its end, perhaps another archive")
        # tarfile takes a cut-off archive for one that ends; a whole one has a block of zeros after its last member
        if stream.tell() < archive.offset + tarfile.BLOCKSIZE:
            raise EOFError("it is cut off")


def _most(path: Path) -> int:
    """Bytes that an archive may unpack to."""
    return GROWTH * path.stat().st_size + ALLOWANCE


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


def _opener(path: Path) -> Callable[..., IO[bytes]] | None:
    start = _start(path)
    return next((opener for magic, opener in COMPRESSED.items() if start.startswith(magic)), None)


def _of_zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = _checked(path, info.filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir():
                continue
            if kind not in (0, stat.S_IFREG):
                raise InputError(f"{path}: {info.filename} is a link or a device; make the archive again from plain files")
            if info.flag_bits & 1:
                raise InputError(f"{path}: {info.filename} is encrypted; make the archive again without a password")
            yield Member(name, info.file_size, partial(_unzipped, archive, info))


def _unzipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """A member's bytes; of one that holds more than it declares, one byte more is inflated and it is refused.

    zipfile would inflate all of it first. Raises BadZipFile.
    """
    raw = copy(info)
    raw.compress_type, raw.file_size, raw.CRC = zipfile.ZIP_STORED, info.compress_size, None  # as it lies there
    with archive.open(raw) as file:
        data = _inflated(info.compress_type, file.read(), info.file_size + 1)
    if len(data) != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} does not hold the {info.file_size} bytes that it declares")
    if zlib.crc32(data) != info.CRC:
        raise zipfile.BadZipFile(f"{info.filename} has another checksum than it declares")
    return data


def _inflated(kind: int, packed: bytes, most: int) -> bytes:
    """At most `most` bytes of a zip's member."""
    if kind == zipfile.ZIP_STORED:
        return packed[:most]
    if kind == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most)
    if kind == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor().decompress(packed, most)
    if kind == zipfile.ZIP_LZMA:  # behind 4 bytes a file of lzma's first format, without the 8 bytes of its size: all ones, unknown
        alone = packed[4:9] + b"\xff" * 8 + packed[9:]
        return lzma.LZMADecompressor(lzma.FORMAT_ALONE, DICTIONARY).decompress(alone, most)
    raise zipfile.BadZipFile(f"it is compressed in a way that is not known here, number {kind}")


def _checked(path: Path, name: str) -> str:
    """The name without a leading `./`. Raises InputError if it leads outside the archive."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or DRIVE.match(name):
        raise InputError(f"{path}: {name!r} leads outside the archive; do not trust this archive")
    return pure.as_posix()


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
