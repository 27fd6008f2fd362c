"""sceneworld: one to three things on one of four backgrounds, five captions an image, in COCO's raw layout (SPEC 10)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from memgan.data.worlds import scene_captions
from memgan.data.worlds.drawing import COLOURS, Box, jpeg
from memgan.data.worlds.grammar import pick
from memgan.data.worlds.packing import rng_for, zipped
from memgan.data.worlds.scene_captions import ATTRIBUTES, read_caption
from memgan.data.worlds.scene_drawing import PLACES, THINGS, draw_scene
from memgan.params.data import World
from memgan.steps import progress

__all__ = ["ATTRIBUTES", "captions", "draw", "random_attributes", "read_caption", "write"]

LAYOUT = "coco"
CAPTIONS = 5  # an image, as in COCO
CATEGORIES = tuple(sorted(THINGS))
KINDS = {"ball": "toy", "boat": "vehicle", "car": "vehicle", "cup": "household", "fish": "animal", "flower": "plant",
         "house": "building", "kite": "toy", "mushroom": "plant", "tree": "plant"}  # fmt: skip


def draw(attributes: dict[str, str], rng: np.random.Generator, side: int, pose: float) -> tuple[Image.Image, dict[str, Box]]:
    """A scene with these attributes: the picture (RGB, side x side px) and (x, y, width, height) in px by category.

    Raises ValueError unless one to three categories are present.
    """
    things = {category: attributes[category] for category in CATEGORIES if attributes[category] != "absent"}
    if not 1 <= len(things) <= 3:
        raise ValueError(f"a scene holds one to three things, not {len(things)}")
    return draw_scene(attributes["background"], things, rng, side, pose)


def random_attributes(rng: np.random.Generator) -> dict[str, str]:
    """One to three things of any colours on any background."""
    present = rng.permutation(len(CATEGORIES))[: int(rng.integers(1, 4))]
    colours, places = tuple(COLOURS), tuple(PLACES)
    chosen = {CATEGORIES[int(i)]: colours[int(rng.integers(len(colours)))] for i in present}
    return {c: chosen.get(c, "absent") for c in CATEGORIES} | {"background": places[int(rng.integers(len(places)))]}


def captions(attributes: dict[str, str], rng: np.random.Generator, count: int) -> list[str]:
    """`count` captions; three of four mention everything that is there."""
    things = sum(attributes[category] != "absent" for category in CATEGORIES)
    lines = []
    for _ in range(count):
        mentioned = things if rng.random() < 0.75 else pick(rng, range(1, things + 1))
        pattern = pick(rng, scene_captions.fitting(attributes, mentioned))
        lines.append(scene_captions.write_caption(attributes, rng, pattern)[0])
    return lines


def write(archives: Path, world: World, seed: int) -> dict[str, Path]:
    """Renders the data set into the folder `archives`: train2014.zip, val2014.zip and annotations_trainval2014.zip, by role.

    Every image has generators of its own: with the same seed, the first n images of a split are the same however many are
    asked for.
    """
    paths = {
        "train_images": archives / "train2014.zip",
        "test_images": archives / "val2014.zip",
        "annotations": archives / "annotations_trainval2014.zip",
    }
    first, tables = 1, {}
    for split, role, count in (("train", "train_images", world.train_images), ("val", "test_images", world.test_images)):
        table = _Annotations(split, first)
        with zipped(paths[role]) as archive:
            for i in progress(range(count), f"sceneworld {split}", count):
                attributes = random_attributes(rng_for(seed, "sceneworld", "attributes", split, i))
                image, boxes = draw(attributes, rng_for(seed, "sceneworld", "picture", split, i), world.side, world.pose)
                lines = captions(attributes, rng_for(seed, "sceneworld", "captions", split, i), CAPTIONS)
                archive.add(f"{split}2014/{table.add(image.size, attributes, boxes, lines)}", jpeg(image))
        tables[split], first = table, first + count
    with zipped(paths["annotations"]) as archive:
        for kind in ("captions", "instances"):
            for split in ("train", "val"):
                archive.add(f"annotations/{kind}_{split}2014.json", json.dumps(getattr(tables[split], kind)))
    return paths


class _Annotations:
    """COCO's two JSON files of one split. Attributes of images and things are an addition to the format."""

    def __init__(self, split: str, first: int):
        self.split, self.next = split, first
        info = {"description": "sceneworld", "version": "1.0", "year": 2014}
        self.images: list[dict[str, Any]] = []
        categories = [{"supercategory": KINDS[name], "id": i, "name": name} for i, name in enumerate(CATEGORIES, start=1)]
        self.captions: dict[str, Any] = {"info": info, "images": self.images, "licenses": [], "annotations": []}
        self.instances = {"info": info, "images": self.images, "licenses": [], "annotations": [], "categories": categories}

    def add(self, size: tuple[int, int], attributes: dict[str, str], boxes: dict[str, Box], lines: list[str]) -> str:
        """One image; returns its file name."""
        number, self.next = self.next, self.next + 1
        name = f"COCO_{self.split}2014_{number:012d}.jpg"
        row = {"license": 0, "file_name": name, "height": size[1], "width": size[0], "id": number, "attributes": attributes}
        self.images.append(row)
        for j, line in enumerate(lines, start=1):
            self.captions["annotations"].append({"image_id": number, "id": number * 10 + j, "caption": line})
        for category, (x, y, w, h) in boxes.items():
            self.instances["annotations"].append({
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                "area": round(w * h, 2), "iscrowd": 0, "image_id": number, "bbox": [x, y, w, h],
                "category_id": CATEGORIES.index(category) + 1, "id": number * 100 + CATEGORIES.index(category),
                "attributes": {"color": attributes[category]},
            })  # fmt: skip
        return name
