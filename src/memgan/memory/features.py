"""v of every training image (SPEC 2, 3): plain and mirrored, float16, sharded; and the store that hands them out.

python -m memgan.memory.features --dataset ... --images ... --vgg ... --out results/<dataset>/features
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from typer import Option

from memgan import artifacts, steps
from memgan.data.loader import to_tensor
from memgan.data.shards import ImageFolder
from memgan.device import beside
from memgan.encoders.feature_network import FeatureNetwork, load_vgg
from memgan.memory.shards import Part, Shards, build
from memgan.params.data import Images
from memgan.params.encoders import Features
from memgan.params.load import Settings


class FeatureStore:
    """The features that the step wrote, memory-mapped: never wholly in RAM.

    Raises InputError, naming the shard, if one is missing, cut off or changed.
    """

    def __init__(self, folder: Path):
        self._shards = Shards(folder)
        self._flat = self._shards.array("v", "v").flattened()  # [n, 2, C, h, h] -> [2 n, C, h, h]
        self.ids: list[str] = self._shards.content["ids"]
        self.shape: tuple[int, ...] = self._flat.shape[1:]  # C, h, h

    def __len__(self) -> int:
        return len(self.ids)

    def v(self, rows: Tensor | np.ndarray, flipped: Tensor | np.ndarray | None = None) -> Tensor:
        """v of training images by row [B], mirrored where `flipped` [B] is true: float32 [B, C, h, h]."""
        rows = np.asarray(rows, dtype=np.int64)
        plane = np.zeros_like(rows) if flipped is None else np.asarray(flipped, dtype=np.int64)
        return torch.from_numpy(self._flat.take(2 * rows + plane)).float()

    def verify(self) -> None:
        """Compares every shard with its hash now; without this, each is when it is first read."""
        self._shards.verify()


@torch.no_grad()
def features_of(folder: ImageFolder, network: FeatureNetwork, size: int, batch: int, start: int, stop: int) -> dict[str, Tensor]:
    """v of the centre crops of images start..stop-1: {"v": float16 [stop - start, 2, C, h, h]}, axis 1 = plain, mirrored."""
    found = []
    for first in range(start, stop, batch):
        images = beside(network, to_tensor([folder.centre(row, size) for row in range(first, min(first + batch, stop))]))
        found.append(torch.stack([network(images).half(), network(images.flip(-1)).half()], dim=1).cpu())
    return {"v": torch.cat(found)}


def main(
    dataset: Annotated[str, Option(help="entry under `data` of params.yaml")],
    images: Annotated[Path, Option(help="preprocessed images, a folder")],
    vgg: Annotated[Path, Option(help="feature network")],
    out: Annotated[Path, Option(help="folder of features to write")],
) -> None:
    """Computes v of every training image, plain and mirrored."""
    settings = Settings(dataset)
    geometry, params = settings.block("images", Images), settings.block("features", Features)
    threads = settings.value("threads")
    steps.set_threads(threads)
    blocks = {"images": geometry.model_dump(), "features": params.model_dump(), "threads": threads}
    manifest = artifacts.manifest("memgan.memory.features", blocks, {"images": images, "vgg": vgg})
    folder, network = ImageFolder(images, "train"), load_vgg(vgg, params, geometry)

    shape = (2, params.channels, geometry.feature_side, geometry.feature_side)
    part = Part(
        "v",
        len(folder),
        image_bytes=2 * int(np.prod(shape)),
        make=lambda start, stop: features_of(folder, network, geometry.size, params.batch, start, stop),
    )
    content = {"count": len(folder), "shape": shape, "ids": [row["id"] for row in folder.rows]}
    build(out, [part], content, manifest)


if __name__ == "__main__":
    steps.run(main)
