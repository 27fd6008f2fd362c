"""How much there is of a data set, before or after it is here: images, captions, categories, bytes of its archives."""

import os
from pathlib import Path
from typing import NamedTuple

from memgan.artifacts import read_json
from memgan.data import compose
from memgan.data.download import place_of
from memgan.data.fetch import DOWNLOADS, MIRROR, name_of
from memgan.data.readers import cub
from memgan.data.readers.records import Skips
from memgan.data.scene_texts import category_of
from memgan.data.worlds.known import WORLDS
from memgan.errors import InputError
from memgan.params.data import Archive, Source
from memgan.params.load import Settings


class Counts(NamedTuple):
    """How much there is of a data set, and how that is known."""

    train: int
    test: int
    captions: float  # an image
    categories: int  # of objects
    known: str


def counts(settings: Settings) -> Counts:
    """From what is preprocessed, or what is rendered, or what the makers say. Raises InputError if nothing is known."""
    source, index = settings.source(), Path("results") / str(settings.dataset) / "images" / "index.json"
    if index.is_file():
        found = read_json(index)
        captions = sum(len(row["captions"]) for row in found["train"]) / len(found["train"])
        return Counts(len(found["train"]), len(found["test"]), captions, len(found["categories"]), "counted")
    if world := source.world:
        kinds = getattr(WORLDS[world.name], "CATEGORIES", ())
        return Counts(world.train_images, world.test_images, WORLDS[world.name].CAPTIONS, len(kinds), "params.yaml")
    if made := source.scenes:
        number = scene_categories(source)
        known = "params.yaml" if number else "params.yaml; categories, and with them SOA, not before its archives are here"
        return Counts(made.train_images, made.test_images, compose.CAPTIONS, number, known)
    if told := source.counts:
        return Counts(told.train_images, told.test_images, told.captions, told.categories, "as its makers say")
    key = f"data.{settings.dataset}"
    raise InputError(
        f"params.yaml: how much there is of `{key}` is not known yet; run `snakemake --cores all {index.parent}`, "
        f"or write `{key}.source.counts: {{train_images: ..., test_images: ..., captions: ...}}`"
    )


def scene_categories(source: Source) -> int:
    """How many categories `memgan.data.compose` gives the objects that it cuts out of the archives; 0 until these are here."""
    files = {role: place(archive) for role, archive in source.archives.items()}
    if not all(path.exists() for path in files.values()):
        return 0
    return len({category_of(name) for name in cub.read(files, source, Skips(0, "max_skipped")).classes})


def place(archive: Archive) -> Path:
    """Where an archive lies or, if it has addresses, would be put."""
    return place_of(archive) if archive.path else Path(os.environ.get(MIRROR) or DOWNLOADS) / name_of(archive.urls)


def archive_bytes(archive: Archive) -> int | None:
    """An archive's size, from params.yaml or from where it lies (a folder: of all files in it); None if neither tells."""
    path = place(archive)
    if archive.bytes or not path.exists():
        return archive.bytes
    return sum(each.stat().st_size for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file())
