"""Where a data set comes from and how its images are cut: `data.<dataset>.source` and `images`."""

from typing import Literal, Self

from pydantic import model_validator

from memgan.params.base import Block, entry, optional


class World(Block):
    """An embedded world: rendered by code, in the raw layout of CUB or COCO."""

    name: Literal["birdworld", "sceneworld"] = entry("which world [ours]")
    train_images: int = entry("training images to render", gt=0)
    test_images: int = entry("test images to render", gt=0)
    side: int = entry("side of a rendered image in px", ge=16)
    pose: float = entry("variety of pose: 0 none, 1 mirrored, tilted and freely scaled", ge=0, le=1)
    variation: float = optional(
        "birdworld: chance that an individual differs from its species in an attribute (plumages of age, sex and morph)",
        0.0,
        ge=0,
        le=1,
    )


class Scenes(Block):
    """Scenes composed of the objects that a data set in CUB's layout shows one a picture on plain backdrops."""

    train_images: int = entry("training scenes to compose", gt=0)
    test_images: int = entry("test scenes to compose", gt=0)
    side: int = entry("side of a scene in px", ge=32)
    objects: int = entry("most objects in a scene", ge=1, le=4)


class Archive(Block):
    """One archive or folder of raw data."""

    path: str | None = optional("where it lies on this machine; used in place, never copied")
    urls: tuple[str, ...] = optional("mirrors, tried in order", ())
    checksum: str | None = optional("`sha256:...` or `md5:...`; checked before use; needed for archives")
    bytes: int | None = optional("its size, for `memgan plan` and `memgan download --check` before it is there", gt=0)
    origin: str | None = optional("where a person gets it who has to; said when it is missing")

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        if bool(self.path) == bool(self.urls):
            raise ValueError("give either `path` or `urls`")
        return self


class Counts(Block):
    """How much there is of a data set, as its makers say: for `memgan plan` before the data is there."""

    train_images: int = entry("training images", gt=0)
    test_images: int = entry("test images", gt=0)
    captions: int = entry("captions an image", gt=0)
    categories: int = optional("object categories", 0, ge=0)


class Source(Block):
    """Raw data of one data set."""

    layout: Literal["cub", "coco", "folder"] = entry("how the raw data is laid out")
    world: World | None = optional("render this world instead of reading archives")
    scenes: Scenes | None = optional("compose these from the archives, which are cub's; the layout is then coco")
    archives: dict[str, Archive] = optional(
        "by role: cub: images, captions, split (if the official split is not wanted); "
        "coco: train_images, test_images, annotations; folder: images",
        {},
    )
    split: Literal["official", "lists", "fraction"] = entry(
        "cub: `official` is train_test_split.txt, `lists` are the class lists of the role `split`; folder: a `fraction`"
    )
    test_fraction: float = optional("share of a folder's images that is test", 0.1, gt=0, lt=1)
    counts: Counts | None = optional("how much there is of it; preprocessing says so if it finds something else")
    max_skipped: int = optional("unreadable or caption-less images that may be left out, each named in the log", 0, ge=0)

    @model_validator(mode="after")
    def _has_raw_data(self) -> Self:
        if bool(self.world) == bool(self.archives):
            raise ValueError("give either `world` or `archives`")
        return self


class Images(Block):
    """Geometry of training images and of what is generated (SPEC 10)."""

    size: int = entry("side of the last stage's image in px, a power of two; paper 256", ge=8)
    short_side: int = entry("short side in px after preprocessing; lineage: size * 76 / 64", ge=4)
    box_crop: float | None = entry("half side of the square around the box in units of its longer side; lineage: 0.75 on CUB", gt=0)
    flip: bool = entry("mirror training images at random [lineage]")
    format: Literal["png", "jpg"] = entry("how preprocessed images are stored (jpg: quality 95)")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.size & (self.size - 1):
            raise ValueError("size must be a power of two")
        if self.short_side < self.size:
            raise ValueError("short_side must not be below size")
        return self

    @property
    def feature_side(self) -> int:
        """Side of v: a sixteenth of the final image, at least 4 (SPEC 2)."""
        return max(4, self.size // 16)
