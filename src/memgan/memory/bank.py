"""The memory bank's keys (SPEC 3): sentence and word embeddings of every training caption, global and regional ones of every image.

python -m memgan.memory.bank --dataset ... --images ... --vocabulary ... --damsm ... --features ... --out results/<dataset>/bank
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from typer import Option

from memgan import artifacts, steps
from memgan.data.loader import to_tensor
from memgan.data.shards import ImageFolder
from memgan.device import beside
from memgan.encoders.image import ImageEncoder
from memgan.encoders.matched import load_damsm
from memgan.encoders.vocabulary import Vocabulary
from memgan.errors import InputError
from memgan.memory.captions import CaptionEncoder
from memgan.memory.index import SentenceIndex
from memgan.memory.shards import Part, Shards, build
from memgan.params.data import Images
from memgan.params.encoders import Damsm
from memgan.params.load import Settings
from memgan.params.memory import Memory

STEP = "memgan.memory.bank"
POOLED = 4  # side of the pooled regions, a sixteenth of 17 x 17: the shortlist of `words_image` is chosen by them [ours]


class MemoryBank:
    """The keys of N images and their T captions, and the indexes over them. What is large is memory-mapped.

    Raises InputError, naming the shard, if one is missing, cut off or changed, and if the folder holds something else.
    """

    def __init__(self, folder: Path):
        self.folder, self._shards = folder, Shards(folder)
        content = self._shards.content
        if missing := {"ids", "encoder", "gammas"} - set(content):
            raise InputError(f"{folder / 'manifest.json'}: no memory bank's, {min(missing)} is missing; name the folder of a bank")
        self.ids: list[str] = content["ids"]
        self.encoder: str = content["encoder"]  # CaptionEncoder.fingerprint
        self.gamma1, self.gamma2 = content["gammas"]
        self.sentences = self._shards.array("text", "sentences")  # T x D, normalised
        self.words = self._shards.array("text", "words")  # T x L x D, each normalised, zero at padding
        self.globals = self._shards.array("image", "globals")  # N x D, normalised
        self.regions = self._shards.array("image", "regions")  # N x R x D, as the encoder gives them
        self.pooled = self._shards.array("image", "pooled")  # N x P x D, means of neighbouring regions
        self._indexes: dict[str, SentenceIndex] = {}

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Words of each caption: T."""
        return np.concatenate([*self._shards.array("text", "lengths").blocks()])

    @cached_property
    def owner(self) -> np.ndarray:
        """Row of each caption's image, ascending: T."""
        return np.concatenate([*self._shards.array("text", "owner").blocks()])

    @cached_property
    def first(self) -> np.ndarray:
        """Number of each image's first caption, and T at the end: N + 1."""
        return np.searchsorted(self.owner, np.arange(len(self) + 1))

    def rows_of(self, ids: Sequence[str]) -> np.ndarray:
        """Rows of images by id. Raises InputError for an id that the bank does not hold."""
        rows = {name: row for row, name in enumerate(self.ids)}
        for name in ids:
            if name not in rows:
                raise InputError(f"{self.folder}: holds no image `{name}`; its ids are like {self.ids[0]}")
        return np.array([rows[name] for name in ids], np.int64)

    def captions_of(self, rows: np.ndarray) -> np.ndarray:
        """Numbers of all captions of images, in the order of the images."""
        counts = self.first[rows + 1] - self.first[rows]
        before = np.cumsum(counts) - counts
        return np.repeat(self.first[rows] - before, counts) + np.arange(counts.sum())

    def index(self, table: str, memory: Memory) -> SentenceIndex:
        """The index over "texts", "images" or "mixed" (see `Mixed`); built when it is first asked for."""
        entries = {"table": table, "index": memory.index, "lists": memory.lists, "code_bytes": memory.code_bytes}
        if table == "mixed":
            entries["text_weight"] = memory.text_weight
        key = json.dumps(entries, sort_keys=True)
        if key not in self._indexes:
            made = {"texts": Texts, "images": Pictures, "mixed": Mixed}[table](self, memory.text_weight)
            self._indexes[key] = SentenceIndex(made, memory, self._cache(key))
        return self._indexes[key]

    def _cache(self, key: str) -> Path:
        """Where a built index is left: beside the bank, under the hash of all that it depends on."""
        code = artifacts.digest_of_code("memgan.memory.index")
        digest = hashlib.sha256(f"{artifacts.sha256(self.folder / 'manifest.json')} {key} {code}".encode()).hexdigest()
        return self.folder.parent / "state" / "index" / f"{digest[:16]}.faiss"

    def verify(self) -> None:
        """Compares every shard with its hash now; without this, each is when it is first read."""
        self._shards.verify()


class Texts:
    """Sentence embeddings, each of its caption's image."""

    def __init__(self, bank: MemoryBank, _: float):
        self.bank, self.owner = bank, bank.owner

    def __len__(self) -> int:
        return len(self.owner)

    def blocks(self) -> Iterator[np.ndarray]:
        """Shard by shard."""
        return self.bank.sentences.blocks()

    def take(self, rows: np.ndarray) -> np.ndarray:
        """By caption number."""
        return self.bank.sentences.take(rows)


class Pictures:
    """Global image embeddings."""

    def __init__(self, bank: MemoryBank, _: float):
        self.bank, self.owner = bank, np.arange(len(bank))

    def __len__(self) -> int:
        return len(self.owner)

    def blocks(self) -> Iterator[np.ndarray]:
        """Shard by shard."""
        return self.bank.globals.blocks()

    def take(self, rows: np.ndarray) -> np.ndarray:
        """By image row."""
        return self.bank.globals.take(rows)


