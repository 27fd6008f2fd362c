"""Step: samples one shard of a run's images from test captions (SPEC 11).

Each sample's noise comes from (run seed, caption id, index) alone, and the networks always run on whole batches of
`sampling.batch`, the last one padded, so that an image is the same whatever the number of shards or jobs.
"""

import io
import tarfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from typer import Option

from memgan import steps
from memgan.artifacts import atomic_file, manifest, seed_of, write_json
from memgan.data.loader import to_tensor, to_uint8
from memgan.data.shards import ImageFolder
from memgan.device import beside
from memgan.encoders.feature_network import FeatureNetwork, load_vgg
from memgan.encoders.matched import load_damsm
from memgan.encoders.vocabulary import Vocabulary
from memgan.gan.generator import Generator, Inputs, load_generator
from memgan.gan.texts import TextReader
from memgan.memory.bank import MemoryBank
from memgan.memory.features import FeatureStore
from memgan.memory.retrieval import CaptionEncoder, retrieve
from memgan.params.data import Images
from memgan.params.encoders import Damsm, Features
from memgan.params.evaluation import Sampling
from memgan.params.gan import Gan
from memgan.params.load import Settings
from memgan.params.memory import Memory


class Plan(NamedTuple):
    """One sample to make."""

    index: int
    row: int  # of the test image whose caption it is
    caption_id: str
    caption: str


def plan(rows: list[dict[str, Any]], count: int, seed: int) -> list[Plan]:
    """`count` captions: passes over the test images in order, each time a caption drawn by seed (SPEC 11)."""
    plans = []
    for index in range(count):
        turn, row = divmod(index, len(rows))
        captions = rows[row]["captions"]
        pick = seed_of(seed, "caption", turn, rows[row]["id"]) % len(captions)
        plans.append(Plan(index, row, f"{rows[row]['id']}#{pick}", captions[pick]))
    return plans


