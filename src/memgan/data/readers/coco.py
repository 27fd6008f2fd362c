"""COCO's layout (sceneworld too): two archives of pictures and one of captions_*.json and instances_*.json."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from memgan.data.images import Box
from memgan.data.readers.records import PICTURES, UNREAD, Object, Raw, Record, Skips, by_ending, say_odd, text_of, tidy
from memgan.data.source import members, without_surrogates
from memgan.errors import InputError
from memgan.params.data import Source

V = TypeVar("V")
Row = dict[str, Any]
KEYS = {"instances": ("images", "annotations", "categories"), "captions": ("images", "annotations")}
MARKS = {"train": ("train",), "test": ("val", "test")}  # COCO 2014's validation images are this literature's test images


@dataclass(frozen=True)
class Table:
    """One json file: where it lies, for messages, and its lists."""

    name: str
    rows: dict[str, list[Row]]


class OddError(ValueError):
    """An entry that is not as COCO's are; the text says why and follows its name."""


def read(files: Mapping[str, Path], source: Source, skips: Skips) -> Raw:
    """COCO's layout as records: the training split, then the test split.

    Crowds count for a picture's categories but are no objects. Attributes, an extra key, are read for worlds only.
    """
    tables = {split: _tables(files["annotations"], split) for split in MARKS}
    names = _categories([table["instances"] for table in tables.values()])
    index = {number: place for place, number in enumerate(names)}
    listed = {_file(table[kind], image) for table in tables.values() for kind in KEYS for image in table[kind].rows["images"]}

    def records() -> Iterator[Record]:
        for split in MARKS:
            texts = tables[split]["captions"].name
            entries = _entries(tables.pop(split), index, bool(source.world), skips)
            yield from _records(files[f"{split}_images"], split, entries, texts, listed, skips)

    return Raw([], list(names.values()), records())


def _tables(archive: Path, split: str) -> dict[str, Table]:
    """captions and instances of one split."""
    found: dict[str, Table] = {}
    odd: list[str] = []
    for member in members(archive):
        name = member.name.rpartition("/")[2]
        kind, _, rest = name.partition("_")
        if kind in KEYS and name.endswith(".json") and rest.startswith(MARKS[split]):
            if kind in found:
                raise InputError(f"{archive}: has two files {kind}_{'/'.join(MARKS[split])}*.json; keep one of them")
            found[kind] = _parsed(f"{archive}: {member.name}", text_of(member.read(), member.name, odd, b'"'), KEYS[kind])
    say_odd(archive, odd)
    for kind in KEYS:
        if kind not in found:
            raise InputError(f"{archive}: holds no {kind}_{MARKS[split][0]}*.json; it must have COCO's layout")
    return found


def _parsed(name: str, text: str, keys: tuple[str, ...]) -> Table:
    try:
        content = json.loads(text, object_hook=_without_outlines)
    except ValueError as fault:
        raise InputError(f"{name} is not JSON ({fault}); fetch or make it again") from None
    except RecursionError:
        raise InputError(f"{name} is nested too deeply; it must have COCO's layout") from None
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            raise InputError(f"{name} has no `{key}`; it must have COCO's layout")
        if not isinstance(content[key], list) or not all(isinstance(row, dict) for row in content[key]):
            raise InputError(f"{name}: its `{key}` is no list of entries; it must have COCO's layout")
    return Table(name, {key: content[key] for key in keys})


def _without_outlines(content: dict[str, Any]) -> dict[str, Any]:
    """Outlines are nine tenths of COCO's instances and of no use here: dropped while parsing, or they would fill the memory."""
    content.pop("segmentation", None)
    return content


def _categories(tables: list[Table]) -> dict[Any, str]:
    """Names by id, in the order of ids."""
    names: dict[Any, str] = {}
    for table in tables:
        for row in table.rows["categories"]:
            number, name = row.get("id"), row.get("name")
            if not isinstance(number, int | str) or not isinstance(name, str):
                raise InputError(f"{table.name}: category {number!r} has no `id` or no `name`; give it both")
            if names.setdefault(number, without_surrogates(name)) != without_surrogates(name):
                raise InputError(
                    f"{table.name}: category {number!r} is {name!r} here and {names[number]!r} elsewhere; keep one name"
                )
    if len({isinstance(number, str) for number in names}) > 1:
        raise InputError(f"{tables[0].name}: some ids of categories are numbers and some are texts; make all of them numbers")
    return {number: names[number] for number in sorted(names)}


