"""birdworld: one bird an image, forty species, a class-disjoint split and ten captions an image, in CUB's raw layout (SPEC 10)."""

from pathlib import Path

import numpy as np
from PIL import Image

from memgan.data.worlds import bird_captions
from memgan.data.worlds.bird_captions import ATTRIBUTES, PATTERNS, read_caption
from memgan.data.worlds.bird_drawing import draw_bird
from memgan.data.worlds.drawing import Box, jpeg
from memgan.data.worlds.packing import Tar, rng_for, tgz
from memgan.data.worlds.species import FIXED, NAMES, TEST, TRAIN, species
from memgan.params.data import World
from memgan.steps import progress

__all__ = ["ATTRIBUTES", "captions", "draw", "random_attributes", "read_caption", "write"]

LAYOUT = "cub"
CAPTIONS = 10  # an image, as in CUB


def draw(attributes: dict[str, str], rng: np.random.Generator, side: int, pose: float) -> tuple[Image.Image, dict[str, Box]]:
    """An individual with these attributes: the picture (RGB, side x side px) and {"bird": (x, y, width, height)} in px."""
    image, box = draw_bird(attributes, rng, side, pose)
    return image, {"bird": box}


def random_attributes(rng: np.random.Generator) -> dict[str, str]:
    """Any combination of values, of a species or not."""
    return {attribute: values[int(rng.integers(len(values)))] for attribute, values in ATTRIBUTES.items()}


def captions(attributes: dict[str, str], rng: np.random.Generator, count: int) -> list[str]:
    """`count` captions after different patterns (repeated only when `count` exceeds their number)."""
    order = [int(i) for _ in range(0, count, len(PATTERNS)) for i in rng.permutation(len(PATTERNS))]
    return [bird_captions.write_caption(attributes, rng, PATTERNS[i])[0] for i in order[:count]]


def write(archives: Path, world: World, seed: int) -> dict[str, Path]:
    """Renders the data set into the folder `archives`: CUB_200_2011.tgz and cub_captions.tgz, by role.

    Every picture and every list of captions has a generator of its own: with the same seed, the first n images of a species are the
    same however many are asked for.
    """
    paths = {"images": archives / "CUB_200_2011.tgz", "captions": archives / "cub_captions.tgz"}
    plan = _plan(world)
    tables = _Tables()
    with tgz(paths["images"]) as images, tgz(paths["captions"]) as texts:
        for number, (kind, member) in enumerate(progress(plan, "birdworld", len(plan)), start=1):
            attributes = individual(kind, world.variation, rng_for(seed, "birdworld", "individual", kind, member))
            image, boxes = draw(attributes, rng_for(seed, "birdworld", "picture", kind, member), world.side, world.pose)
            name = f"{_folder(kind)}/{NAMES[kind]}_{member + 1:04d}_{number}"
            images.add(f"CUB_200_2011/images/{name}.jpg", jpeg(image))
            lines = captions(attributes, rng_for(seed, "birdworld", "captions", kind, member), CAPTIONS)
            texts.add(f"text_c10/{name}.txt", "".join(f"{line}\n" for line in lines))
            tables.add(number, f"{name}.jpg", kind, boxes["bird"], attributes)
        tables.write(images)
    return paths


def _plan(world: World) -> list[tuple[int, int]]:
    """(species, which of its individuals) of every image, by species: the images of a split are dealt to its species in turn."""
    counts = {kind: len(range(place, world.train_images, len(TRAIN))) for place, kind in enumerate(TRAIN)}
    counts |= {kind: len(range(place, world.test_images, len(TEST))) for place, kind in enumerate(TEST)}
    return [(kind, member) for kind in range(len(NAMES)) for member in range(counts[kind])]


def individual(kind: int, variation: float, rng: np.random.Generator) -> dict[str, str]:
    """The attributes of one bird: its species', each replaced with chance `variation` by any value, and a background."""
    values = random_attributes(rng)
    differs = dict(zip(FIXED, rng.uniform(size=len(FIXED)) < variation, strict=True))
    return values | {attribute: value for attribute, value in species()[kind].items() if not differs[attribute]}


def _folder(kind: int) -> str:
    return f"{kind + 1:03d}.{NAMES[kind]}"


class _Tables:
    """The text files beside CUB's images, line by line."""

    NAMES = ("attributes/image_attribute_labels", "bounding_boxes", "image_class_labels", "images", "train_test_split")

    def __init__(self) -> None:
        self.lines: dict[str, list[str]] = {name: [] for name in self.NAMES}
        self.pairs = [(attribute, value) for attribute, values in ATTRIBUTES.items() for value in values]

    def add(self, number: int, name: str, kind: int, box: Box, attributes: dict[str, str]) -> None:
        """One image. Columns of the labels: image, attribute, is present, certainty (4: definitely), seconds that it took."""
        for i, (attribute, value) in enumerate(self.pairs, start=1):
            self.lines["attributes/image_attribute_labels"].append(f"{number} {i} {int(attributes[attribute] == value)} 4 0.0")
        self.lines["bounding_boxes"].append(" ".join([str(number), *(f"{v:.1f}" for v in box)]))
        self.lines["image_class_labels"].append(f"{number} {kind + 1}")
        self.lines["images"].append(f"{number} {name}")
        self.lines["train_test_split"].append(f"{number} {int(kind in TRAIN)}")

    def write(self, archive: Tar) -> None:
        """Adds the files to the archive."""
        tables = self.lines | {
            "attributes/attributes": [f"{i} has_{attribute}::{value}" for i, (attribute, value) in enumerate(self.pairs, start=1)],
            "classes": [f"{kind + 1} {_folder(kind)}" for kind in range(len(NAMES))],
        }
        for name in sorted(tables):
            archive.add(f"CUB_200_2011/{name}.txt", "".join(f"{line}\n" for line in tables[name]))