class Mixed:
    """t s' + (1 - t) g for a caption s' of an image g: its inner product with a query is the weighted sum of both cosines.

    So the largest over an image's captions is the score of `both`, found by one search, exactly.
    """

    STEP = 1 << 15  # captions mixed together

    def __init__(self, bank: MemoryBank, text_weight: float):
        self.bank, self.owner, self.weight = bank, bank.owner, text_weight

    def __len__(self) -> int:
        return len(self.owner)

    def blocks(self) -> Iterator[np.ndarray]:
        """In pieces of equal size."""
        return (self.take(np.arange(at, min(at + self.STEP, len(self)))) for at in range(0, len(self), self.STEP))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """By caption number, float64 (no rounding comes between this and the two cosines)."""
        texts, images = self.bank.sentences.take(rows), self.bank.globals.take(self.owner[rows])
        return self.weight * texts.astype(np.float64) + (1 - self.weight) * images.astype(np.float64)


def text_keys(folder: ImageFolder, encoder: CaptionEncoder, start: int, stop: int) -> dict[str, Tensor]:
    """Keys of the captions of images start..stop-1."""
    pairs = [(row, caption) for row in range(start, stop) for caption in folder.rows[row]["captions"]]
    encoded = encoder.encode([caption for _, caption in pairs])
    return {
        "sentences": torch.from_numpy(encoded.sentences).half(),
        "words": F.normalize(torch.from_numpy(encoded.words), dim=2).half(),
        "lengths": torch.from_numpy(encoded.lengths),
        "owner": torch.tensor([row for row, _ in pairs]),
    }


@torch.no_grad()
def image_keys(folder: ImageFolder, encoder: ImageEncoder, size: int, batch: int, start: int, stop: int) -> dict[str, Tensor]:
    """Keys of the centre crops of images start..stop-1."""
    found: dict[str, list[Tensor]] = {"globals": [], "regions": [], "pooled": []}
    for first in range(start, stop, batch):
        images = to_tensor([folder.centre(row, size) for row in range(first, min(first + batch, stop))])
        regions, globals_ = (part.cpu() for part in encoder(beside(encoder, images)))  # [B, D, h, w], [B, D]
        found["globals"].append(F.normalize(globals_, dim=1).half())
        found["regions"].append(regions.flatten(2).transpose(1, 2).half())  # [B, R, D]
        found["pooled"].append(pool(regions).half())
    return {name: torch.cat(parts) for name, parts in found.items()}


def pool(regions: Tensor) -> Tensor:
    """Means over a grid of at most 4 x 4: [B, D, h, w] -> [B, P, D]."""
    sides = [min(POOLED, side) for side in regions.shape[2:]]
    return F.adaptive_avg_pool2d(regions, sides).flatten(2).transpose(1, 2)


def parts_of(folder: ImageFolder, captions: CaptionEncoder, encoder: ImageEncoder, geometry: Images, batch: int) -> list[Part]:
    """The bank's two parts, and how each shard of them is made."""
    with torch.no_grad():
        blank = encoder(beside(encoder, torch.zeros(1, 3, geometry.size, geometry.size)))[0]  # [1, D, h, w]
    most = max(len(row["captions"]) for row in folder.rows)
    return [
        Part(
            "text",
            len(folder),
            image_bytes=2 * most * (captions.words + 1) * blank.shape[1],
            make=lambda start, stop: text_keys(folder, captions, start, stop),
        ),
        Part(
            "image",
            len(folder),
            image_bytes=2 * (blank[0].numel() + pool(blank).numel() + blank.shape[1]),
            make=lambda start, stop: image_keys(folder, encoder, geometry.size, batch, start, stop),
        ),
    ]


def main(
    dataset: Annotated[str, Option(help="entry under `data` of params.yaml")],
    images: Annotated[Path, Option(help="preprocessed images, a folder")],
    vocabulary: Annotated[Path, Option(help="words of the training captions")],
    damsm: Annotated[Path, Option(help="text and image encoder")],
    features: Annotated[Path, Option(help="v of the training images")],
    out: Annotated[Path, Option(help="folder of keys to write")],
) -> None:
    """Computes the keys by which captions find training images."""
    settings = Settings(dataset)
    geometry, params = settings.block("images", Images), settings.block("damsm", Damsm)
    threads = settings.value("threads")
    steps.set_threads(threads)
    inputs = {"images": images, "vocabulary": vocabulary, "damsm": damsm, "features": features}
    blocks = {"images": geometry.model_dump(), "damsm": params.model_dump(), "threads": threads}
    manifest = artifacts.manifest(STEP, blocks, inputs)
    words, folder = Vocabulary.load(vocabulary), ImageFolder(images, "train")
    ids = [row["id"] for row in folder.rows]
    if Shards(features).content["ids"] != ids:
        raise InputError(f"{features}: features of other images than {images}; make them again: `snakemake --cores all {features}`")

    text, image = load_damsm(damsm, params, geometry, words)
    captions = CaptionEncoder(words, text, params.words)
    content = {"count": len(folder), "encoder": captions.fingerprint, "gammas": [params.gamma1, params.gamma2], "ids": ids}
    build(out, parts_of(folder, captions, image, geometry, params.batch), content, manifest)


if __name__ == "__main__":
    steps.run(main)