def _file(table: Table, image: Row) -> str:
    if not isinstance(name := image.get("file_name"), str):
        raise InputError(f"{table.name}: image {image.get('id')!r} has no text as `file_name`; mend it")
    return without_surrogates(name)


def _entries(tables: Mapping[str, Table], index: Mapping[Any, int], world: bool, skips: Skips) -> dict[str, Row]:
    """File name -> what is known of the picture."""
    entries: dict[Any, Row] = {}
    for kind in KEYS:  # instances first: worlds keep attributes there
        for image in tables[kind].rows["images"]:
            entry = _entry(tables[kind], image, world)
            entries.setdefault(entry["id"], entry)
    for kind, add in (("captions", _add_caption), ("instances", _add_object)):
        for row in tables[kind].rows["annotations"]:
            try:
                add(_listed(entries, row, "image_id"), row, index, world)
            except OddError as fault:
                skips.add(f"{tables[kind].name}: annotation {row.get('id')}", str(fault))
    files = {entry["file"]: entry for entry in entries.values()}
    if len(files) < len(entries):
        twice = next(file for file, count in Counter(entry["file"] for entry in entries.values()).items() if count > 1)
        raise InputError(f"{tables['instances'].name}: {twice} is the file of two images; give each its own")
    return files


def _entry(table: Table, image: Row, world: bool) -> Row:
    if not isinstance(number := image.get("id"), int | str):
        raise InputError(f"{table.name}: image {image.get('file_name')!r} has no number as `id`; mend it")
    entry = {"id": number, "file": _file(table, image), "captions": [], "objects": [], "categories": set(), "size": None}
    if "width" in image:
        try:
            entry["size"] = (_whole(image, "width"), _whole(image, "height"))
        except OddError as fault:
            raise InputError(f"{table.name}: image {number!r} {fault}; mend it") from None
    entry["attributes"] = image.get("attributes", {}) if world else {}
    return entry


def _add_caption(entry: Row, row: Row, *_: object) -> None:
    if not isinstance(caption := row.get("caption"), str):
        raise OddError("has no text as `caption`")
    entry["captions"] += [(_whole(row, "id"), caption)] if (caption := tidy(caption)) else []


def _add_object(entry: Row, row: Row, index: Mapping[Any, int], world: bool) -> None:
    category = _listed(index, row, "category_id")
    if not row.get("iscrowd"):
        entry["objects"].append(Object(category, _box(row.get("bbox")), row.get("attributes", {}) if world else {}))
    entry["categories"].add(category)


def _listed(table: Mapping[Any, V], row: Row, key: str) -> V:
    try:
        return table[row[key]]
    except (KeyError, TypeError):  # it may be a list
        raise OddError(f"is of {key.removesuffix('_id')} {row.get(key)!r}, which is not listed") from None


def _whole(row: Row, key: str) -> int:
    try:
        return int(row[key])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise OddError(f"has no whole number as `{key}`") from None


def _box(given: Any) -> Box:
    try:
        x, y, w, h = (float(number) for number in given)
    except (TypeError, ValueError, OverflowError):
        raise OddError("has no box of four numbers as `bbox`") from None
    return x, y, w, h


def _records(
    archive: Path, split: str, entries: dict[str, Row], texts: str, listed: Collection[str], skips: Skips
) -> Iterator[Record]:
    found: dict[str, str] = {}
    everywhere = dict.fromkeys(listed, True)  # of a folder that both splits share, the other one's pictures are no surplus
    for member in members(archive):
        entry = by_ending(member.name, entries)
        if entry is None:
            if member.name.lower().endswith((*PICTURES, *UNREAD)) and not by_ending(member.name, everywhere):
                skips.add(f"{archive}: {member.name}", "is a picture that is annotated nowhere")
            continue
        if first := found.get(entry["file"]):
            raise InputError(f"{archive}: {first} and {member.name} both pass for {entry['file']}; keep one of them")
        found[entry["file"]] = member.name
        yield Record(
            name=f"{archive}: {member.name}",
            id=without_surrogates(str(entry["id"])),
            split=split,
            image=member.read(),
            captions=tuple(caption for _, caption in sorted(entry["captions"])),
            texts=texts,
            categories=tuple(sorted(entry["categories"])),
            attributes=entry["attributes"],
            objects=tuple(entry["objects"]),
            size=entry["size"],
        )
    for name in entries:
        if name not in found:
            skips.add(f"{archive}: {name}", "is annotated but not there")
