"""Raw data in place: the members of a folder, tar, tgz or zip, in their order, never unpacked, never trusted.

Refused, each with one line: names that lead outside, links, devices, names that come twice, members and archives of absurd size,
damaged and truncated archives. Hidden files (a name that starts with a dot, __MACOSX) are passed over.
"""

import bz2
import lzma
import mmap
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from isal import igzip, isal_zlib

from memgan.artifacts import read_json
from memgan.errors import InputError

MEMBER_LIMIT = 2**31  # bytes of one member; the largest one needed is COCO's instances_train2014.json, 0.45 GB
GROWTH, ALLOWANCE = 100, 2**28  # an archive may unpack to GROWTH times its own size and ALLOWANCE bytes more
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, igzip.BadGzipFile),
    *(zlib.error, isal_zlib.error, lzma.LZMAError, EOFError, NotImplementedError),
)
COMPRESSED = {b"\x1f\x8b": igzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
BUFFER = 2**14  # tarfile copies what is left of its buffer at every read, so a large one is slow
BLOCK = 2**20  # bytes inflated at a time

_kept: ContextVar["Inflated | None"] = ContextVar("inflated archives", default=None)


@dataclass(frozen=True)
class Member:
    """A regular file in the raw data. `read` gives its bytes and must be called before the next member is asked for."""

    name: str
    size: int
    read: Callable[[], bytes]


def members(path: Path) -> Iterator[Member]:
    """Every regular file of a folder (sorted) or an archive (in its order). Raises InputError for what is refused."""
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder; correct the path in params.yaml or put it there")
    seen: set[str] = set()
    total, limit = 0, None if path.is_dir() else _most(path)
    with _told_of_damage(path):
        for member in _opened(path):
            if _is_hidden(member.name):
                continue
            if member.name in seen:
                raise InputError(f"{path}: holds {member.name} twice; make the archive again without duplicates")
            seen.add(member.name)
            total += member.size
            if member.size > MEMBER_LIMIT or (limit and total > limit):
                raise InputError(f"{path}: unpacks to an absurd size ({total} bytes with {member.name}); do not trust this archive")
            yield Member(member.name, member.size, partial(_read, path, member))


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
    if zipfile.is_zipfile(path):
        return _of_zip(path)
    return _of_tar(path)


@contextmanager
def _told_of_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGE as fault:
        raise InputError(f"{path}: no tar, tgz or zip that can be read to its end ({fault}); fetch or make it again") from None


def _of_folder(path: Path) -> Iterator[Member]:
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.is_symlink() and not _is_hidden(name):
            raise InputError(f"{file}: is a link; put the file itself there")
        if file.is_file():
            yield Member(name, file.stat().st_size, file.read_bytes)
        elif not file.is_dir():
            raise InputError(f"{file}: is neither a file nor a folder; remove it")


def _of_tar(path: Path) -> Iterator[Member]:
    opener, kept = _opener(path), _kept.get()
    stream = kept.stream(path) if opener and kept else (opener or open)(path, "rb")
    mode = "r|" if opener and not kept else "r:"  # "|" reads forwards only: what is not kept is inflated once a pass
    with stream, tarfile.open(fileobj=stream, mode=mode, bufsize=BUFFER) as archive:
        for info in archive:
            name = _checked(path, info.name)
            if info.isdir():
                continue
            if not info.isreg():
                raise InputError(f"{path}: {info.name} is a link or a device; make the archive again from plain files")
            yield Member(name, info.size, lambda info=info: archive.extractfile(info).read())
        # tarfile takes a cut-off archive for one that ends; a whole one has a block of zeros after its last member
        while stream.read(BUFFER):
            pass
        if stream.tell() < archive.offset + tarfile.BLOCKSIZE:
            raise EOFError("it is cut off")


def _most(path: Path) -> int:
    """Bytes that an archive may unpack to."""
    return GROWTH * path.stat().st_size + ALLOWANCE


def _opener(path: Path) -> Callable[..., IO[bytes]] | None:
    with path.open("rb") as file:
        start = file.read(8)
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
            yield Member(name, info.file_size, partial(archive.read, info))


def _checked(path: Path, name: str) -> str:
    """The name without a leading `./`. Raises InputError if it leads outside the archive."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or ":" in name.split("/")[0]:
        raise InputError(f"{path}: {name!r} leads outside the archive; do not trust this archive")
    return pure.as_posix()


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
