"""Step: the raw data of a data set, found or fetched, and checked.

python -m memgan.data.download --dataset NAME --out data/NAME/sources.json

Local paths are used in place. Addresses are tried in order and land in data/downloads/; the folder MEMGAN_MIRROR, if that is set,
takes their place on machines without internet. Nothing is used before its checksum is right.
"""

import hashlib
import os
from pathlib import Path
from typing import Annotated

import typer

from memgan import artifacts, steps
from memgan.data.fetch import DIGITS, MIRROR, fetch
from memgan.errors import InputError
from memgan.params.data import Archive, Source
from memgan.params.load import Settings

ROLES = {
    "cub": ({"images", "captions"}, {"split"}),
    "coco": ({"train_images", "test_images", "annotations"}, set()),
    "folder": ({"images"}, set()),
}


def main(
    dataset: Annotated[str, typer.Option(help="name under `data` in params.yaml")],
    out: Annotated[Path, typer.Option(help="data/{dataset}/sources.json")],
) -> None:
    """Finds or fetches every archive of a data set and writes down where each lies and what it holds."""
    source = Settings(dataset).source()
    key = f"data.{dataset}.source"
    if source.world:
        raise InputError(f"params.yaml: `{key}` is a world, which is rendered and not downloaded; run memgan.data.render")
    if source.scenes:
        raise InputError(f"params.yaml: `{key}` has scenes, which are composed and not downloaded; run memgan.data.compose")
    check_roles(source, key)
    files = {}
    for role, archive in source.archives.items():
        path = local(archive, f"{key}.archives.{role}")
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
        files[role] = {"path": path.as_posix(), "sha256": artifacts.sha256(path), "bytes": size}
        steps.log.info("%s: %s, %d bytes, checked", role, path, size)
    used = {"source": source.model_dump(mode="json")}
    manifest = artifacts.manifest("memgan.data.download", used, {})
    artifacts.write_json(out, {"layout": source.layout, "files": files, "manifest": manifest})


def check_roles(source: Source, key: str) -> None:
    """Raises InputError unless the archives have the roles of the layout, or of cub's where scenes are composed of them."""
    layout = "cub" if source.scenes else source.layout
    needed, possible = ROLES[layout]
    given = set(source.archives)
    if missing := sorted(needed - given):
        raise InputError(f"params.yaml: `{key}.archives` lacks {missing[0]}; the layout {layout} needs {', '.join(sorted(needed))}")
    if unknown := sorted(given - needed - possible):
        known = ", ".join(sorted(needed | possible))
        raise InputError(f"params.yaml: `{key}.archives` has the unknown role {unknown[0]}; known: {known}")


def local(archive: Archive, key: str) -> Path:
    """Where an archive lies, checked. Raises InputError naming the file, its checksum and the mend."""
    if archive.path is None:
        return fetch(archive.urls, needed_checksum(archive, archive.urls[0], key))
    path = place_of(archive)
    if not path.exists():
        origin = f" ({archive.origin})" if archive.origin else ""
        raise InputError(f"{path}: there is no such file or folder; put it there{origin} or correct `{key}.path` in params.yaml")
    if not path.is_dir() or archive.checksum:
        verify(path, needed_checksum(archive, archive.path, key), f"fetch it again or correct `{key}.checksum` in params.yaml")
    return path


def place_of(archive: Archive) -> Path:
    """Where an archive that has a place of its own lies: there, or else in the folder MEMGAN_MIRROR under the same name."""
    path, mirror = Path(str(archive.path)), os.environ.get(MIRROR)
    there = Path(mirror) / path.name if mirror else path
    return path if path.exists() or not there.exists() else there


def needed_checksum(archive: Archive, name: str, key: str) -> str:
    """The archive's checksum. Raises InputError if there is none or it has no known form."""
    algorithm, _, digits = (archive.checksum or "").partition(":")
    if archive.checksum is None and archive.path:
        own = f"sha256:{artifacts.sha256(place_of(archive))}"
        raise InputError(f"{name}: params.yaml has no checksum of it; if you trust the file, write `{key}.checksum: {own}`")
    if len(digits) != DIGITS.get(algorithm) or set(digits.lower()) - set("0123456789abcdef"):
        raise InputError(f"{name}: `{key}.checksum` is {archive.checksum!r}; write sha256:<64 digits> or md5:<32 digits>")
    return f"{algorithm}:{digits.lower()}"


def verify(path: Path, checksum: str, mend: str) -> None:
    """Raises InputError if the file's (or folder's, sha256 only) checksum is another."""
    algorithm, _, digits = checksum.partition(":")
    if algorithm == "sha256":
        found = artifacts.sha256(path)
    elif path.is_dir():
        raise InputError(f"{path}: a folder is checked by sha256, not {algorithm}; {mend}")
    else:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != digits:
        raise InputError(f"{path}: its checksum is {algorithm}:{found}, it should be {checksum}; {mend}")


if __name__ == "__main__":
    steps.run(main)
