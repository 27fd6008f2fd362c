"""CUB-200-2011's layout, and any data set laid out like it (birdworld, a user's own).

Role `images`: images.txt, classes.txt, image_class_labels.txt, train_test_split.txt and bounding_boxes.txt in a folder of any name,
pictures under images/ beside images.txt. Role `captions`: Reed's text_c10/<class>/<image>.txt, one caption a line. Class-disjoint
split: trainvalclasses.txt and testclasses.txt, in the role `split` or among the captions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from memgan.data.images import Box
from memgan.data.readers.records import PICTURES, UNREAD, Raw, Record, Skips, by_ending, captions_of, passed_over, say_odd, text_of
from memgan.data.source import members
from memgan.errors import InputError
from memgan.params.data import Source

V = TypeVar("V")
NEEDED = ("images.txt", "classes.txt", "image_class_labels.txt")
LISTS = {"trainvalclasses.txt": "train", "testclasses.txt": "test"}
SINGLE = (*NEEDED, "train_test_split.txt", "bounding_boxes.txt")  # one line a number
ATTRIBUTES = ("attributes.txt", "image_attribute_labels.txt")


@dataclass(frozen=True)
class Entry:
    """What the tables say of one image."""

    path: str
    split: str
    label: int
    box: Box | None
    attributes: dict[str, str]

    @property
    def id(self) -> str:
        """`<class>/<image>` without its suffix, which also names its captions."""
        return self.path.rpartition(".")[0] or self.path


def read(files: Mapping[str, Path], source: Source, skips: Skips) -> Raw:
    """CUB's layout as records. Attributes are read for worlds only: CUB's own are votes of many people, not the truth.

    They are also the largest of its tables by far, 3.7 million lines.
    """
    archive = files["images"]
    root, tables = _tables(archive, (*SINGLE, *(ATTRIBUTES if source.world else ())))
    classes = dict(tables["classes.txt"])
    split = _split(source, files, tables, classes)
    attributes = _attributes(archive, tables) if source.world else {}
    numbers = {number: index for index, number in enumerate(classes)}
    labels = {image: _of(numbers, number, archive, "image_class_labels.txt") for image, number in tables["image_class_labels.txt"]}
    boxes = {image: _box(archive, text) for image, text in tables.get("bounding_boxes.txt", [])}
    entries = {}
    for image, path in tables["images.txt"]:
        label = _of(labels, image, archive, "images.txt")
        side = _of(split, image, archive, "images.txt")
        if f"{root}images/{path}" in entries:
            raise InputError(f"{archive}: images.txt lists {path} twice; keep one of them")
        entries[f"{root}images/{path}"] = Entry(path, side, label, boxes.get(image), attributes.get(image, {}))
    captions = _captions(files["captions"], {entry.id for entry in entries.values()})
    return Raw(list(classes.values()), [], _records(files, f"{root}images/", entries, captions, skips))


def _records(
    files: Mapping[str, Path], folder: str, entries: dict[str, Entry], captions: dict[str, tuple[str, ...]], skips: Skips
) -> Iterator[Record]:
    archive, missing, others = files["images"], dict(entries), []
    for member in members(archive):
        if entry := missing.pop(member.name, None):
            yield Record(
                name=f"{archive}: {member.name}",
                id=entry.id,
                split=entry.split,
                image=member.read(),
                captions=captions.get(entry.id, ()),
                texts=f"{files['captions']}: {entry.id}.txt",
                label=entry.label,
                box=entry.box,
                attributes=entry.attributes,
            )
        elif not member.name.lower().endswith((*PICTURES, *UNREAD)):
            continue
        elif member.name.startswith(folder):
            skips.add(f"{archive}: {member.name}", "is not listed in images.txt")
        else:
            others.append(member.name)
    passed_over(archive, others, f"pictures outside {folder}")
    for name in missing:
        skips.add(f"{archive}: {name}", "is listed in images.txt but not there")


def _tables(archive: Path, wanted: tuple[str, ...]) -> tuple[str, dict[str, list[tuple[str, str]]]]:
    """The folder of images.txt (with its slash) and the text files wanted; of two of one name, the one nearer to the root."""
    found: dict[str, tuple[str, bytes]] = {}
    for member in members(archive):
        folder, slash, name = member.name.rpartition("/")
        if name in wanted and (name not in found or member.name.count("/") < found[name][0].count("/")):
            found[name] = folder + slash, member.read()
    for name in NEEDED:
        if name not in found:
            raise InputError(f"{archive}: holds no {name}; it must have CUB's layout (README, your own pictures)")
    odd: list[str] = []
    tables = {name: _table(archive, name, text_of(data, folder + name, odd)) for name, (folder, data) in found.items()}
    say_odd(archive, odd)
    return found["images.txt"][0], tables


def _table(archive: Path, name: str, text: str) -> list[tuple[str, str]]:
    """`<number> <rest>` lines."""
    rows = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    seen: set[str] = set()
    for row in rows:
        if len(row) != 2:
            raise InputError(f"{archive}: {name} has the line {' '.join(row)!r}; each must be `<number> <value>`")
        if row[0] in seen and name in SINGLE:
            raise InputError(f"{archive}: {name} has two lines for {row[0]}; keep one of them")
        seen.add(row[0])
    return [(number, rest.strip()) for number, rest in rows]


def _captions(archive: Path, images: set[str]) -> dict[str, tuple[str, ...]]:
    """Captions by image id: a member belongs to the image that its name, without .txt, ends in."""
    captions: dict[str, tuple[str, ...]] = {}
    wanted: dict[str, str] = {image: image for image in images}
    others, odd = list[str](), list[str]()
    for member in members(archive):
        image = by_ending(member.name.removesuffix(".txt"), wanted) if member.name.endswith(".txt") else None
        if image is None:
            others.append(member.name)
        elif image in captions:
            raise InputError(f"{archive}: has captions of {image} in two places; keep one of them")
        else:
            captions[image] = captions_of(member.read(), member.name, odd)
    passed_over(archive, others, "captions of no image")
    say_odd(archive, odd)
    return captions


def _split(
    source: Source, files: Mapping[str, Path], tables: Mapping[str, list[tuple[str, str]]], classes: Mapping[str, str]
) -> dict[str, str]:
    """Image number -> train or test."""
    if source.split == "official":
        if "train_test_split.txt" not in tables:
            raise InputError(f"{files['images']}: holds no train_test_split.txt; add it or write split: lists")
        return {image: "train" if flag == "1" else "test" for image, flag in tables["train_test_split.txt"]}
    where, odd = files.get("split", files["captions"]), list[str]()
    lists = {name: text_of(m.read(), m.name, odd) for m in members(where) if (name := m.name.rpartition("/")[2]) in LISTS}
    say_odd(where, odd)
    for name in LISTS:
        if name not in lists:
            raise InputError(f"{where}: holds no {name}; add it or write split: official")
    named = {name: {line.strip() for line in text.splitlines() if line.strip()} for name, text in lists.items()}
    if both := sorted(set.intersection(*named.values())):
        raise InputError(f"{where}: {both[0]} stands in both lists of classes; training and test classes must differ")
    side = {kind: LISTS[name] for name, kinds in named.items() for kind in kinds}
    return {
        image: _of(side, _of(classes, number, files["images"], "image_class_labels.txt"), where, "classes.txt")
        for image, number in tables["image_class_labels.txt"]
    }


def _attributes(archive: Path, tables: Mapping[str, list[tuple[str, str]]]) -> dict[str, dict[str, str]]:
    """Image number -> {"crown_color": "red", ...}.

    attributes.txt: `<attribute> has_crown_color::red`; image_attribute_labels.txt: `<image> <attribute> <1 if present> ...`.
    """
    names = dict(tables.get("attributes.txt", []))
    found: dict[str, dict[str, str]] = {}
    for image, rest in tables.get("image_attribute_labels.txt", []):
        attribute, present = rest.split()[:2]
        if present == "1":
            name, _, value = _of(names, attribute, archive, "image_attribute_labels.txt").partition("::")
            found.setdefault(image, {})[name.removeprefix("has_")] = value
    return found


def _box(archive: Path, text: str) -> Box:
    try:
        x, y, w, h = (float(number) for number in text.split())
    except ValueError:
        raise InputError(f"{archive}: bounding_boxes.txt has {text!r}, not `<x> <y> <width> <height>`; mend the line") from None
    return x, y, w, h


def _of(table: Mapping[str, V], key: str, archive: Path, name: str) -> V:
    if key not in table:
        raise InputError(f"{archive}: {name} names {key}, of which another table knows nothing; mend the tables")
    return table[key]
