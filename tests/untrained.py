"""Steps 'features' and 'bank' on twelve noise images with untrained networks."""

import io
import json
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import yaml
from PIL import Image

from memgan import artifacts
from memgan.encoders.feature_network import STEP as VGG
from memgan.encoders.feature_network import FeatureNetwork
from memgan.encoders.image import ImageEncoder
from memgan.encoders.matched import STEP as DAMSM
from memgan.encoders.text import TextEncoder
from memgan.encoders.vocabulary import Vocabulary
from memgan.memory import bank, features
from memgan.memory.captions import CaptionEncoder
from tests.factory import PARAMS, damsm_block, features_block, images_block

IMAGES = 12
SMALL = {
    "images": {"size": 16, "short_side": 18},
    "damsm": {"dimension": 16, "word_embedding": 8, "width": 4, "words": 6, "batch": 4},
    "features": {"channels": 8, "width": 4, "batch": 5},
}
CAPTIONS = ("a {} bird", "this bird is {} with a long beak", "{}")
COLOURS = ("red", "blue", "green", "yellow")


class World(NamedTuple):
    """A folder with all that the two steps read and write."""

    root: Path
    captions: CaptionEncoder

    def paths(self, *names: str) -> dict[str, Path]:
        return {name: self.root / name for name in names}

    def features(self) -> Path:
        features.main("birdworld", **self.paths("images", "vgg"), out=self.root / "features")
        return self.root / "features"

    def bank(self) -> Path:
        bank.main("birdworld", **self.paths("images", "vocabulary", "damsm", "features"), out=self.root / "bank")
        return self.root / "bank"


def write_images(folder: Path) -> list[str]:
    """A folder as the step 'preprocess' leaves it; returns all captions."""
    rng, rows, captions = np.random.default_rng(0), [], []
    folder.mkdir()
    with tarfile.open(folder / "train-00000.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for i in range(IMAGES):
            content = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (18, 20, 3), dtype=np.uint8)).save(content, "PNG")
            member = tarfile.TarInfo(f"{i}.png")
            member.size = content.tell()
            content.seek(0)
            place = {"shard": "train-00000.tar", "offset": archive.offset + tarfile.BLOCKSIZE, "bytes": member.size}
            archive.addfile(member, content)
            texts = [CAPTIONS[j].format(COLOURS[(i + j) % 4]) for j in range(1 + i % 3)]
            captions += texts
            rows.append({"key": str(i), "id": f"image {i}", "captions": texts, "label": None, "size": [20, 18], **place})
    (folder / "index.json").write_text(json.dumps({"train": rows, "test": [], "classes": [], "categories": []}))
    return captions


def make_world(root: Path) -> World:
    """Writes the world into an empty folder: birdworld by the defaults of params.yaml, without entries of its own."""
    changed = {name: PARAMS[name] | changes for name, changes in SMALL.items()}
    plain = {name: value if name == "source" else {} for name, value in PARAMS["data"]["birdworld"].items()}
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS | changed | {"data": {"birdworld": plain}}))
    captions = write_images(root / "images")
    words = sorted({word for caption in captions for word in caption.split()})
    (root / "vocabulary").write_text(json.dumps({"words": words}))
    vocabulary = Vocabulary(words)

    torch.manual_seed(0)
    blocks = images_block(**SMALL["images"]), damsm_block(**SMALL["damsm"]), features_block(**SMALL["features"])
    geometry, damsm, v = blocks
    params = {"images": geometry.model_dump(), "damsm": damsm.model_dump(), "features": v.model_dump()}
    text, image, network = TextEncoder(len(vocabulary), damsm), ImageEncoder(damsm, geometry.size), FeatureNetwork(v, geometry)
    text.embedding.weight.data.mul_(30)  # so that captions differ by more than float16 does
    both = {f"text.{n}": x for n, x in text.state_dict().items()} | {f"image.{n}": x for n, x in image.state_dict().items()}
    artifacts.save_tensors(root / "damsm", both, {"step": DAMSM, "params": params, "vocabulary": vocabulary.digest})
    artifacts.save_tensors(root / "vgg", network.state_dict(), {"step": VGG, "params": params})
    return World(root, CaptionEncoder(vocabulary, text, damsm.words))
