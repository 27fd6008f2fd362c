"""Preprocessed images as they lie on the disk: WebDataset tar shards and their index.json."""

import io
import mmap
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from memgan.artifacts import read_json
from memgan.errors import InputError

SPLITS = ("train", "test")


class ImageFolder:
    """One split of a folder that `memgan.data.preprocess` wrote, with random access to every image.

    Row i of `rows` is image i everywhere: in the features, in the bank, in the samples' records. Images are read through memory
    maps of the shards, so that a data set of any size takes no more memory than what is looked at.
    Raises InputError if the folder, its index or a shard is missing or damaged.
    """

    def __init__(self, folder: Path, split: str):
        if split not in SPLITS:
            raise ValueError(f"split is one of {SPLITS}, not {split!r}")
        self.folder, self.split = folder, split
        self._maps: dict[str, mmap.mmap] = {}

    @cached_property
    def index(self) -> dict[str, Any]:
        """The whole of index.json."""
        return read_json(self.folder / "index.json")

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What is known of each image: key, id, captions, label, categories, attributes, objects, size [w, h], place in a shard."""
        return self.index[self.split]

    @property
    def classes(self) -> list[str]:
        """Names of the classes; a row's `label` points into it."""
        return self.index["classes"]

    @property
    def categories(self) -> list[str]:
        """Names of the object categories; a row's `categories` and its objects' `category` point into it."""
        return self.index["categories"]

    def __len__(self) -> int:
        return len(self.rows)

    def encoded(self, row: int) -> bytes:
        """The stored png or jpg of one image."""
        place = self.rows[row]
        data = self._map(place["shard"])[place["offset"] : place["offset"] + place["bytes"]]
        if len(data) != place["bytes"]:
            raise InputError(f"{self.folder / place['shard']}: shorter than index.json says; delete {self.folder} and run again")
        return data

    def image(self, row: int) -> np.ndarray:
        """One image at load size: uint8 [h, w, 3]."""
        try:
            return np.asarray(Image.open(io.BytesIO(self.encoded(row))).convert("RGB"))
        except OSError as fault:
            place = f"{self.folder / self.rows[row]['shard']}: image {self.rows[row]['key']}"
            raise InputError(f"{place} is damaged ({fault}); delete the folder and run again") from None

    def centre(self, row: int, size: int) -> np.ndarray:
        """Its centre crop, which evaluation, features and bank look at: uint8 [size, size, 3]."""
        image = self.image(row)
        top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
        if top < 0 or left < 0:
            raise InputError(f"{self.folder}: images are below {size} px; delete the folder and run again")
        return image[top : top + size, left : left + size]

    def _map(self, shard: str) -> mmap.mmap:
        if shard not in self._maps:
            path = self.folder / shard
            try:
                with path.open("rb") as file:
                    self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (FileNotFoundError, ValueError):  # ValueError: an empty file
                raise InputError(f"{path}: missing or empty; delete {self.folder} and run again") from None
        return self._maps[shard]
