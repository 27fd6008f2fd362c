import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memgan.artifacts import sha256
from memgan.data import download
from memgan.errors import InputError
from memgan.params.data import Archive
from tests.factory import ROOT
from tests.rawdata import pack, write_params
from tests.server import web  # noqa: F401 (a fixture)

DATA = b"the right bytes" * 1000
SHA = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
MD5 = f"md5:{hashlib.md5(DATA).hexdigest()}"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEMGAN_MIRROR", raising=False)
    Path("a.tgz").write_bytes(DATA)
    Path("b.tgz").write_bytes(DATA)


def params(images: dict, captions: dict | None = None, **more) -> None:
    captions = captions or {"path": "b.tgz", "checksum": SHA}
    write_params(Path(), {"layout": "cub", "split": "official", "archives": {"images": images, "captions": captions} | more})


def step() -> dict:
    download.main("own", Path("data/own/sources.json"))
    return json.loads(Path("data/own/sources.json").read_text(encoding="utf-8"))


def fault() -> str:
    """The message of the InputError in which the step ends; nothing may have been written."""
    with pytest.raises(InputError) as error:
        step()
    assert not Path("data/own").exists()
    return str(error.value)


@pytest.mark.parametrize("checksum", [SHA, MD5, MD5.upper().replace("MD5", "md5")])
def test_local_archives_are_checked_and_used_in_place(checksum):
    params({"path": "a.tgz", "checksum": checksum})
    sources = step()
    entry = {"sha256": SHA[7:], "bytes": len(DATA)}
    assert sources["layout"] == "cub"
    assert sources["files"] == {"images": {"path": "a.tgz", **entry}, "captions": {"path": "b.tgz", **entry}}
    assert sources["manifest"]["params"]["source"]["archives"]["images"]["checksum"] == checksum
    before = Path("data/own/sources.json").read_bytes()
    step()
    assert Path("data/own/sources.json").read_bytes() == before


def test_a_folder_needs_no_checksum_but_keeps_one():
    folder = pack(Path("raw"), {"x/a.txt": b"1234", "b.txt": b"56"})
    params({"path": "raw"})
    assert step()["files"]["images"] == {"path": "raw", "sha256": sha256(folder), "bytes": 6}
    params({"path": "raw", "checksum": f"sha256:{sha256(folder)}"})
    step()
    (folder / "b.txt").write_bytes(b"57")
    Path("data/own/sources.json").unlink()
    Path("data/own").rmdir()
    assert "raw: its checksum is sha256:" in fault()
    params({"path": "raw", "checksum": MD5})
    assert "a folder is checked by sha256" in fault()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({"path": "gone.tgz", "checksum": SHA}, "gone.tgz: there is no such file or folder; put it there or correct"),
        (
            {"path": "a.tgz"},
            f"if you trust the file, write `data.own.source.archives.images.checksum: {SHA}`",
        ),
        ({"path": "a.tgz", "checksum": "sha256:12"}, "images.checksum` is 'sha256:12'; write"),
        ({"path": "a.tgz", "checksum": "crc:" + "0" * 64}, "write sha256:<64 digits> or md5:<32 digits>"),
        ({"path": "a.tgz", "checksum": "sha256:" + "x" * 64}, "write sha256:<64 digits> or md5:<32 digits>"),
        (
            {"path": "a.tgz", "checksum": "md5:" + "0" * 32},
            f"a.tgz: its checksum is {MD5}, it should be md5:{'0' * 32}; fetch it again",
        ),
    ],
)
def test_what_is_wrong_with_an_archive_is_named(images, message):
    params(images)
    assert message in fault()


def test_roles_are_the_layouts():
    params({"path": "a.tgz", "checksum": SHA}, boxes={"path": "a.tgz", "checksum": SHA})
    assert "unknown role boxes; known: captions, images, split" in fault()
    write_params(Path(), {"layout": "coco", "split": "official", "archives": {"annotations": {"path": "a.tgz", "checksum": SHA}}})
    assert "lacks test_images; the layout coco needs annotations, test_images, train_images" in fault()


def test_a_world_is_not_downloaded():
    world = {"name": "birdworld", "train_images": 4, "test_images": 2, "side": 30, "pose": 0}
    write_params(Path(), {"layout": "cub", "split": "official", "world": world})
    assert "is a world, which is rendered" in fault()


@pytest.mark.parametrize(
    ("dataset", "checksum", "message"),
    [
        (
            "own",
            "sha256:" + "0" * 64,
            f"error: a.tgz: its checksum is {SHA}, it should be sha256:{'0' * 64}; fetch it again or correct ",
        ),
        ("owls", SHA, "error: params.yaml: there is no data set `owls` under `data`; known: own"),
    ],
)
def test_the_command_ends_in_one_line(dataset, checksum, message):
    params({"path": "a.tgz", "checksum": checksum})
    command = [sys.executable, "-m", "memgan.data.download", "--dataset", dataset, "--out", "data/own/sources.json"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT / "src")})
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(message)
    assert not Path("data").exists()


def test_an_archive_from_the_web(web):  # noqa: F811
    server = web(DATA)
    params({"urls": [server.url("gone"), server.url("good")], "checksum": MD5})
    assert step()["files"]["images"] == {"path": "data/downloads/raw.tgz", "sha256": SHA[7:], "bytes": len(DATA)}


def test_a_file_with_a_place_of_its_own_may_lie_in_the_mirror(tmp_path, monkeypatch):
    """CUB's captions have no address: whoever fills a folder for machines without internet puts them there, too."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "captions.tgz").write_bytes(b"captions")
    archive = Archive(path="data/downloads/captions.tgz", checksum=f"sha256:{hashlib.sha256(b'captions').hexdigest()}")
    with pytest.raises(InputError, match=r"data/downloads/captions\.tgz: there is no such file"):
        download.local(archive, "key")
    monkeypatch.setenv("MEMGAN_MIRROR", str(mirror))
    assert download.local(archive, "key") == mirror / "captions.tgz"
    (mirror / "captions.tgz").write_bytes(b"others")
    with pytest.raises(InputError, match=r"mirror/captions\.tgz: its checksum is"):
        download.local(archive, "key")


def test_a_missing_archive_says_where_to_get_it():
    params({"path": "gone.tgz", "checksum": SHA, "origin": "ask Mrs. Wren"})
    assert "gone.tgz: there is no such file or folder; put it there (ask Mrs. Wren) or correct" in fault()


def test_a_web_address_needs_a_checksum():
    params({"urls": ["http://127.0.0.1:1/raw.tgz"]})
    assert "archives.images.checksum` is None; write sha256:" in fault()
