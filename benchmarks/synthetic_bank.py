"""A memory bank of synthetic embeddings at COCO's scale, and queries to it.

Everything is drawn from one seed; directions are independent, random and of length 1, so that weights add up to cosines.

sentences  sqrt(0.6) cluster + sqrt(0.2) image + sqrt(0.2) caption: cosine 0.6 within a cluster, 0.8 within an image
globals    sqrt(0.6) cluster + sqrt(0.2) image + sqrt(0.2) noise: cosine 0.8 with the image's captions
words      a word is sqrt(0.5) kind + sqrt(0.5) its caption's sentence. Of 5,000 kinds a cluster uses 30, an image 16 of those, a
           caption draws its words from the 16. Length 4, so that the softmax of eq. (8) is neither flat nor hard.
regions    the grid falls into 8 parts (nearest of 8 random points), a part is sqrt(0.5) kind + sqrt(0.5) (cluster and image as in
           the globals); a region is 0.8 part + 0.6 noise of its own. Length 4.
queries    a caption of the bank; sentence and words each with noise of their own, at cosine 0.9 (hard ones: 0.3)
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from memgan.artifacts import read_json, seed_of
from memgan.memory.bank import MemoryBank, pool
from memgan.memory.captions import Encoded
from memgan.memory.retrieval import Queries
from memgan.memory.shards import SHARD_BYTES, Part, build

CLUSTERS, KINDS, OF_CLUSTER, OF_IMAGE, PARTS = 2000, 5000, 30, 16, 8
CLUSTER, REST = 0.6**0.5, 0.2**0.5
LENGTH = 4.0
ROWS = 800  # images drawn together: a shard


class SyntheticBank:
    """The generator: `images` images with `captions` captions of `words` words, `side` x `side` regions, in `dimension` numbers."""

    def __init__(self, images: int, captions: int, words: int, side: int, dimension: int, seed: int):
        self.images, self.captions, self.words, self.side, self.dimension, self.seed = (
            images,
            captions,
            words,
            side,
            dimension,
            seed,
        )
        rng = self.rng("shared")
        self.clusters, self.kinds = self.directions(rng, CLUSTERS), self.directions(rng, KINDS)
        self.kinds_of = torch.rand(CLUSTERS, KINDS, generator=rng).topk(OF_CLUSTER, dim=1).indices

    def rng(self, what: str, start: int = 0) -> torch.Generator:
        """A generator for one purpose and one shard. torch looks at 32 bits of a seed only."""
        return torch.Generator().manual_seed(seed_of(self.seed, what, start) % (1 << 32))

    def directions(self, rng: torch.Generator, *shape: int) -> Tensor:
        """Random directions [*shape, D]."""
        return normalize(torch.randn(*shape, self.dimension, generator=rng), dim=-1)

    def latent(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        """What an image's captions and regions share: its vector [n, D], of length sqrt(0.8), and its kinds [n, 16]."""
        rng = self.rng("image", start)
        cluster = torch.randint(CLUSTERS, (count,), generator=rng)
        vector = CLUSTER * self.clusters[cluster] + REST * self.directions(rng, count)
        chosen = torch.rand(count, OF_CLUSTER, generator=rng).argsort(dim=1)[:, :OF_IMAGE]
        return vector, self.kinds_of[cluster].gather(1, chosen)

    def sentences(self, start: int, stop: int) -> dict[str, Tensor]:
        """Sentence keys of all captions of a shard's images, nothing else."""
        return {
            "sentences": normalize(self._sentences(start, stop, self.latent(start, stop - start)[0]), dim=2).flatten(0, 1).half()
        }

    def _sentences(self, start: int, stop: int, vector: Tensor) -> Tensor:
        return vector[:, None] + REST * self.directions(self.rng("caption", start), stop - start, self.captions)  # [n, c, D]

    def text(self, start: int, stop: int) -> dict[str, Tensor]:
        """Keys of all captions of a shard's images."""
        count = stop - start
        vector, kinds = self.latent(start, count)
        sentences = self._sentences(start, stop, vector)
        drawn = torch.randint(OF_IMAGE, (count, self.captions * self.words), generator=self.rng("word", start))
        kind = self.kinds[kinds.gather(1, drawn)].view(count, self.captions, self.words, -1)
        words = normalize(kind + normalize(sentences, dim=2)[:, :, None], dim=3)
        return {
            "sentences": normalize(sentences, dim=2).flatten(0, 1).half(),
            "words": words.flatten(0, 1).half(),
            "lengths": torch.full((count * self.captions,), self.words),
            "owner": torch.arange(start, stop).repeat_interleave(self.captions),
        }

    def image(self, start: int, stop: int) -> dict[str, Tensor]:
        """Keys of a shard's images."""
        count, rng = stop - start, self.rng("region", start)
        vector, kinds = self.latent(start, count)
        parts = normalize(self.kinds[kinds[:, :PARTS]] + normalize(vector, dim=1)[:, None], dim=2)  # [n, PARTS, D]
        grid = torch.cartesian_prod(*[torch.arange(self.side) / (self.side - 1)] * 2)  # [R, 2]
        nearest = torch.cdist(grid[None], torch.rand(count, PARTS, 2, generator=rng)).argmin(dim=2)  # [n, R]
        regions = 0.8 * parts[torch.arange(count)[:, None], nearest]  # [n, R, D]
        regions.add_(torch.randn(regions.shape, generator=rng), alpha=0.6 / self.dimension**0.5).mul_(LENGTH)
        globals_ = vector + REST * self.directions(self.rng("global", start), count)
        pooled = pool(regions.transpose(1, 2).unflatten(2, (self.side, self.side)))
        return {"globals": normalize(globals_, dim=1).half(), "regions": regions.half(), "pooled": pooled.half()}

    def write(self, folder: Path) -> MemoryBank:
        """Writes the bank with the project's own writer (and keeps what an earlier call left there)."""
        shape = [self.images, self.captions, self.words, self.side, self.dimension, self.seed]
        content = {"ids": list(range(self.images)), "encoder": "synthetic", "gammas": [4.0, 5.0]}
        if not (folder / "manifest.json").exists() or read_json(folder / "manifest.json")["manifest"] != {"shape": shape}:
            size = SHARD_BYTES // ROWS
            parts = [Part("text", self.images, size, self.text), Part("image", self.images, size, self.image)]
            build(folder, parts, content, {"shape": shape})
        return MemoryBank(folder)

    def queries(self, bank: MemoryBank, count: int, words: bool, cosine: float = 0.9) -> tuple[Queries, np.ndarray]:
        """Noisy captions of the bank, and the rows of their images; without `words`, for the sentence level only."""
        rng = self.rng("query")
        source = torch.randint(len(bank.owner), (count,), generator=rng).numpy()

        def noisy(x: np.ndarray) -> Tensor:
            true = torch.from_numpy(x).float()
            return cosine * true + (1 - cosine**2) ** 0.5 * self.directions(rng, *true.shape[:-1])

        sentences = normalize(noisy(bank.sentences.take(source)), dim=1).numpy()
        embedded = LENGTH * noisy(bank.words.take(source)).numpy() if words else np.empty((count, 0, self.dimension), np.float32)
        encoded = Encoded(sentences, embedded, bank.lengths[source])
        return Queries([f"query {i}" for i in range(count)], encoded), bank.owner[source]
