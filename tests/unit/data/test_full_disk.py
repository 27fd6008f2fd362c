"""A full disk, on a small file system in memory. Needs the right to mount; without it these tests are left out, with a line."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from memgan import artifacts, steps
from memgan.data import fetch, preprocess, render
from memgan.errors import InputError
from tests.rawdata import cub_members, encoded, pack, write_params, write_sources
from tests.server import web  # noqa: F401 (a fixture)

pytestmark = pytest.mark.mounts
CUB = {"layout": "cub", "split": "official", "archives": {"images": {"path": "images.tgz"}, "captions": {"path": "captions.tgz"}}}


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder on a file system of 1 MB; the working directory is beside it."""
    monkeypatch.chdir(tmp_path)
    place = Path("small")
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)
    steps.log.handlers.clear()


def noise(seed: int) -> bytes:
    """A picture that takes about 100 kB however it is stored."""
    pixels = np.random.default_rng(seed).integers(0, 256, size=(180, 180, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), "JPEG", quality=95)


def test_preprocessing_ends_in_one_line_and_goes_on_when_there_is_room(small, monkeypatch):
    images, captions = cub_members(12)
    images = {name: noise(i) if name.endswith(".jpg") else data for i, (name, data) in enumerate(images.items())}
    files = {"images": pack(Path("images.tgz"), images), "captions": pack(Path("captions.tgz"), captions)}
    write_params(Path(), CUB, {"size": 128, "short_side": 180})
    found = write_sources(Path("sources.json"), "cub", files)
    with pytest.raises(InputError, match=r"^small/images: the disk is full \(0 MB free\); make room and run again$"):
        preprocess.main("own", found, small / "images", 1)
    assert not (small / "images").exists()
    subprocess.run(["mount", "-o", "remount,size=8m", str(small)], check=True)
    preprocess.main("own", found, small / "images", 1)
    preprocess.main("own", found, Path("whole/images"), 1)
    one, two = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in (small / "images", Path("whole/images")))
    assert one == two


def test_rendering_a_world(small):
    world = {"name": "birdworld", "train_images": 300, "test_images": 300, "side": 96, "pose": 0}
    write_params(Path(), {"layout": "cub", "split": "official", "world": world})
    with pytest.raises(InputError, match=r"^small/archives: the disk is full"):
        render.main("own", small / "archives", small / "sources.json")
    assert not list(small.iterdir())


def test_a_download(small, web, monkeypatch):  # noqa: F811
    data = bytes(2_000_000)
    address = web(data).url("good")
    with pytest.raises(InputError, match=r"raw.tgz: the disk is full \(2 MB are needed, 1.05 MB are free\); make room"):
        fetch.fetch([address], "md5:" + "0" * 32, small)
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10**9}))  # others write meanwhile
    with pytest.raises(InputError, match=r"raw.tgz: the disk is full \(No space left on device\); make room"):
        fetch.fetch([address], "md5:" + "0" * 32, small)


@pytest.mark.parametrize("kind", ["tensors", "text", "folder"])
def test_artefacts(small, kind):
    with pytest.raises(InputError, match=r"^small/out: the disk is full"):
        if kind == "tensors":
            artifacts.save_tensors(small / "out", {"x": torch.zeros(1_000_000)}, {})
        elif kind == "text":
            artifacts.write_text(small / "out", "x" * 2_000_000)
        else:
            with artifacts.atomic_folder(small / "out") as folder:
                (folder / "file").write_bytes(bytes(2_000_000))
    assert not list(small.iterdir())
