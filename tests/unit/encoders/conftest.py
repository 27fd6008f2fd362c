"""A folder of preprocessed images that encoders can learn something from: coloured squares and what is said of them."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from memgan.params.load import read_yaml
from tests.factory import PARAMS

COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (40, 80, 220), "yellow": (240, 220, 60)}
SMALL: dict[str, dict[str, Any]] = {
    "images": {"size": 16, "short_side": 18},
    "damsm": {
        "dimension": 16, "word_embedding": 12, "words": 5, "width": 8, "epochs": 1, "batch": 8, "validation": 0.125, "min_count": 1,
        "image_encoder": "small", "dropout": 0.2,
    },
    "features": {"network": "small", "channels": 8, "width": 4, "epochs": 1, "batch": 8, "normalise": "imagenet"},
    "evaluator": {"width": 4, "features": 8, "images": 16, "epochs": 1, "batch": 8},
}  # fmt: skip


def squares(folder: Path, count: int = 32, labels: bool = True, categories: bool = False) -> Path:
    """Writes `count` training images as `memgan.data.preprocess` leaves them: a square of one colour on a ground of another."""
    rng, names, rows = np.random.default_rng(0), list(COLOURS), []
    folder.mkdir()
    with tarfile.open(folder / "train-00000.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for i in range(count):
            inner, outer = i % 4, i // 4 % 4
            pixels = np.empty((18, 18, 3))
            pixels[:], pixels[5:13, 5:13] = COLOURS[names[outer]], COLOURS[names[inner]]
            content = io.BytesIO()
            noisy = np.clip(pixels + rng.normal(scale=8, size=pixels.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(content, "PNG")
            member = tarfile.TarInfo(f"{i}.png")
            member.size = content.tell()
            content.seek(0)
            place = {"shard": "train-00000.tar", "offset": archive.offset + tarfile.BLOCKSIZE, "bytes": member.size}
            archive.addfile(member, content)
            said = [f"A {names[inner]} square on {names[outer]}", f"{names[outer]} ground with a square that is {names[inner]}"]
            known = {"label": inner * 4 + outer if labels else None, "categories": [inner] if categories else []}
            rows.append({"key": str(i), "id": str(i), "captions": said, "size": [18, 18], "attributes": {}, **known, **place})
    classes = [f"{a} on {b}" for a in names for b in names] if labels else []
    index = {"train": rows, "test": [], "classes": classes, "categories": names if categories else [], "manifest": {}}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def write_params(folder: Path, **blocks: dict[str, Any]) -> None:
    """The project's params.yaml at a tiny size, with changes by block, into `folder`."""
    tree = PARAMS | {name: PARAMS[name] | changes | blocks.get(name, {}) for name, changes in SMALL.items()}
    tree["data"] = {name: entry | {"images": {}} for name, entry in PARAMS["data"].items()}  # they would be larger
    tree["seed"] = 3
    (folder / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    read_yaml.cache_clear()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project: params.yaml of a tiny size, images/ of squares, and the working directory there."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    squares(tmp_path / "images")
    yield tmp_path
    read_yaml.cache_clear()
