"""Whose feature a training caption gets: its own image's, as in the paper, or a retrieved one's (SPEC 4, `train.neighbours`)."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from memgan.data.loader import Batch
from memgan.data.shards import ImageFolder
from memgan.device import beside
from memgan.encoders.feature_network import FeatureNetwork
from memgan.gan.recipe import Recipe
from memgan.gan.texts import TextReader
from memgan.memory.bank import MemoryBank
from memgan.memory.features import FeatureStore
from memgan.memory.retrieval import CaptionEncoder, retrieve
from memgan.params.memory import Memory


class Neighbours:
    """v for each image of a batch.

    With `network`, the own image's v is computed from the very training crop; otherwise it is the cached one of the centre crop,
    mirrored with the image.
    """

    def __init__(
        self,
        folder: ImageFolder,
        store: FeatureStore,
        network: FeatureNetwork | None,
        memory: Memory,
        recipe: Recipe,
        bank: Path,
        reader: TextReader,
    ):
        self.folder, self.store, self.network = folder, store, network
        self.found: dict[tuple[int, str], int] = {}
        if recipe.train.neighbours != "own":
            pairs = [(row, text) for row, entry in enumerate(folder.rows) for text in entry["captions"]]
            own = np.array([row for row, _ in pairs])
            apart = own[:, None] if recipe.train.neighbours == "retrieved_excluding_self" else None
            encoder = CaptionEncoder(reader.vocabulary, reader.encoder, reader.words)
            rows, _ = retrieve([text for _, text in pairs], MemoryBank(bank), encoder, memory, exclude=apart, own=own, strict=False)
            self.found = dict(zip(pairs, rows[:, 0].tolist(), strict=True))

    @torch.no_grad()
    def features(self, batch: Batch, part: slice = slice(None)) -> Tensor:
        """B x C x h x h, of the images of the batch's `part`."""
        rows = batch.rows[part]
        if self.found:
            pairs = zip(rows.tolist(), batch.captions[part], strict=True)
            return self.store.v(torch.tensor([self.found[pair] for pair in pairs]))
        if self.network is not None:
            return self.network(beside(self.network, batch.images[-1]))
        return self.store.v(rows, batch.flipped[part])
