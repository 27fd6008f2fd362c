"""What the evaluator learns from: renderings of a world with free attribute combinations, or labelled images."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from memgan import artifacts, steps
from memgan.data.images import geometry, resized
from memgan.data.loader import TrainingBatches, to_tensor
from memgan.data.shards import ImageFolder
from memgan.data.worlds.known import WORLDS
from memgan.encoders.vocabulary import Vocabulary, words_of
from memgan.errors import InputError
from memgan.params.data import Images, World
from memgan.params.encoders import Evaluator

Heads = dict[str, tuple[str, ...]]  # what is judged -> its possible values
PRESENCE = ("absent", "present")
COMMON, RARE = 0.5, 0.01  # a word is worth judging if it occurs in at most, at least this share of the images


class Renderings:
    """Images of a world with every attribute drawn freely, so that unseen species hold nothing new; cut as real images are.

    Batches are random crops, a pure function of (seed, step). Raises InputError if there are fewer images than a batch holds.
    """

    def __init__(self, world: World, images: Images, count: int, batch: int, seed: int):
        if count < batch:
            raise InputError(f"params.yaml: evaluator.images is {count}, less than one batch of {batch}; raise it")
        source, rng = WORLDS[world.name], np.random.default_rng(artifacts.seed_of(seed, "renderings"))
        self.heads: Heads = {name: tuple(values) for name, values in source.ATTRIBUTES.items()}
        self.size, self.batch, self.seed, self.steps_per_epoch = images.size, batch, seed, count // batch
        pictures, values = [], []
        for _ in steps.progress(range(count), "renderings"):
            attributes = source.random_attributes(rng)
            picture, boxes = source.draw(attributes, rng, world.side, world.pose)
            cut = geometry(*picture.size, images.short_side, next(iter(boxes.values())), images.box_crop)
            pictures.append(np.asarray(resized(picture, cut)))
            values.append([self.heads[name].index(attributes[name]) for name in self.heads])
        self.pictures, self.targets = pictures, torch.tensor(values)

    def batch_at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: images float32 [B, 3, size, size] in [-1, 1], values int64 [B, heads]."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng(artifacts.seed_of(self.seed, "epoch", epoch)).permutation(len(self.pictures))
        rows = order[place * self.batch : (place + 1) * self.batch]
        chance = np.random.default_rng(artifacts.seed_of(self.seed, "batch", step)).random((self.batch, 2))
        crops = [self._crop(self.pictures[row], y, x) for row, (y, x) in zip(rows, chance, strict=True)]
        return to_tensor(crops), self.targets[torch.from_numpy(rows)]

    def _crop(self, picture: np.ndarray, y: float, x: float) -> np.ndarray:
        """The window whose place is given as shares (0..1) of the free room."""
        top, left = (int(share * (side - self.size + 1)) for share, side in zip((y, x), picture.shape[:2], strict=True))
        return picture[top : top + self.size, left : left + self.size]


class Labelled:
    """Images of a split with what their labels say (`judgements`)."""

    def __init__(self, folder: Path, images: Images, vocabulary: Vocabulary, params: Evaluator, seed: int):
        self.batches = TrainingBatches(folder, images, 1, params.batch, seed, split=params.split)
        self.heads, self.targets = judgements(self.batches.source, vocabulary)
        self.steps_per_epoch = self.batches.steps_per_epoch

    def batch_at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: images float32 [B, 3, size, size] in [-1, 1], values int64 [B, heads]."""
        batch = self.batches.batch_at(step)
        return batch.images[-1], self.targets[batch.rows]


def judgements(folder: ImageFolder, vocabulary: Vocabulary) -> tuple[Heads, Tensor]:
    """Heads and the number of each image's value in them, int64 [n, heads].

    The class, of those that occur, where images have one; whether each object category is there where they have those; and where
    they have neither, whether each word that tells images apart occurs in the captions. Raises InputError if nothing is left.
    """
    heads: Heads = {}
    columns: list[Iterable[int]] = []
    labels = [row["label"] for row in folder.rows]
    if None not in labels and len(set(labels)) > 1:
        present = sorted(set(labels))
        heads["class"] = tuple(folder.classes[label] for label in present)
        columns.append([present.index(label) for label in labels])
    for number, category in enumerate(folder.categories):
        heads[category] = PRESENCE
        columns.append([int(number in row["categories"]) for row in folder.rows])
    if not heads:
        said = [{word for caption in row["captions"] for word in words_of(caption)} for row in folder.rows]
        for word in vocabulary.words:
            column = [int(word in words) for words in said]
            if RARE <= sum(column) / len(column) <= COMMON:
                heads[f"word {word}"] = PRESENCE
                columns.append(column)
    if not heads:
        raise InputError(f"{folder.folder}: no classes, no categories and no telling words to train an evaluator on; add labels")
    return heads, torch.tensor([list(column) for column in columns]).T.contiguous()  # [heads, n] -> [n, heads]


def examples(world: World | None, folder: Path, images: Images, vocabulary: Vocabulary, params: Evaluator, seed: int):
    """Renderings for a world, labelled images for any other data set."""
    seed = artifacts.seed_of(seed, "evaluator images")
    if world:
        return Renderings(world, images, params.images, params.batch, seed)
    return Labelled(folder, images, vocabulary, params, seed)
