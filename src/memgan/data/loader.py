"""Training batches, and images on their way into and out of networks.

A batch is a pure function of (seed, step): nothing has to be saved to resume a training, and neither the number of workers nor
what was drawn before changes it.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from memgan.artifacts import seed_of
from memgan.data.shards import ImageFolder
from memgan.errors import InputError
from memgan.params.data import Images
from memgan.steps import cores

HELD = 2**30  # bytes of decoded images that are kept in memory
WORKERS = min(4, cores())  # threads that decode and cut


@dataclass(frozen=True)
class Batch:
    """One step's training data; B images.

    images: one tensor a stage, ascending sizes, each float32 [B, 3, s, s] in [-1, 1], channels_last; fewer if several processes
    share the batch.
    rows: int64 [B], rows of the training split. captions: one drawn for each. labels: int64 [B], the class, or the row where the
    data set has no classes (then only the same image is masked in the matching loss). flipped: bool [B].
    """

    images: list[torch.Tensor]
    rows: torch.Tensor
    captions: list[str]
    labels: torch.Tensor
    flipped: torch.Tensor

    def every(self, first: int, stride: int) -> "Batch":
        """Each `stride`th image from `first` on; of a share of the batch, the same share of those."""
        images = [stage[first::stride].contiguous(memory_format=torch.channels_last) for stage in self.images]
        rows, captions, labels, flipped = (part[first::stride] for part in (self.rows, self.captions, self.labels, self.flipped))
        return Batch(images, rows, captions, labels, flipped)

    def on(self, device: torch.device) -> "Batch":
        """The same with what networks see, images and labels, on a device."""
        images = [stage.to(device, non_blocking=True) for stage in self.images]
        return replace(self, images=images, labels=self.labels.to(device, non_blocking=True))


class TrainingBatches:
    """Batches of a split, the training one by default: random crop of `images.size`, mirrored if `images.flip`, a caption drawn for
    each image.

    An epoch is one permutation of the images; what does not fill a batch is dropped, so that no image comes twice. Of each batch,
    only the images of `part` are made (a process' share); all else is the whole batch's.
    Raises InputError if the split is smaller than one batch or its images are smaller than `images.size`.
    """

    def __init__(
        self, folder: Path, images: Images, stages: int, batch: int, seed: int, part: slice = slice(None), split: str = "train"
    ):
        self.source, self.part = ImageFolder(folder, split), part
        self.size, self.flip, self.stages, self.batch, self.seed = images.size, images.flip, stages, batch, seed
        self.steps_per_epoch = len(self.source) // batch
        if self.steps_per_epoch == 0:
            kind = "training" if split == "train" else split
            raise InputError(f"{folder}: has {len(self.source)} {kind} images, a batch {batch}; lower it in params.yaml")
        sides = np.array([row["size"] for row in self.source.rows])  # [n, 2], w and h
        if sides.min() < self.size:
            raise InputError(f"{folder}: images are below {self.size} px; delete the folder and run again")
        self._held: dict[int, np.ndarray] | None = {} if int(sides.prod(axis=1).sum()) * 3 <= HELD else None
        self._order = lru_cache(maxsize=2)(self._permutation)

    def batch_at(self, step: int) -> Batch:
        """The batch of a step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        rows = self._order(epoch)[place * self.batch : (place + 1) * self.batch]
        # four draws an image, whatever is switched on: top, left, flip, caption
        chance = np.random.default_rng(seed_of(self.seed, "batch", step)).random((len(rows), 4))
        flipped = (chance[:, 2] < 0.5) & self.flip
        places = zip(rows, chance[:, 0], chance[:, 1], flipped, strict=True)
        crops = [self._crop(int(row), top, left, mirrored) for row, top, left, mirrored in list(places)[self.part]]
        entries = [self.source.rows[row] for row in rows]
        labels = [row if entry["label"] is None else entry["label"] for row, entry in zip(rows, entries, strict=True)]
        return Batch(
            images=pyramid(to_tensor(crops), [self.size >> k for k in reversed(range(self.stages))]),
            rows=torch.from_numpy(rows),
            captions=[entry["captions"][int(u * len(entry["captions"]))] for entry, u in zip(entries, chance[:, 3], strict=True)],
            labels=torch.tensor(labels, dtype=torch.int64),
            flipped=torch.from_numpy(flipped),
        )

    def stream(self, start: int, stop: int, workers: int = WORKERS, ahead: int = 2 * WORKERS) -> Iterator[Batch]:
        """The batches of steps start <= step < stop, made ahead of use on threads (decoding releases the interpreter)."""
        pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
        waiting: deque[Future[Batch]] = deque()
        try:
            for step in range(start, stop):
                waiting.append(pool.submit(self.batch_at, step))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng(seed_of(self.seed, "epoch", epoch)).permutation(len(self.source))

    def _crop(self, row: int, top: float, left: float, flipped: bool) -> np.ndarray:
        """The window whose place is given as shares (0..1) of the free room: uint8 [size, size, 3]."""
        image = self._image(row)
        y, x = (int(share * (side - self.size + 1)) for share, side in zip((top, left), image.shape[:2], strict=True))
        window = image[y : y + self.size, x : x + self.size]
        return window[:, ::-1] if flipped else window

    def _image(self, row: int) -> np.ndarray:
        if self._held is None:
            return self.source.image(row)
        if row not in self._held:
            self._held[row] = self.source.image(row)
        return self._held[row]


def to_tensor(images: Sequence[np.ndarray]) -> torch.Tensor:
    """uint8 images [H, W, 3] of one size -> float32 [B, 3, H, W] in [-1, 1], channels_last."""
    stacked = torch.from_numpy(np.stack(images))  # [B, H, W, 3]
    return stacked.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)  # [B, 3, H, W], its memory still B, H, W, 3


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """float [B, 3, H, W] in [-1, 1] -> uint8 [B, H, W, 3]: rounded half to even, clamped. The inverse of `to_tensor`."""
    levels = images.detach().to(torch.float32).add(1.0).mul_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def pyramid(images: torch.Tensor, sizes: Sequence[int]) -> list[torch.Tensor]:
    """[B, 3, S, S] at each of `sizes` by area (every pixel the mean of what it covers); the image itself where the size is S."""
    side = images.shape[-1]
    if any(side % size for size in sizes):
        raise ValueError(f"sizes {list(sizes)} do not divide {side}")
    return [images if size == side else F.avg_pool2d(images, side // size) for size in sizes]
