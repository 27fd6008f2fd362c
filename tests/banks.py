"""Small memory banks of random keys, written by the project's own writer, and random queries to them."""

from pathlib import Path

import numpy as np
import torch

from memgan.memory import shards
from memgan.memory.bank import MemoryBank
from memgan.memory.captions import Encoded
from memgan.memory.retrieval import Queries
from memgan.params.memory import Memory
from tests.factory import PARAMS

DIMENSION, WORDS, GRID = 16, 5, 6


def memory_block(**changes) -> Memory:
    """The project's `memory`, changed."""
    return Memory(**PARAMS["memory"] | changes)


def unit(x: np.ndarray) -> np.ndarray:
    """Vectors of length 1 along the last axis; zero stays zero."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def random_words(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Word embeddings [count, WORDS, D], zero at padding, and lengths [count]."""
    lengths = rng.integers(1, WORDS + 1, count)
    words = rng.standard_normal((count, WORDS, DIMENSION))
    return words * (np.arange(WORDS) < lengths[:, None])[:, :, None], lengths


def write_bank(folder: Path, images: int, seed: int = 0, repeats: bool = False, encoder: str = "an encoder") -> MemoryBank:
    """A bank of `images` images with one to three captions each; with `repeats`, images come in identical pairs."""
    rng = np.random.default_rng(seed)
    counts = np.repeat(rng.integers(1, 4, images)[::2], 2)[:images] if repeats else rng.integers(1, 4, images)
    owner = np.repeat(np.arange(images), counts)
    sentences, (words, lengths) = unit(rng.standard_normal((len(owner), DIMENSION))), random_words(rng, len(owner))
    globals_, regions = unit(rng.standard_normal((images, DIMENSION))), rng.standard_normal((images, GRID**2, DIMENSION))
    if repeats:
        twin = np.arange(images) // 2 * 2
        first = np.searchsorted(owner, np.arange(images))
        same = first[twin[owner]] + np.arange(len(owner)) - first[owner]
        sentences, words, lengths = sentences[same], words[same], lengths[same]
        globals_, regions = globals_[twin], regions[twin]
    text = {"sentences": sentences, "words": unit(words)}
    image = {"globals": globals_, "regions": regions}
    text, image = ({name: torch.from_numpy(x).half() for name, x in part.items()} for part in (text, image))
    grid = image["regions"].float().transpose(1, 2).unflatten(2, (GRID, GRID))
    image["pooled"] = torch.nn.functional.adaptive_avg_pool2d(grid, 4).flatten(2).transpose(1, 2).half()
    text |= {"lengths": torch.from_numpy(lengths), "owner": torch.from_numpy(owner)}

    def captions_of(start: int, stop: int) -> dict[str, torch.Tensor]:
        kept = slice(*np.searchsorted(owner, [start, stop]))
        return {name: x[kept] for name, x in text.items()}

    size = shards.SHARD_BYTES // 7  # seven images a shard
    parts = [
        shards.Part("text", images, size, captions_of),
        shards.Part("image", images, size, lambda start, stop: {name: x[start:stop] for name, x in image.items()}),
    ]
    content = {"count": images, "ids": [f"image {i}" for i in range(images)], "encoder": encoder, "gammas": [4.0, 5.0]}
    shards.build(folder, parts, content, {"of": "tests"})
    return MemoryBank(folder)


def random_queries(count: int, seed: int = 1) -> Queries:
    """Queries with random embeddings."""
    rng = np.random.default_rng(seed)
    words, lengths = random_words(rng, count)
    sentences = unit(rng.standard_normal((count, DIMENSION)))
    encoded = Encoded(sentences.astype(np.float32), words.astype(np.float32), lengths)
    return Queries([f"query {i}" for i in range(count)], encoded)
