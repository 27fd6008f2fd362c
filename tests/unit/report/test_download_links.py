"""`memgan download`: what is here, what every address answers, and what is needed at all."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from memgan.cli import app
from memgan.data.fetch import DOWNLOADS, MIRROR, name_of
from memgan.encoders.published import WEIGHTS, Published
from memgan.params.load import Settings, read_yaml
from memgan.report import links
from tests.factory import PARAMS
from tests.server import web  # noqa: F401 (a fixture)

DATA = b"an archive " * 50
SHA = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(MIRROR, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    Path("own.tgz").write_bytes(DATA)
    yield
    read_yaml.cache_clear()


def write(images: dict, features: dict | None = None) -> None:
    """params.yaml with the data sets of the project and `own`."""
    archives = {"images": images, "captions": {"path": "own.tgz", "checksum": SHA}}
    own = PARAMS["data"]["photos"] | {
        "source": {"layout": "cub", "split": "official", "archives": archives},
        "features": features or {},
    }
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS | {"data": PARAMS["data"] | {"own": own}}, sort_keys=False))
    read_yaml.cache_clear()


def run(*arguments: str):
    return CliRunner().invoke(app, ["download", "--dataset", "own", *arguments])


def test_every_address_is_asked_and_nothing_fetched(web):  # noqa: F811
    server = web(DATA)
    write({"urls": [server.url(kind) for kind in ("gone", "good", "nohead")], "checksum": SHA, "bytes": len(DATA)})
    done = run("--check")
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    host = f"127.0.0.1:{server.server_port}"
    assert rows == [
        ["for", "file", "from", "size", "state"],
        ["images", "raw.tgz", host, "550", "B", "404", "Not", "Found"],
        [host, "550", "B", "there"],
        [host, "550", "B", "there"],
        ["captions", "own.tgz", ".", "550", "B", "here,", "checked"],
    ]
    assert not Path("data").exists()


def test_another_size_is_no_good(web):  # noqa: F811
    write({"urls": [web(DATA).url("good")], "checksum": SHA, "bytes": 551})
    done = run("--check", "--json")
    assert done.exit_code == 1
    assert "gives 550 B (550 bytes) instead of 551 bytes" in json.loads(done.stdout)[0]["state"]
    assert done.stderr.startswith("error: own: no place gives raw.tgz;")


def test_a_web_page_is_no_file(web):  # noqa: F811
    """Neither where the file's size is not known, nor where the page's is not."""
    write({"urls": [web(DATA).url("page"), web(DATA).url("home")], "checksum": SHA})
    done = run("--check", "--json")
    assert done.exit_code == 1
    assert [each["state"] for each in json.loads(done.stdout)][:2] == ["a web page instead of the file"] * 2
    assert done.stderr.startswith("error: own: no place gives raw.tgz;")


def test_what_is_here_is_checked_and_not_asked_for(web):  # noqa: F811
    server = web(DATA)
    write({"urls": [server.url("good")], "checksum": SHA})
    assert run().exit_code == 0
    count = len(server.asked)
    assert [each.state for each in links.check("own")] == ["here, checked"] * 2 and len(server.asked) == count
    Path("data/downloads/raw.tgz").write_bytes(b"damaged")
    assert [each.state for each in links.check("own")] == ["there", "here, checked"]


def test_the_offline_folder_is_looked_at_alone(monkeypatch, web):  # noqa: F811
    server = web(DATA)
    write({"urls": [server.url("good")], "checksum": SHA})
    monkeypatch.setenv(MIRROR, "mirror")
    assert links.check("own")[0].state == "not there (MEMGAN_MIRROR)"
    Path("mirror").mkdir()
    Path("mirror/raw.tgz").write_bytes(b"wrong")
    assert links.check("own")[0].state == "here, but its checksum is another"
    Path("mirror/raw.tgz").write_bytes(DATA)
    assert links.check("own")[0].good and run().exit_code == 0
    assert server.asked == []


def test_an_archive_of_ones_own():
    write({"path": "gone.tgz", "origin": "a friend has it"})
    assert links.check("own")[0].state == "missing; a friend has it"
    write({"path": "own.tgz"})
    assert links.check("own")[0].state == "params.yaml has no checksum of it"
    assert run().stderr.startswith("error: own.tgz: params.yaml has no checksum of it; if you trust the file, write `data.own")


def test_weights_are_fetched_too(web, monkeypatch):  # noqa: F811
    server = web(DATA)
    monkeypatch.setitem(WEIGHTS, "vgg16", Published(SHA, None, "v", (server.url("good", "vgg.pth"),)))
    write({"path": "own.tgz", "checksum": SHA}, {"network": "vgg16", "channels": 512})
    assert [(each.file, each.state) for each in links.check("own")][2] == ("vgg.pth", "there")
    assert run().exit_code == 0
    assert Path("hub/checkpoints/vgg.pth").read_bytes() == DATA


@pytest.mark.parametrize(
    ("dataset", "names"),
    [
        ("birdworld", []),
        ("photos", []),
        ("cub", ["vgg16", "inception_v3"]),
        ("coco", ["vgg16", "inception_v3"]),
    ],
)
def test_each_data_set_needs_the_weights_that_its_entries_name(dataset, names):
    write({"path": "own.tgz"})
    found = links.weights_of(Settings(dataset))
    assert [name for name in found if name != "fidelity"] == names


def test_the_detector_comes_with_the_data():
    write({"path": "own.tgz"})
    files = [each.folder / name_of(each.urls) for each in links.needed(Settings("coco")) if isinstance(each, links.Needed)]
    assert {DOWNLOADS / "yolov3.cfg", DOWNLOADS / "yolov3.weights"} <= set(files)  # where SOA looks for them


def test_worlds_need_nothing():
    write({"path": "own.tgz"})
    done = CliRunner().invoke(app, ["download", "--dataset", "birdworld", "--check"])
    assert (done.exit_code, done.stdout) == (0, "rendered by code, needs nothing from the web\n")
