"""Archives whose bytes depend on their contents alone: no clock, no user, no order of a file system."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from memgan.artifacts import seed_of


def rng_for(*parts: int | str) -> np.random.Generator:
    """A generator of its own for each picture or list of captions, whatever the order in which they are made."""
    return np.random.default_rng(seed_of(*parts))


class Tar:
    """A .tgz that grows member by member; callers add members in sorted order."""

    def __init__(self, tar: tarfile.TarFile):
        self.tar = tar

    def add(self, name: str, content: bytes | str) -> None:
        """Adds a file."""
        data = content.encode() if isinstance(content, str) else content
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), 0o644
        self.tar.addfile(member, io.BytesIO(data))


@contextmanager
def tgz(path: Path) -> Iterator[Tar]:
    """A new gzipped tar archive, compressed lightly: most of it is JPEG."""
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        yield Tar(tar)


class Zip:
    """A .zip that grows member by member; callers add members in sorted order."""

    def __init__(self, archive: zipfile.ZipFile):
        self.archive = archive

    def add(self, name: str, content: bytes | str) -> None:
        """Adds a file: text lightly compressed, pictures as they are."""
        member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
        member.compress_type = zipfile.ZIP_DEFLATED if isinstance(content, str) else zipfile.ZIP_STORED
        member.create_system, member.external_attr = 3, 0o644 << 16
        self.archive.writestr(member, content, compresslevel=1)


@contextmanager
def zipped(path: Path) -> Iterator[Zip]:
    """A new zip archive."""
    with zipfile.ZipFile(path, "w") as archive:
        yield Zip(archive)
