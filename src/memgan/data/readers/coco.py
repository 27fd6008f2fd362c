"""COCO's layout (sceneworld too): two archives of pictures and one of captions_*.json and instances_*.json."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from memgan.data.images import Box
from memgan.data.readers.records import PICTURES, Object, Raw, Record, Skips, by_ending, passed_over, text_of, tidy
from memgan.data.source import members
from memgan.errors import InputError
from memgan.params.data import Source

MARKS = {"train": ("train",), "test": ("val", "test")}  # COCO 2014's validation images are this literature's test images


def read(files: Mapping[str, Path], source: Source, skips: Skips) -> Raw:
    """COCO's layout as records: the training split, then the test split.

    Crowds count for a picture's categories but are no objects. Attributes, an extra key, are read for worlds only.
    """
    tables = {split: _tables(files["annotations"], split) for split in MARKS}
    names = {c["id"]: c["name"] for table in tables.values() for c in table["categories"]}
    index = {number: place for place, number in enumerate(sorted(names))}

    def known(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
        try:
            return _entries(table, index, bool(source.world), files["annotations"], skips)
        except (KeyError, TypeError, ValueError) as fault:
            raise InputError(f"{files['annotations']}: annotations lack or misname {fault}; they must have COCO's layout") from None

    records = (record for split in MARKS for record in _records(files[f"{split}_images"], split, known(tables.pop(split)), skips))
    return Raw([], [names[number] for number in sorted(names)], records)


def _tables(archive: Path, split: str) -> dict[str, Any]:
    """captions and instances of one split: {"images", "categories", "annotations", "captions"}."""
    found: dict[str, Any] = {}
    for member in members(archive):
        name = member.name.rpartition("/")[2]
        kind, _, rest = name.partition("_")
        if kind in ("captions", "instances") and name.endswith(".json") and rest.startswith(MARKS[split]):
            if kind in found:
                raise InputError(f"{archive}: has two files {kind}_{'/'.join(MARKS[split])}*.json; keep one of them")
            found[kind] = _parsed(archive, member.name, member.read())
    for kind in ("captions", "instances"):
        if kind not in found:
            raise InputError(f"{archive}: holds no {kind}_{MARKS[split][0]}*.json; it must have COCO's layout")
    instances = found["instances"]
    return {
        "images": instances["images"] + found["captions"]["images"],  # instances first: worlds keep attributes there
        "categories": instances["categories"],
        "annotations": instances["annotations"],
        "captions": found["captions"]["annotations"],
    }


def _parsed(archive: Path, name: str, data: bytes) -> dict[str, Any]:
    try:
        table = json.loads(text_of(data), object_hook=_without_outlines)
    except ValueError as fault:
        raise InputError(f"{archive}: {name} is not JSON ({fault}); fetch or make it again") from None
    for key in ("images", "annotations", *(["categories"] if "instances" in name.rpartition("/")[2] else [])):
        if not isinstance(table, dict) or key not in table:
            raise InputError(f"{archive}: {name} has no `{key}`; it must have COCO's layout")
    return table


def _without_outlines(content: dict[str, Any]) -> dict[str, Any]:
    """Outlines are nine tenths of COCO's instances and of no use here: dropped while parsing, or they would fill the memory."""
    content.pop("segmentation", None)
    return content


def _entries(
    table: dict[str, Any], index: Mapping[int, int], world: bool, archive: Path, skips: Skips
) -> dict[str, dict[str, Any]]:
    """File name -> what is known of the picture."""
    entries: dict[int, dict[str, Any]] = {}
    for image in table["images"]:
        entry = {"id": image["id"], "file": image["file_name"], "captions": [], "objects": [], "categories": set()}
        entry["size"] = (int(image["width"]), int(image["height"])) if "width" in image else None
        entry["attributes"] = image.get("attributes", {}) if world else {}
        entries.setdefault(image["id"], entry)
    for each in (*table["captions"], *table["annotations"]):
        if (entry := entries.get(each["image_id"])) is None:
            skips.add(f"{archive}: annotation {each['id']}", f"is of image {each['image_id']}, which is not listed")
        elif "caption" in each:
            entry["captions"] += [(int(each["id"]), caption)] if (caption := tidy(each["caption"])) else []
        else:
            category = index[each["category_id"]]
            entry["categories"].add(category)
            if not each.get("iscrowd"):
                entry["objects"].append(Object(category, _box(each["bbox"]), each.get("attributes", {}) if world else {}))
    files = {entry["file"]: entry for entry in entries.values()}
    if len(files) < len(entries):
        twice = next(file for file, count in Counter(entry["file"] for entry in entries.values()).items() if count > 1)
        raise InputError(f"{archive}: {twice} is the file of two images; give each its own")
    return files


def _box(given: Any) -> Box:
    x, y, w, h = (float(number) for number in given)
    return x, y, w, h


def _records(archive: Path, split: str, entries: dict[str, dict[str, Any]], skips: Skips) -> Iterator[Record]:
    missing, others = dict(entries), []
    for member in members(archive):
        entry = by_ending(member.name, missing)
        if entry is None:
            others += [member.name] if member.name.lower().endswith(PICTURES) else []
            continue
        del missing[entry["file"]]
        yield Record(
            name=f"{archive}: {member.name}",
            id=str(entry["id"]),
            split=split,
            image=member.read(),
            captions=tuple(caption for _, caption in sorted(entry["captions"])),
            categories=tuple(sorted(entry["categories"])),
            attributes=entry["attributes"],
            objects=tuple(entry["objects"]),
            size=entry["size"],
        )
    passed_over(archive, others, "pictures that are annotated nowhere")
    for name in missing:
        skips.add(f"{archive}: {name}", "is annotated but not there")
