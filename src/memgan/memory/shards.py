"""Arrays with a row an image or caption, too large for RAM: written shard by shard, resumed after a kill, checked, memory-mapped.

A folder holds `<part>-<number>.safetensors` files and manifest.json, which lists them with their sizes and sha256. A file of
another size is refused when the folder is opened, one of other contents when it is first read.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from memgan import artifacts
from memgan.device import device
from memgan.errors import InputError
from memgan.state import TrainingState
from memgan.steps import log, progress

SHARD_BYTES = 128 << 20  # a shard is made in RAM: this bounds what a build holds, whatever the number of images [ours]
NUMBER = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I64": np.int64}  # safetensors' names of types
MEND = "delete the folder and make it again"


class Part(NamedTuple):
    """Arrays that are made together: `make(start, stop)` gives those of the images start..stop-1, by name."""

    name: str
    images: int
    image_bytes: int
    make: Callable[[int, int], dict[str, Tensor]]

    def ranges(self) -> list[tuple[int, int]]:
        """The images of each shard."""
        step = max(1, SHARD_BYTES // self.image_bytes)
        return [(step * i, min(step * (i + 1), self.images)) for i in range(ceil(self.images / step))]


def build(out: Path, parts: Sequence[Part], content: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Writes all shards and manifest.json (`content`, the list of shards, `manifest`) into the folder `out`.

    Shards gather in the state folder; a run that was killed goes on after the last one that it finished. In RAM is one shard.
    """
    with TrainingState(out, {**manifest, "device": device().type}) as state:
        folder = state.folder
        folder.mkdir(parents=True, exist_ok=True)
        todo = [(part, number, *span) for part in parts for number, span in enumerate(part.ranges())]
        shards = [_shard(folder, *each) for each in progress(todo, f"{out.name}: shards")]
        for note in folder.glob("*.json"):
            note.unlink()
        artifacts.write_json(folder / "manifest.json", {**content, "shards": shards, "manifest": dict(manifest)})
        if out.exists():
            shutil.rmtree(out)
        folder.replace(out)
        state.clear()


def _shard(folder: Path, part: Part, number: int, start: int, stop: int) -> dict[str, Any]:
    """Makes one shard, unless a killed run has left it whole; returns its entry of the manifest."""
    path = folder / f"{part.name}-{number:05d}.safetensors"
    note = path.with_suffix(".json")
    if note.exists() and path.exists():
        entry = artifacts.read_json(note)
        if entry["sha256"] == artifacts.sha256(path):
            log.info("kept from the run before: %s", path.name)
            return entry
        log.info("damaged, made again: %s", path.name)
    artifacts.save_tensors(path, part.make(start, stop), {"part": part.name, "first": start})
    entry = {"file": path.name, "part": part.name, "first": start, "rows": stop - start, "bytes": path.stat().st_size}
    entry["sha256"] = artifacts.sha256(path)
    artifacts.write_json(note, entry)
    return entry


class Shards:
    """A folder that `build` wrote. Raises InputError, naming the file, if a shard is missing, cut off or changed."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.content = artifacts.read_json(folder / "manifest.json")
        if not isinstance(self.content, dict) or "shards" not in self.content:
            raise InputError(f"{folder / 'manifest.json'}: a list of shards is missing; {MEND}")
        self._sound: set[str] = set()
        for entry in self.content["shards"]:
            path = folder / entry["file"]
            size = path.stat().st_size if path.is_file() else None
            if size != entry["bytes"]:
                found = "it is missing" if size is None else f"cut off or changed ({size} bytes, {entry['bytes']} were written)"
                raise InputError(f"{path}: {found}; {MEND}")

    def array(self, part: str, name: str) -> "Rows":
        """The array `name` of the part, all shards in order."""
        return Rows(self, [entry["file"] for entry in self.content["shards"] if entry["part"] == part], name)

    def check(self, file: str) -> None:
        """Compares the shard with its hash, once."""
        entry = next(entry for entry in self.content["shards"] if entry["file"] == file)
        if file not in self._sound and artifacts.sha256(self.folder / file) != entry["sha256"]:
            raise InputError(f"{self.folder / file}: its contents have changed (sha256); {MEND}")
        self._sound.add(file)

    def verify(self) -> None:
        """Compares every shard with its hash now, not when it is first read."""
        for entry in self.content["shards"]:
            self.check(entry["file"])


class Rows:
    """One array over all shards, memory-mapped: only the rows that are asked for come into RAM."""

    def __init__(self, shards: Shards, files: Sequence[str], name: str):
        self._shards, self._files, self._name = shards, list(files), name
        self._places = [_place(shards.folder / file, name) for file in files]
        self._maps: list[np.ndarray | None] = [None] * len(files)
        self.starts = np.cumsum([0, *(shape[0] for _, shape, _ in self._places)])
        self.dtype = np.dtype(self._places[0][0])
        self.shape = (int(self.starts[-1]), *self._places[0][1][1:])

    def __len__(self) -> int:
        return self.shape[0]

    def flattened(self) -> "Rows":
        """The same numbers with the first two axes as one: [n, m, ...] -> [n * m, ...]."""
        flat = Rows(self._shards, self._files, self._name)
        flat._places = [(kind, (shape[0] * shape[1], *shape[2:]), offset) for kind, shape, offset in self._places]
        flat.starts, flat.shape = self.starts * self.shape[1], (self.shape[0] * self.shape[1], *self.shape[2:])
        return flat

    def block(self, number: int) -> np.ndarray:
        """All rows of one shard, mapped. Raises InputError if its contents have changed."""
        if self._maps[number] is None:
            file = self._files[number]
            self._shards.check(file)
            kind, shape, offset = self._places[number]
            self._maps[number] = np.asarray(np.memmap(self._shards.folder / file, kind, "r", offset, shape))
        return self._maps[number]

    def blocks(self) -> Iterator[np.ndarray]:
        """The shards' rows in order, each mapped."""
        return (self.block(number) for number in range(len(self._files)))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Copies of the rows [n] -> [n, ...]; ascending rows are fastest. Raises IndexError for a row that is not there."""
        rows = np.asarray(rows, dtype=np.int64)
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        if len(rows) and (np.diff(rows) < 0).any():
            order = np.argsort(rows, kind="stable")
            out[order] = self.take(rows[order])
            return out
        if len(rows) and not 0 <= rows[0] <= rows[-1] < len(self):
            raise IndexError(f"rows {rows[0]} to {rows[-1]} of an array of {len(self)} rows")
        which = np.searchsorted(self.starts, rows, side="right") - 1
        ends = np.flatnonzero(np.diff(which, append=-1)) + 1  # rows of one shard, as far as they come together
        for start, end in pairwise([0, *ends.tolist()]):
            number = int(which[start])
            np.take(self.block(number), rows[start:end] - self.starts[number], axis=0, out=out[start:end], mode="clip")
        return out


def _place(path: Path, name: str) -> tuple[type, tuple[int, ...], int]:
    """Type, shape and offset in bytes of one tensor in a safetensors file (eight bytes of length, a JSON header, the numbers)."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            entry = json.loads(file.read(length))[name]
        return NUMBER[entry["dtype"]], tuple(entry["shape"]), 8 + length + entry["data_offsets"][0]
    except (ValueError, KeyError, TypeError, MemoryError, OverflowError):
        raise InputError(f"{path}: its header is damaged or has no `{name}`; {MEND}") from None
