"""Reads what `memgan.gan.sample` wrote: images in tar shards, and what each was made from in the JSON beside each shard."""

import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from memgan.artifacts import read_json
from memgan.errors import InputError

RECORD = ("index", "caption", "caption_id", "image_id", "row", "neighbour")


class Samples(Dataset):
    """The samples of one run, in the order of their indices; an item is a uint8 tensor [3, H, W].

    `records[i]` is what sample i was made from (caption, caption_id, row of the test image, row of the retrieved training image).
    Raises InputError if images and records do not belong together or one is missing.
    """

    def __init__(self, paths: Iterable[Path], name: str = "samples"):
        self.name = name
        tars = sorted({path.with_suffix(".tar") for path in paths})
        if not tars:
            raise InputError("samples: no shard was given; name at least one .tar of samples")
        places = [place for tar in tars for place in _shard(tar)]
        self.records: list[dict[str, Any]] = [record for record, *_ in sorted(places, key=lambda place: place[0]["index"])]
        self._places = {record["index"]: tuple(rest) for record, *rest in places}
        if sorted(self._places) != list(range(len(places))):
            raise InputError(f"{tars[0].parent}: indices of the samples are not 0 to {len(places) - 1}; sample all shards again")

    def __len__(self) -> int:
        return len(self.records)

    def image(self, i: int) -> np.ndarray:
        """Sample i as uint8 [H, W, 3]."""
        tar, offset, size = self._places[i]
        with tar.open("rb") as file:
            file.seek(offset)
            return decoded(file.read(size), f"{tar}: image {i}")

    def __getitem__(self, i: int) -> torch.Tensor:
        return planes(self.image(i))

    def column(self, key: str) -> list[Any]:
        """One field of all records."""
        return [record[key] for record in self.records]


def made_with(samples: Sequence[Path]) -> dict[str, Any]:
    """The parameters that made the samples, as their shards' manifests tell: pooling, gan, train, memory. They label the row.

    Raises InputError if the shards tell different things, or nothing.
    """
    told = []
    for path in sorted({path.with_suffix(".json") for path in samples}):
        try:
            params = read_json(path)["manifest"]["params"]
            training = params["training"]
            told.append({name: training[name] for name in ("pooling", "gan", "train")} | {"memory": params["memory"]})
        except (KeyError, TypeError):
            raise InputError(f"{path}: it does not tell what made the samples; sample this shard again") from None
        if told[-1] != told[0]:
            raise InputError(f"{path}: made with other parameters than the other shards; sample them all again")
    return told[0]


def _shard(tar: Path) -> list[tuple[dict[str, Any], Path, int, int]]:
    records = read_json(tar.with_suffix(".json"))["samples"]
    try:
        with tarfile.open(tar) as archive:
            members = {member.name: member for member in archive if member.isfile()}
    except (OSError, tarfile.TarError) as fault:
        raise InputError(f"{tar}: no readable tar file ({fault}); delete it and run `memgan.gan.sample` again") from None
    if len(members) != len(records):
        raise InputError(f"{tar}: {len(members)} images, but {len(records)} records in the JSON beside it; sample this shard again")
    places = []
    for record in records:
        if missing := [key for key in RECORD if key not in record]:
            raise InputError(f"{tar.with_suffix('.json')}: a record has no `{missing[0]}`; sample this shard again")
        member = members.get(f"{record['index']:06d}.png")
        if member is None:
            raise InputError(f"{tar}: there is no image {record['index']:06d}.png; sample this shard again")
        places.append((record, tar, member.offset_data, member.size))
    return places


class RealImages(Dataset):
    """Centre crops of a split's rows as uint8 tensors [3, size, size]; `folder` is a `memgan.data.shards.ImageFolder`."""

    def __init__(self, folder: Any, size: int, rows: Sequence[int] | None = None):
        self.folder, self.size, self.name = folder, size, f"real images ({folder.split})"
        self.rows = list(range(len(folder)) if rows is None else rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> torch.Tensor:
        return planes(self.folder.centre(self.rows[i], self.size))


def decoded(data: bytes, what: str) -> np.ndarray:
    """An encoded image as uint8 [H, W, 3]. Raises InputError naming `what` if it does not decode."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as fault:
        raise InputError(f"{what}: does not decode ({fault}); make it again") from None


def planes(image: np.ndarray) -> torch.Tensor:
    """uint8 [H, W, 3] -> uint8 [3, H, W]."""
    return torch.from_numpy(image.transpose(2, 0, 1).copy())
