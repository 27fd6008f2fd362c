"""A very small birdworld with untrained encoders, and samples of it, in the formats that scoring reads."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from memgan import artifacts
from memgan.data.worlds import birdworld, sceneworld
from memgan.encoders.damsm import Encoders
from memgan.encoders.judges import Evaluator
from memgan.encoders.vocabulary import Vocabulary, count_words
from memgan.metrics.protocol import Inputs
from memgan.params.load import read_yaml
from tests.factory import PARAMS, damsm_block, images_block

WORLDS = {"birdworld": birdworld, "sceneworld": sceneworld}
SIZE = 16
DAMSM = {"dimension": 8, "word_embedding": 8, "width": 4}
METRICS = {"splits": 2, "negatives": 5, "folds": 3, "kid_subset": 10, "kid_subsets": 5, "neighbours": 2}
MADE = {name: PARAMS[name] for name in ("pooling", "gan", "train")}


def png(image: np.ndarray) -> bytes:
    """An image as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(path: Path, files: dict[str, bytes]) -> dict[str, int]:
    """A tar file; returns where each member's content begins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with tarfile.open(path) as archive:
        return {member.name: member.offset_data for member in archive}


class World:
    """Preprocessed images, vocabulary and untrained encoders in `folder`, and a params.yaml that fits them."""

    def __init__(self, folder: Path, name: str = "birdworld", train: int = 12, test: int = 24, **metrics: Any):
        self.folder, self.name = folder, name
        self.params = json.loads(json.dumps(PARAMS))
        for block, changes in (("images", {"size": SIZE, "short_side": SIZE}), ("damsm", DAMSM), ("metrics", METRICS | metrics)):
            self.params[block] |= changes
        self.params["data"][name] |= {"images": {}, "damsm": {}, "metrics": {}}
        self.params_file = folder / "params.yaml"
        self.params_file.write_text(yaml.safe_dump(self.params), encoding="utf-8")
        read_yaml.cache_clear()  # it remembers `params.yaml` by its relative name
        parts = ("images", "vocabulary.json", "damsm.safetensors", "evaluator.safetensors")
        self.inputs = Inputs(*(folder / part for part in parts))
        self.rows = {split: self._split(split, count) for split, count in (("train", train), ("test", test))}
        categories = sceneworld.CATEGORIES if name == "sceneworld" else ()
        index = self.rows | {"classes": [f"class {c}" for c in range(4)], "categories": categories, "manifest": {}}
        (self.inputs.images / "index.json").write_text(json.dumps(index), encoding="utf-8")
        self._encoders()

    def _split(self, split: str, count: int) -> list[dict[str, Any]]:
        world, rng = WORLDS[self.name], np.random.default_rng(len(split))
        attributes = [world.random_attributes(rng) for _ in range(count)]
        pictures = [np.asarray(world.draw(a, rng, SIZE, 0.0)[0]) for a in attributes]
        shard = f"{split}-00000.tar"
        offsets = write_tar(self.inputs.images / shard, {f"{i:08d}.png": png(p) for i, p in enumerate(pictures)})
        return [
            {
                "key": f"{i:08d}", "id": f"{split}/{i}", "captions": world.captions(attributes[i], rng, 3),
                "label": i % 4 if self.name == "birdworld" else None, "categories": [], "attributes": attributes[i], "objects": [],
                "size": [SIZE, SIZE], "shard": shard, "offset": offsets[f"{i:08d}.png"], "bytes": len(png(pictures[i])),
            }
            for i in range(count)
        ]  # fmt: skip

    def _encoders(self) -> None:
        damsm, images = damsm_block(**DAMSM), images_block(size=SIZE, short_side=SIZE)
        words = [word for word, _ in count_words((c for row in self.rows["train"] for c in row["captions"]), 1)]
        artifacts.write_json(self.inputs.vocabulary, {"words": words})
        encoders = Encoders.fresh(Vocabulary.load(self.inputs.vocabulary), damsm, images, 0)
        used = {"damsm": damsm.model_dump(), "images": images.model_dump()}
        said = {"step": "memgan.encoders.damsm", "params": used, "vocabulary": encoders.vocabulary.digest}
        artifacts.save_tensors(self.inputs.damsm, encoders.state(), said)
        torch.manual_seed(1)
        judge = Evaluator(4, 6, SIZE, WORLDS[self.name].ATTRIBUTES)
        said = {"step": "memgan.encoders.evaluator", "heads": judge.heads}
        said["params"] = {"evaluator": {"width": 4, "features": 6}, "images": used["images"]}
        artifacts.save_tensors(self.inputs.evaluator, judge.state_dict(), said)

    def samples(self, count: int, shards: int = 2, folder: str = "samples", seed: int = 0) -> list[Path]:
        """Noise as samples of a run, in shards; returns the tar files."""
        rng = np.random.default_rng(seed)
        records, pictures = [], []
        for index in range(count):
            row = index % len(self.rows["test"])
            entry = self.rows["test"][row]
            pick = index % len(entry["captions"])
            neighbour = int(rng.integers(len(self.rows["train"])))
            records.append(record(index, row, entry["captions"][pick], f"{entry['id']}#{pick}", neighbour))
            pictures.append(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))
        parts = np.array_split(np.arange(count), shards)
        paths = [self.folder / folder / f"{shard}.tar" for shard in range(shards)]
        for path, part in zip(paths, parts, strict=True):
            write_samples(path, [records[i] for i in part], [pictures[i] for i in part])
        return paths

    def extra(self, name: str, captions: int, images: int) -> tuple[Path, list[dict[str, Any]]]:
        """Noise in the form of the samples for SOA or diversity: each caption `images` times; its tar and records."""
        rng, path = np.random.default_rng(1), self.folder / "more" / f"{name}.tar"
        rows = [(row, entry) for row, entry in enumerate(self.rows["test"][:captions]) for _ in range(images)]
        records = [record(i, row, entry["captions"][0], f"{entry['id']}#0", 0) for i, (row, entry) in enumerate(rows)]
        write_samples(path, records, rng.integers(0, 256, (len(rows), SIZE, SIZE, 3), dtype=np.uint8))
        return path, records


def record(index: int, row: int, caption: str, caption_id: str, neighbour: int) -> dict[str, Any]:
    """What is noted of a sample."""
    image_id = caption_id.partition("#")[0]
    return {
        "index": index, "row": row, "caption": caption, "caption_id": caption_id, "image_id": image_id, "seed": index,
        "neighbour": neighbour, "neighbour_id": f"train/{neighbour}", "score": 0.5,
    }  # fmt: skip


def write_samples(path: Path, records: Sequence[dict[str, Any]], pictures: Sequence[np.ndarray], **changes: Any) -> None:
    """One shard of samples: tar and JSON."""
    write_tar(path, {f"{r['index']:06d}.png": png(p) for r, p in zip(records, pictures, strict=True)})
    params = {"memory": PARAMS["memory"], "training": MADE} | changes
    path.with_suffix(".json").write_text(json.dumps({"samples": list(records), "manifest": {"params": params}}), encoding="utf-8")
