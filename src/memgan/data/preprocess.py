"""Step: raw archives -> images at load size in WebDataset shards, with an index (geometry of SPEC 10).

python -m memgan.data.preprocess --dataset NAME --sources data/NAME/sources.json --out results/NAME/images
"""

import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import webdataset

from memgan import artifacts, steps
from memgan.data.images import UnusableError, decode, encode, geometry, inside, resized
from memgan.data.readers import read
from memgan.data.readers.records import Raw, Record, Skips
from memgan.data.shards import SPLITS
from memgan.data.source import located
from memgan.errors import InputError
from memgan.params.data import Images
from memgan.params.load import Settings

PER_SHARD = 2000


def main(
    dataset: Annotated[str, typer.Option(help="name under `data` in params.yaml")],
    sources: Annotated[Path, typer.Option(help="data/{dataset}/sources.json")],
    out: Annotated[Path, typer.Option(help="folder of shards and index.json")],
) -> None:
    """Cuts and scales every image of a data set and packs them into shards."""
    settings = Settings(dataset)
    images, source = settings.block("images", Images), settings.source()
    skips = Skips(source.max_skipped, f"data.{dataset}.source.max_skipped")
    raw = read(located(sources), source, skips)
    used = {"images": images.model_dump(mode="json"), "source": source.model_dump(mode="json")}
    with artifacts.atomic_folder(out) as folder:
        index: dict[str, Any] = {**pack(raw, images, skips, folder), "classes": raw.classes, "categories": raw.categories}
        for split in SPLITS:
            if not index[split]:
                raise InputError(f"{sources}: no {split} images in what it names; correct `data.{dataset}.source` in params.yaml")
        index["manifest"] = artifacts.manifest("memgan.data.preprocess", used, {"sources": sources})
        artifacts.write_text(folder / "index.json", index_text(index))
    counts = ", ".join(f"{len(index[split])} {split}" for split in SPLITS)
    steps.log.info("%s: %s images, %d left out", dataset, counts, skips.count)


@dataclass(frozen=True)
class Prepared:
    """A record cut, scaled and encoded; `faults` are objects that had to be left out."""

    record: Record
    data: bytes
    size: tuple[int, int]
    objects: list[dict[str, Any]]
    faults: list[str]


def prepared(record: Record, images: Images) -> Prepared:
    """Cut, scale and encode one record: a pure function. Raises UnusableError if the picture cannot be used."""
    image = decode(record.image)
    if record.size and record.size != image.size:
        raise UnusableError("is {} x {} px but annotated as {} x {}".format(*image.size, *record.size))
    cut = geometry(*image.size, images.short_side, record.box, images.box_crop)
    objects, faults = [], []
    for each in record.objects:
        if not inside(each.box, *image.size):
            faults.append("the box {:g}, {:g}, {:g}, {:g} has no area inside the picture".format(*each.box))
        elif box := cut.relative(each.box):
            objects.append({"category": each.category, "box": box, "attributes": each.attributes})
    return Prepared(record, encode(resized(image, cut), images.format), (cut.width, cut.height), objects, faults)


def pack(raw: Raw, images: Images, skips: Skips, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Writes the shards of all records and returns the index rows of each split, in the records' order."""
    shards = {split: Shards(folder, split, images.format) for split in SPLITS}
    try:
        for item in steps.progress(_usable(raw, images, skips), "images"):
            shards[item.record.split].add(item)
    finally:
        for each in shards.values():
            each.close()
    return {split: each.rows for split, each in shards.items()}


def _usable(raw: Raw, images: Images, skips: Skips) -> Iterator[Prepared]:
    for record in raw.records:
        if not record.captions:
            skips.add(record.name, "has no caption")
            continue
        try:
            item = prepared(record, images)
        except UnusableError as fault:
            skips.add(record.name, str(fault))
            continue
        for fault in item.faults:
            skips.add(record.name, fault)
        yield item


def index_text(index: Mapping[str, Any]) -> str:
    """JSON with one line for each image, quick to write and to search."""
    parts = []
    for key, value in index.items():
        rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in value) if key in SPLITS else ""
        parts.append(f'"{key}": ' + (f"[\n{rows}\n]" if key in SPLITS else json.dumps(value, ensure_ascii=False)))
    return "{\n" + ",\n".join(parts) + "\n}\n"


class Shards:
    """Writes one split's samples into tar files of at most PER_SHARD, the same bytes for the same samples."""

    def __init__(self, folder: Path, split: str, form: str):
        self.folder, self.split, self.form = folder, split, form
        self.rows: list[dict[str, Any]] = []
        self._keys: set[str] = set()
        self._file = self._writer = None

    def add(self, item: Prepared) -> None:
        """Append one sample and its index row."""
        if len(self.rows) % PER_SHARD == 0:
            self._next()
        record, key = item.record, self._key(item.record.id)
        offset = self._writer.tarstream.offset + tarfile.BLOCKSIZE  # a ustar header is one block
        self._writer.write({"__key__": key, self.form: item.data})
        self.rows.append(
            {
                "key": key,
                "id": record.id,
                "captions": list(record.captions),
                "label": record.label,
                "categories": list(record.categories),
                "attributes": record.attributes,
                "objects": item.objects,
                "size": list(item.size),
                "shard": self._name(),
                "offset": offset,
                "bytes": len(item.data),
            }
        )

    def close(self) -> None:
        """Finish the open shard."""
        if self._writer:
            self._writer.close()
            self._file.close()
            self._writer = None

    def _next(self) -> None:
        self.close()
        self._file = (self.folder / self._name(len(self.rows))).open("wb")
        self._writer = webdataset.TarWriter(self._file, user="", group="", compress=False, mtime=0, encoder=False)

    def _name(self, row: int | None = None) -> str:
        return f"{self.split}-{(len(self.rows) if row is None else row) // PER_SHARD:05d}.tar"

    def _key(self, name: str) -> str:
        """A file name from an id: WebDataset takes what follows the first dot as the kind, and tar limits the length."""
        base = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[-80:]
        key, count = base, 1
        while key in self._keys:
            count += 1
            key = f"{base}-{count}"
        self._keys.add(key)
        return key


if __name__ == "__main__":
    steps.run(main)