def share(count: int, batch: int, shard: int, shards: int) -> range:
    """Indices of one shard: whole batches, so that no batch is ever made of other samples."""
    batches = -(-count // batch)
    first, last = shard * batches // shards, (shard + 1) * batches // shards
    return range(first * batch, min(last * batch, count))


def noise(seeds: list[int], z: int, condition: int) -> tuple[Tensor, Tensor]:
    """Noise (B x z) and jitter (B x condition), each row from its own seed."""
    rows = [torch.randn(z + condition, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows).split([z, condition], dim=1)


@torch.no_grad()
def draw(generator: Generator, reader: TextReader, captions: list[str], seeds: list[int], feature: Tensor) -> list[Tensor]:
    """Images of every stage for B captions, seeds and features (B x C x h x h)."""
    texts = reader(captions)
    drawn = noise(seeds, generator.gan.z, generator.gan.condition)
    here = (beside(generator, part) for part in (*drawn, feature))
    return generator(Inputs(texts.sentence, texts.mean, *here)).images


class Painter:
    """All that turns a caption into a picture: text encoder, memory, generator."""

    def __init__(self, settings: Settings, paths: dict[str, Path], seed: int):
        self.images, self.memory = settings.block("images", Images), settings.block("memory", Memory)
        damsm = settings.block("damsm", Damsm)
        vocabulary = Vocabulary.load(paths["vocabulary"])
        encoder, _ = load_damsm(paths["damsm"], damsm, self.images, vocabulary)
        self.reader = TextReader(vocabulary, encoder, damsm.words)
        self.captions = CaptionEncoder(vocabulary, encoder, damsm.words)
        self.bank, self.store = MemoryBank(paths["bank"]), FeatureStore(paths["features"])
        self.generator, self.trained = load_generator(paths["generator"], settings.block("gan", Gan), self.images)
        self.features, self.vgg = settings.block("features", Features), paths["vgg"]
        self.sampling, self.seed = settings.block("sampling", Sampling), seed

    @property
    def batch(self) -> int:
        """Images computed together."""
        return self.sampling.batch

    @property
    def blocks(self) -> dict[str, Any]:
        """What made the pictures, for their manifest."""
        return {"memory": self.memory.model_dump(), "sampling": self.sampling.model_dump(), "training": self.trained["params"]}

    def neighbours(
        self, captions: list[str], own: np.ndarray | None = None, k: int = 1, strict: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the bank and scores, Q x k. With the strategy `oracle`, `own` rows are given back."""
        return retrieve(captions, self.bank, self.captions, self.memory, k=k, own=own, seed=self.seed, strict=strict)

    @cached_property
    def network(self) -> FeatureNetwork:
        """The network of v."""
        return load_vgg(self.vgg, self.features, self.images)

    @torch.no_grad()
    def own_features(self, folder: ImageFolder, rows: list[int]) -> Tensor:
        """v of images outside the bank, for the oracle: N x C x h x h."""
        pictures = to_tensor([folder.centre(row, self.images.size) for row in rows])
        return self.network(beside(self.network, pictures))

    def paint(self, captions: list[str], seeds: list[int], feature: Tensor) -> list[np.ndarray]:
        """Images of every stage, uint8 N x p x p x 3, for at most `batch` captions; fewer are filled up to a whole batch."""
        part = [k % len(captions) for k in range(self.batch)]
        made = draw(self.generator, self.reader, [captions[k] for k in part], [seeds[k] for k in part], feature[part])
        return [to_uint8(images[: len(captions)]) for images in made]


def main(
    dataset: Annotated[str, Option(help="a name under `data` in params.yaml")],
    run: Annotated[str, Option(help="a name under `runs`")],
    seed: Annotated[int, Option(help="of the run")],
    shard: Annotated[int, Option(help="which part of the samples, from 0")],
    images: Annotated[Path, Option(help="preprocessed images, for the test captions")],
    vocabulary: Annotated[Path, Option(help="the words known")],
    damsm: Annotated[Path, Option(help="text encoder")],
    vgg: Annotated[Path, Option(help="the network of v, used by the oracle")],
    features: Annotated[Path, Option(help="v of the training images")],
    bank: Annotated[Path, Option(help="memory bank")],
    generator: Annotated[Path, Option(help="trained generator")],
    out: Annotated[Path, Option(help="images of this shard, tar")],
    record: Annotated[Path, Option(help="caption, neighbour and seed of each, JSON")],
) -> None:
    """Samples one shard of a run's images."""
    settings = Settings(dataset, run)
    steps.set_threads(settings.value("threads"))
    paths = {"vocabulary": vocabulary, "damsm": damsm, "vgg": vgg, "features": features, "bank": bank, "generator": generator}
    painter = Painter(settings, paths, seed)
    folder = ImageFolder(images, "test")
    mine = share(painter.sampling.samples, painter.batch, shard, settings.value("shards"))
    plans = plan(folder.rows, mine.stop, seed)[mine.start :]
    records = paint(painter, folder, plans, seed, out)
    written = manifest("memgan.gan.sample", painter.blocks, {"images": images, **paths}, seed)
    write_json(record, {"samples": records, "manifest": written})


def paint(painter: Painter, folder: ImageFolder, plans: Sequence[Plan], seed: int, out: Path) -> list[dict[str, Any]]:
    """Draws what is planned into a tar; returns what is recorded of each."""
    records: list[dict[str, Any]] = []
    with atomic_file(out) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
        for start in steps.progress(range(0, len(plans), painter.batch), "batches"):
            pictures, rows = sample(painter, folder, plans[start : start + painter.batch], seed)
            for row, picture in zip(rows, pictures, strict=True):
                add_picture(archive, f"{row['index']:06d}.png", picture)
            records += rows
    return records


def sample(painter: Painter, folder: ImageFolder, plans: Sequence[Plan], seed: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """One batch: the last stage's images, uint8 N x p x p x 3, and what is recorded of each."""
    captions, own = [p.caption for p in plans], np.array([p.row for p in plans])
    seeds = [seed_of(seed, "sample", p.caption_id, p.index) for p in plans]
    found, scores = (table[:, 0].tolist() for table in painter.neighbours(captions, own))
    if painter.memory.strategy == "oracle":
        feature, ids = painter.own_features(folder, found), [folder.rows[n]["id"] for n in found]
    else:
        feature, ids = painter.store.v(np.array(found)), [painter.bank.ids[n] for n in found]
    pictures = painter.paint(captions, seeds, feature)[-1]
    facts = zip(plans, seeds, found, ids, scores, strict=True)
    return pictures, [
        {
            **p._asdict(),
            "image_id": folder.rows[p.row]["id"],
            "seed": noise_seed,
            "neighbour": neighbour,
            "neighbour_id": name,
            "score": round(score, 6),
        }
        for p, noise_seed, neighbour, name, score in facts
    ]


def add_picture(archive: tarfile.TarFile, name: str, picture: np.ndarray) -> None:
    """Adds a PNG to a WebDataset shard; the same picture (uint8, p x p x 3) gives the same bytes."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG", compress_level=3)
    member = tarfile.TarInfo(name)
    member.size = content.tell()
    content.seek(0)
    archive.addfile(member, content)


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    steps.run(main)
