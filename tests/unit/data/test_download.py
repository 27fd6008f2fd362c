import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from memgan.artifacts import sha256
from memgan.data import download
from memgan.data.download import fetch
from memgan.errors import InputError
from tests.factory import ROOT
from tests.rawdata import pack, write_params

DATA = b"the right bytes" * 1000
SHA = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
MD5 = f"md5:{hashlib.md5(DATA).hexdigest()}"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEMGAN_MIRROR", raising=False)
    monkeypatch.setattr(download, "RETRIES", 1)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
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
        ({"path": "a.tgz"}, "a.tgz: `data.own.source.archives.images.checksum` is None; write sha256:<64 digits>"),
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


class Server:
    """A loopback server: paths under /good give the file, /wrong other bytes, everything else 404; counts what is asked."""

    def __init__(self):
        asked = self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                body = {"good": DATA, "wrong": b"other"}.get(self.path.split("/")[1])
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.mark.parametrize("checksum", [SHA, MD5])
def test_addresses_are_tried_in_order_until_one_gives_the_file(server, checksum, tmp_path):
    urls = tuple(f"{server.address}/{place}/raw%20data.tgz?x=1" for place in ("gone", "wrong", "good", "never"))
    params({"urls": list(urls), "checksum": checksum})
    assert step()["files"]["images"] == {"path": "data/downloads/raw data.tgz", "sha256": SHA[7:], "bytes": len(DATA)}
    asked = [path.split("/")[1] for path in server.asked]
    assert asked == ["gone", "gone", "wrong", "wrong", "good"]  # each twice: one retry
    assert [p.name for p in Path("data/downloads").iterdir()] == ["raw data.tgz"]
    step()
    assert len(server.asked) == 5  # what is there already is not fetched again


def test_a_damaged_download_is_fetched_again(server, tmp_path):
    Path("downloads").mkdir()
    (tmp_path / "downloads/raw.tgz").write_bytes(b"half")
    assert fetch([f"{server.address}/good/raw.tgz"], SHA, Path("downloads")).read_bytes() == DATA


@pytest.mark.parametrize("place", ["gone", "wrong"])
def test_when_no_address_helps_the_file_its_checksum_and_its_place_are_named(server, place):
    params({"urls": [f"{server.address}/{place}/raw.tgz"], "checksum": SHA})
    message = fault()
    assert message.startswith("raw.tgz: no address gave it (") and f"put the file with {SHA} into data/downloads" in message
    assert not list(Path("data/downloads").glob("*"))


def test_a_refused_connection_is_a_dead_link():
    with pytest.raises(InputError, match=r"raw.tgz: no address gave it"):
        fetch(["http://127.0.0.1:1/raw.tgz"], SHA, Path("downloads"))


def test_the_offline_folder_takes_the_place_of_addresses(server, monkeypatch, tmp_path):
    monkeypatch.setenv("MEMGAN_MIRROR", str(tmp_path / "mirror"))
    urls = [f"{server.address}/good/raw.tgz"]
    with pytest.raises(InputError, match=r"raw.tgz: not in .*mirror \(MEMGAN_MIRROR\); put the file with sha256:"):
        fetch(urls, SHA)
    Path("mirror").mkdir()
    Path("mirror/raw.tgz").write_bytes(DATA)
    assert fetch(urls, SHA) == tmp_path / "mirror/raw.tgz"
    Path("mirror/raw.tgz").write_bytes(b"other")
    with pytest.raises(InputError, match=r"raw.tgz: its checksum is"):
        fetch(urls, SHA)
    assert server.asked == []


def test_a_web_address_needs_a_checksum():
    params({"urls": ["http://127.0.0.1:1/raw.tgz"]})
    assert "archives.images.checksum` is None; write sha256:" in fault()
