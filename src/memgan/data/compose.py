"""The step `compose`: scenes of several cut-out objects, in COCO's raw layout, from a data set that shows one object a picture.

python -m memgan.data.compose --dataset NAME --archives data/NAME/archives --sources data/NAME/sources.json

Objects of the training split make the training scenes, those of the test split the test scenes.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

from memgan import artifacts, steps
from memgan.data.cutouts import CutOut, cut_outs
from memgan.data.download import check_roles, local
from memgan.data.readers import cub
from memgan.data.readers.records import Skips
from memgan.data.scene_texts import Thing, captions, category_of, colour_of, phrase
from memgan.data.worlds.drawing import jpeg
from memgan.data.worlds.packing import rng_for, zipped
from memgan.errors import InputError
from memgan.params.data import Scenes, Source
from memgan.params.load import Settings

CAPTIONS = 5  # an image, as in COCO
SHARES = 0.34, 0.6  # an object's longer side in sides of the scene
TRIES, OVERLAP = 40, 0.08  # places that are tried for an object; share of the smaller box that may be covered
NOISE = 4.0  # levels, of the backdrop
ROLES = {"train": ("train", "train_images", "train2014.zip"), "test": ("val", "test_images", "val2014.zip")}
Boxes = list[tuple[int, int, int, int]]


def main(
    dataset: Annotated[str, typer.Option(help="data set of params.yaml whose source has scenes")],
    archives: Annotated[Path, typer.Option(help="folder to write the archives into")],
    sources: Annotated[Path, typer.Option(help="JSON file that names the archives by role")],
) -> None:
    """Composes the scenes of a data set."""
    settings = Settings(dataset)
    source, seed, key = settings.source(), settings.value("seed"), f"data.{dataset}.source"
    if source.scenes is None:
        raise InputError(f"params.yaml: `{key}` has no scenes to compose; memgan.data.render renders worlds, download fetches")
    if source.layout != "coco":
        raise InputError(f"params.yaml: `{key}.layout` is `{source.layout}`; composed scenes have the layout `coco`")
    check_roles(source, key)
    files = {role: local(archive, f"{key}.archives.{role}") for role, archive in source.archives.items()}
    skips = Skips(source.max_skipped, f"{key}.max_skipped")
    with artifacts.atomic_folder(archives) as folder:
        names = write(folder, files, source, source.scenes, seed, skips)
    found = {role: archives / name for role, name in names.items()}
    entries = {r: {"path": p.as_posix(), "sha256": artifacts.sha256(p), "bytes": p.stat().st_size} for r, p in found.items()}
    manifest = artifacts.manifest("memgan.data.compose", {"source": source.model_dump(mode="json")}, files, seed)
    artifacts.write_json(sources, {"layout": "coco", "files": entries, "manifest": manifest})
    if skips.count:
        steps.log.info("%s: %d pictures left out", dataset, skips.count)


def write(folder: Path, files: dict[str, Path], source: Source, scenes: Scenes, seed: int, skips: Skips) -> dict[str, str]:
    """Writes train2014.zip, val2014.zip and annotations_trainval2014.zip; returns their names by role."""
    names, tables, first = {"annotations": "annotations_trainval2014.zip"}, {}, 1
    for split, (short, role, archive_name) in ROLES.items():
        objects, categories = objects_of(files, source, split, skips)
        number = scenes.train_images if split == "train" else scenes.test_images
        table = Table(short, categories, first)
        with zipped(folder / archive_name) as archive:
            for i in steps.progress(range(number), f"{split} scenes", number):
                image, things, boxes, colour = scene(objects, categories, scenes, rng_for(seed, "scenes", split, i))
                lines = captions(things, colour, rng_for(seed, "scene captions", split, i))
                archive.add(f"{short}2014/{table.add(image.size, things, boxes, lines)}", jpeg(image))
        names[role], tables[short], first = archive_name, table, first + number
    with zipped(folder / names["annotations"]) as archive:
        for kind in ("captions", "instances"):
            for short, table in tables.items():
                archive.add(f"annotations/{kind}_{short}2014.json", json.dumps(getattr(table, kind)))
    return names


def objects_of(files: dict[str, Path], source: Source, split: str, skips: Skips) -> tuple[list[CutOut], list[str]]:
    """All objects of a split that can be cut out, and the names of the categories."""
    raw = cub.read(files, source, skips)
    objects = []
    for each in cut_outs(raw.records, split):
        if isinstance(each, CutOut):
            objects.append(each)
        else:
            skips.add(*each)
    if not objects:
        raise InputError(f"{files['images']}: no {split} picture shows an object that can be cut out; use another data set")
    return objects, [category_of(name) for name in raw.classes]


def scene(
    objects: list[CutOut], categories: list[str], scenes: Scenes, rng: np.random.Generator
) -> tuple[Image.Image, list[Thing], Boxes, str]:
    """A picture of one to `scenes.objects` objects: (picture, what is in it, boxes x, y, w, h in px, colour of the backdrop)."""
    image, colour = backdrop(scenes.side, rng)
    things: list[Thing] = []
    boxes: Boxes = []
    for pick in rng.permutation(len(objects))[: int(rng.integers(1, scenes.objects + 1))]:
        each = objects[int(pick)]
        shown = sized(each.image, scenes.side, rng)
        place = free(shown.size, scenes.side, boxes, rng)
        if place is None:
            continue
        image.paste(shown, place, shown)
        x, y, w, h = *place, *shown.size
        boxes.append((x, y, w, h))
        category = categories[each.label]
        things.append(Thing(category, phrase(each.name) or category, x + w / 2, y + h / 2))
    return image, things, boxes, colour


def backdrop(side: int, rng: np.random.Generator) -> tuple[Image.Image, str]:
    """An even run from one colour to a darker one, with a little noise; and the name of the colour between them."""
    above = rng.integers(90, 240, 3)
    below = above * rng.uniform(0.55, 0.95)
    share = np.linspace(0, 1, side)[:, None, None]  # [h, 1, 1]
    colours = (1 - share) * above + share * below + rng.normal(0, NOISE, (side, side, 1))
    middle = (above + below) / 2
    return Image.fromarray(np.clip(np.rint(colours), 0, 255).astype(np.uint8)), colour_of(tuple(float(level) for level in middle))


def sized(image: Image.Image, side: int, rng: np.random.Generator) -> Image.Image:
    """An object at a random size, mirrored by chance; never enlarged."""
    longer = min(max(image.size), side * rng.uniform(*SHARES))
    scale = longer / max(image.size)
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BICUBIC)
    return small.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else small


def free(size: tuple[int, int], side: int, boxes: Boxes, rng: np.random.Generator) -> tuple[int, int] | None:
    """A place where the object covers next to nothing of the others; None if none was found."""
    w, h = size
    for _ in range(TRIES):
        x, y = int(rng.integers(0, side - w + 1)), int(rng.integers(0, side - h + 1))
        if all(covered((x, y, w, h), other) <= OVERLAP for other in boxes):
            return x, y
    return None


def covered(one: tuple[int, int, int, int], two: tuple[int, int, int, int]) -> float:
    """Share of the smaller box that lies in the other."""
    wide = min(one[0] + one[2], two[0] + two[2]) - max(one[0], two[0])
    high = min(one[1] + one[3], two[1] + two[3]) - max(one[1], two[1])
    return max(0, wide) * max(0, high) / min(one[2] * one[3], two[2] * two[3])


class Table:
    """COCO's two JSON files of one split."""

    def __init__(self, split: str, categories: list[str], first: int):
        self.split, self.next, self.names = split, first, categories
        info = {"description": "composed scenes", "version": "1.0", "year": 2014}
        self.images: list[dict[str, Any]] = []
        kinds = [{"supercategory": "thing", "id": i, "name": name} for i, name in enumerate(categories, start=1)]
        self.captions: dict[str, Any] = {"info": info, "images": self.images, "licenses": [], "annotations": []}
        self.instances = {"info": info, "images": self.images, "licenses": [], "annotations": [], "categories": kinds}

    def add(self, size: tuple[int, int], things: list[Thing], boxes: Boxes, lines: list[str]) -> str:
        """One scene; returns its file name."""
        number, self.next = self.next, self.next + 1
        name = f"COCO_{self.split}2014_{number:012d}.jpg"
        self.images.append({"license": 0, "file_name": name, "height": size[1], "width": size[0], "id": number})
        for j, line in enumerate(lines, start=1):
            self.captions["annotations"].append({"image_id": number, "id": number * 10 + j, "caption": line})
        for j, (thing, (x, y, w, h)) in enumerate(zip(things, boxes, strict=True), start=1):
            self.instances["annotations"].append({
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                "area": w * h, "iscrowd": 0, "image_id": number, "bbox": [x, y, w, h],
                "category_id": self.names.index(thing.category) + 1, "id": number * 10 + j,
            })  # fmt: skip
        return name


if __name__ == "__main__":
    steps.run(main)
