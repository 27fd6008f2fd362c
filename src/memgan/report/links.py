"""What a data set needs from the web, and whether it can be had (`memgan download`)."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

from memgan.data.download import local, place_of
from memgan.data.fetch import DOWNLOADS, MIRROR, ask, matches, name_of, size
from memgan.encoders.published import WEIGHTS, cache, weights_file
from memgan.errors import InputError
from memgan.params.data import Archive
from memgan.params.encoders import Damsm, Evaluator, Features
from memgan.params.evaluation import Metrics
from memgan.params.load import Settings
from memgan.steps import log

COLUMNS = ("for", "file", "from", "size", "state")
NOTHING = "rendered by code, needs nothing from the web"
FIDELITY = "inception-v3-compat"


class Needed(NamedTuple):
    """One file that a data set needs: what for, its addresses, its checksum, where it goes, its size if known."""

    role: str
    urls: tuple[str, ...]
    checksum: str | None
    folder: Path
    bytes: int | None


class Found(NamedTuple):
    """What is known of one place from which a file can be had."""

    role: str
    file: str
    place: str
    bytes: int | None
    state: str
    good: bool


def weights_of(settings: Settings) -> list[str]:
    """Names of the published weights (keys of WEIGHTS) that the data set's entries ask for."""
    metrics = settings.block("metrics", Metrics)
    wanted = {
        "vgg16": settings.block("features", Features).network == "vgg16",
        "inception_v3": settings.block("damsm", Damsm).image_encoder == "inception_v3"
        or settings.block("evaluator", Evaluator).network == "inception_v3"
        or metrics.fid_tv,
        "fidelity": FIDELITY in (metrics.fidelity, metrics.inception_score),
    }
    return [name for name, is_wanted in wanted.items() if is_wanted]


def archives_of(settings: Settings) -> dict[str, Archive]:
    """Dotted key in params.yaml -> file: the raw data, and the detector of SOA where there is one. The role is the key's end."""
    key, metrics = f"data.{settings.dataset}", settings.block("metrics", Metrics)
    found = {f"{key}.source.archives.{role}": archive for role, archive in settings.source().archives.items()}
    detector = metrics.detector_files if metrics.detector == "yolov3" else {}
    return found | {f"{key}.metrics.detector_files.{role}": archive for role, archive in detector.items()}


def needed(settings: Settings) -> Iterator[Needed | tuple[str, Archive]]:
    """All files: those with addresses, and archives that have their place on this machine."""
    for key, archive in archives_of(settings).items():
        role = key.rpartition(".")[2]
        if archive.urls:
            yield Needed(role, archive.urls, archive.checksum, DOWNLOADS, archive.bytes)
        else:
            yield role, archive
    for name in weights_of(settings):
        published = WEIGHTS[name]
        yield Needed(published.what, published.urls, published.checksum, cache(), published.bytes)


def download(dataset: str) -> None:
    """Fetches whatever is missing. Raises InputError for the first file that cannot be had."""
    settings = Settings(dataset)
    archives, weights = archives_of(settings), weights_of(settings)
    for key, archive in archives.items():
        log.info("%s: %s", key.rpartition(".")[2], local(archive, key))
    for name in weights:
        log.info("%s: %s", WEIGHTS[name].what, weights_file(name))
    if not archives and not weights:
        log.info("%s: %s", dataset, NOTHING)


def check(dataset: str) -> list[Found]:
    """What is here, and what each address would give, without fetching anything."""
    found: list[Found] = []
    for each in needed(Settings(dataset)):
        found += on_the_web(each) if isinstance(each, Needed) else [on_this_machine(*each)]
    return found


def on_this_machine(role: str, archive: Archive) -> Found:
    """An archive of the user's own."""
    path = place_of(archive)
    if not path.exists():
        return Found(role, path.name, str(path.parent), archive.bytes, f"missing; {archive.origin or 'put it there'}", False)
    try:
        local(archive, f"archives.{role}")
    except InputError as fault:
        return Found(role, path.name, str(path.parent), archive.bytes, str(fault).partition(": ")[2].partition(";")[0], False)
    return Found(role, path.name, str(path.parent), None if path.is_dir() else path.stat().st_size, "here, checked", True)


def on_the_web(file: Needed) -> list[Found]:
    """A file that is here already, or lies in MEMGAN_MIRROR, or what each of its addresses answers."""
    name, mirror = name_of(file.urls), os.environ.get(MIRROR)
    path = Path(mirror or file.folder) / name
    if path.is_file():
        right = file.checksum is not None and matches(path, file.checksum)
        state = "here, checked" if right else "here, but its checksum is another" + (" (fetched again)" if not mirror else "")
        held = Found(file.role, name, str(path.parent), path.stat().st_size, state, right)
        if right or mirror:
            return [held]
    elif mirror:
        return [Found(file.role, name, mirror, file.bytes, f"not there ({MIRROR})", False)]
    return [asked(file, name, url) for url in file.urls]


def asked(file: Needed, name: str, url: str) -> Found:
    """What one address answers."""
    state, count = ask(url)
    if state == "there" and None not in (count, file.bytes) and count != file.bytes:
        state = f"gives {size(count)} ({count} bytes) instead of {file.bytes} bytes"
    return Found(file.role, name, urlparse(url).netloc, count or file.bytes, state, state == "there")


def cannot_be_had(found: Sequence[Found]) -> list[str]:
    """Names of the files that no place gives."""
    files = dict.fromkeys(each.file for each in found)
    return [file for file in files if not any(each.good for each in found if each.file == file)]


def table(found: Sequence[Found]) -> str:
    """As text for a terminal; a file's name stands where it is first met."""
    if not found:
        return NOTHING
    rows = [COLUMNS, *((e.role, e.file, e.place, size(e.bytes) if e.bytes else "?", e.state) for e in found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines, last = [], ""
    for role, file, place, count, state in rows:
        shown = ("", "", place) if file == last else (role, file, place)
        last = file
        cells = [f"{cell:<{width}}" for cell, width in zip(shown, widths[:3], strict=True)]
        lines.append("  ".join([*cells, f"{count:>{widths[3]}}", state]).rstrip())
    return "\n".join(lines)


def as_json(found: Sequence[Found]) -> list[Mapping[str, Any]]:
    """The same, for programs."""
    return [each._asdict() for each in found]
