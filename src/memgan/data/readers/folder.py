"""The plain layout: pictures, each beside a .txt of the same name that holds its captions, in a folder or an archive."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from memgan.data.readers.records import PICTURES, UNREAD, Raw, Record, Skips, captions_of, passed_over, say_odd
from memgan.data.source import members
from memgan.errors import InputError
from memgan.params.data import Source


def read(files: Mapping[str, Path], source: Source, skips: Skips) -> Raw:
    """A plain folder as records, without classes; a share `test_fraction` of it is the test split."""
    archive = files["images"]
    captions: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    unread: dict[str, str] = {}
    others, odd = list[str](), list[str]()
    for member in members(archive):
        stem, _, suffix = member.name.rpartition(".")
        if suffix.lower() == "txt":
            captions[stem] = captions_of(member.read(), member.name, odd)
        elif f".{suffix.lower()}" in PICTURES:
            if stem in names:
                raise InputError(f"{archive}: {names[stem]} and {member.name} would share their captions; rename or remove one")
            names[stem] = member.name
        elif f".{suffix.lower()}" in UNREAD:
            unread[stem] = member.name
        else:
            others.append(member.name)
    passed_over(archive, others, "neither pictures nor captions")
    say_odd(archive, odd)
    _leave_out(archive, {stem: name for stem, name in unread.items() if stem not in names}, captions, skips)
    if len(names) < 2:
        raise InputError(f"{archive}: holds {len(names)} pictures; put pictures there, each beside a .txt with its captions")
    return Raw([], [], _records(archive, names, _test(names, source.test_fraction), captions, skips))


def _leave_out(archive: Path, unread: Mapping[str, str], captions: dict[str, tuple[str, ...]], skips: Skips) -> None:
    """Pictures of kinds that are not read, with their captions; a camera may have stored another beside them that is."""
    for stem, name in unread.items():
        skips.add(f"{archive}: {name}", "is a picture of a kind that cannot be read here (JPEG and PNG can)")
        captions.pop(stem, None)


def _test(names: Mapping[str, str], fraction: float) -> set[str]:
    """The stems whose hashes are smallest: the split depends on names alone, not on order, seed or machine."""
    order = sorted(names, key=lambda stem: hashlib.sha256(stem.encode("utf-8", "surrogateescape")).digest())
    return set(order[: min(len(names) - 1, max(1, round(len(names) * fraction)))])


def _records(
    archive: Path, names: Mapping[str, str], test: set[str], captions: Mapping[str, tuple[str, ...]], skips: Skips
) -> Iterator[Record]:
    wanted = {name: stem for stem, name in names.items()}
    for member in members(archive):
        if stem := wanted.get(member.name):
            split = "test" if stem in test else "train"
            texts = f"{archive}: {stem}.txt"
            yield Record(f"{archive}: {member.name}", stem, split, member.read(), captions.get(stem, ()), texts)
    for stem in captions:
        if stem not in names:
            skips.add(f"{archive}: {stem}.txt", "stands beside no picture")
