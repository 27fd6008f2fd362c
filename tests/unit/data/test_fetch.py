"""Downloads from a server that misbehaves."""

import fcntl
import hashlib
import os
import threading
from pathlib import Path

import pytest

from memgan import steps
from memgan.data import fetch
from memgan.errors import InputError
from tests.server import Web, web  # noqa: F401 (a fixture)

DATA = b"the right bytes, and many of them " * 1000
SHA = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
MD5 = f"md5:{hashlib.md5(DATA).hexdigest()}"
HEAD = SHA[:15]
FOLDER = Path("downloads")


@pytest.fixture
def naps(monkeypatch) -> list[float]:
    """Instead of waiting: how long it would have been."""
    slept: list[float] = []
    monkeypatch.setattr("memgan.data.fetch.time.sleep", slept.append)
    return slept


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, naps):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(fetch.MIRROR, raising=False)
    monkeypatch.setattr(fetch, "TIMEOUT", (0.5, 0.3))


@pytest.fixture
def server(web) -> Web:  # noqa: F811
    return web(DATA)


@pytest.fixture
def lines(monkeypatch) -> list[str]:
    """What the log says."""
    said: list[str] = []
    monkeypatch.setattr(steps.log, "info", lambda text, *values: said.append(text % values))
    return said


def left() -> list[str]:
    """What is in the folder, beside the empty file whose lock was held."""
    assert not (FOLDER / fetch.LOCK).exists() or (FOLDER / fetch.LOCK).stat().st_size == 0
    return sorted(path.name for path in FOLDER.iterdir() if path.name != fetch.LOCK)


@pytest.mark.parametrize("checksum", [SHA, MD5, HEAD])
@pytest.mark.parametrize("kind", ["good", "moved", "nohead"])
def test_a_file_comes_once(server, checksum, kind):
    path = fetch.fetch([server.url(kind, "raw%20data.tgz?x=1")], checksum, FOLDER)
    assert path == FOLDER / "raw data.tgz" and path.read_bytes() == DATA and left() == ["raw data.tgz"]
    count = len(server.asked)
    assert fetch.fetch([server.url(kind, "raw%20data.tgz")], checksum, FOLDER) == path
    assert len(server.asked) == count


def test_addresses_are_tried_in_order(server):
    kinds = ["gone", "wrong", "page", "good", "never"]
    assert fetch.fetch([server.url(kind) for kind in kinds], SHA, FOLDER).read_bytes() == DATA
    asked = list(dict.fromkeys(kind for _, kind, _ in server.asked))
    assert asked == kinds[:-1]
    assert sum(kind == "gone" for _, kind, _ in server.asked) == 1  # what is gone stays gone


def test_a_cut_download_goes_on_where_it_was_cut(server, naps):
    with pytest.raises(InputError):
        fetch.fetch([server.url("cut")], SHA, FOLDER)
    starts = [start for _, _, start in server.asked]
    assert starts == [len(DATA) - (len(DATA) >> k) for k in range(fetch.ATTEMPTS)]  # each time the half of the rest came
    assert naps == [1, 2, 4, 8]
    assert left() == [".raw.tgz.part"]
    assert fetch.fetch([server.url("good")], SHA, FOLDER).read_bytes() == DATA  # another process, another mirror
    assert server.asked[-1][2] > starts[-1]
    assert left() == ["raw.tgz"]


def test_a_server_that_knows_no_ranges_starts_again(server):
    FOLDER.mkdir()
    (FOLDER / ".raw.tgz.part").write_bytes(DATA[:100])
    assert fetch.fetch([server.url("whole")], SHA, FOLDER).read_bytes() == DATA
    assert left() == ["raw.tgz"]


@pytest.mark.parametrize("checksum", [SHA, HEAD])
@pytest.mark.parametrize("part", [b"x" * 100, b"x" * len(DATA), b"x" * 2 * len(DATA)], ids=["short", "as long", "longer"])
def test_wrong_bytes_from_before_are_thrown_away(server, part, checksum):
    FOLDER.mkdir()
    (FOLDER / ".raw.tgz.part").write_bytes(part)
    assert fetch.fetch([server.url("good")], checksum, FOLDER).read_bytes() == DATA
    assert left() == ["raw.tgz"]


def test_a_part_that_was_whole_is_not_fetched_again(server):
    FOLDER.mkdir()
    (FOLDER / ".raw.tgz.part").write_bytes(DATA)
    assert fetch.fetch([server.url("good")], SHA, FOLDER).read_bytes() == DATA
    assert [start for _, _, start in server.asked] == [len(DATA)]


def test_a_busy_server_is_asked_again_when_it_likes(server, naps, lines):
    assert fetch.fetch([server.url("flaky")], SHA, FOLDER).read_bytes() == DATA
    assert naps == [7, 7]
    assert "503 Service Unavailable; once more in 7 s" in lines[0]


def test_silence_ends(server, naps):
    with pytest.raises(InputError, match=r"no byte within 0\.3 s"):
        fetch.fetch([server.url("slow")], SHA, FOLDER)
    assert len(naps) == fetch.ATTEMPTS - 1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("gone", "404 Not Found"),
        ("wrong", f"what it gives has another checksum than {SHA}"),
        ("page", r"another checksum than sha256:\w+ \(a web page\)"),
        ("round", "Exceeded 30 redirects"),
        ("cut", "cut off"),
    ],
)
def test_when_no_address_helps_the_file_its_checksum_and_its_place_are_named(server, kind, reason):
    with pytest.raises(
        InputError, match=rf"^raw.tgz: no address gave it \(http://.*: .*{reason}.*\); put the file with {SHA} into "
    ):
        fetch.fetch([server.url(kind)], SHA, FOLDER)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/raw.tgz", "Connection refused"),
        ("http://no.such.invalid/raw.tgz", "name"),
        ("nowhere/raw.tgz", "scheme"),
    ],
)
def test_an_address_without_a_server(url, reason):
    with pytest.raises(InputError, match=rf"^raw.tgz: no address gave it .*{reason}") as fault:
        fetch.fetch([url], SHA, FOLDER)
    assert len(str(fault.value)) < 300 and "HTTPConnectionPool" not in str(fault.value)


def test_a_damaged_file_stays_until_a_right_one_is_there(server):
    FOLDER.mkdir()
    (FOLDER / "raw.tgz").write_bytes(b"half")
    for checksum in (SHA, HEAD):
        with pytest.raises(InputError):
            fetch.fetch([server.url("gone")], checksum, FOLDER)
        assert left() == ["raw.tgz"]
    assert fetch.fetch([server.url("good")], HEAD, FOLDER).read_bytes() == DATA


def test_the_offline_folder_takes_the_place_of_addresses(server, monkeypatch):
    monkeypatch.setenv(fetch.MIRROR, "mirror")
    urls = [server.url("good")]
    with pytest.raises(InputError, match=r"^raw.tgz: not in mirror \(MEMGAN_MIRROR\); put the file with sha256:"):
        fetch.fetch(urls, SHA)
    Path("mirror").mkdir()
    Path("mirror/raw.tgz").write_bytes(DATA)
    assert fetch.fetch(urls, SHA) == fetch.fetch(urls, HEAD) == Path("mirror/raw.tgz")
    Path("mirror/raw.tgz").write_bytes(b"other")
    with pytest.raises(InputError, match=r"^mirror/raw.tgz: its checksum is not sha256:"):
        fetch.fetch(urls, SHA)
    assert server.asked == []


def test_a_disk_without_room_is_said_before_the_download(server, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(InputError, match=r"raw.tgz: the disk is full \(34 kB are needed, 1 kB are free\); make room and run again"):
        fetch.fetch([server.url("good"), server.url("never")], SHA, FOLDER)
    assert len(server.asked) == 1


def test_one_process_fetches_at_a_time(server, lines):
    FOLDER.mkdir()
    with fetch.alone(FOLDER):
        other = threading.Thread(target=fetch.fetch, args=([server.url("good")], SHA, FOLDER))
        other.start()
        other.join(0.2)
        assert other.is_alive() and server.asked == []
    other.join()
    assert left() == ["raw.tgz"] and "waiting: another process" in lines[0]


def test_two_downloads_at_once_wait_for_each_other(server):
    urls = [server.url("good")]
    threads = [threading.Thread(target=fetch.fetch, args=(urls, SHA, FOLDER)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [kind for _, kind, _ in server.asked] == ["good"] and left() == ["raw.tgz"]


def test_the_lock_holds_where_only_files_open_for_writing_are_locked(server, monkeypatch, lines):
    """As NFS does, which keeps other locks on their own node."""
    locked = fcntl.flock

    def over_nfs(file, how):
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
            locked(file, how)

    monkeypatch.setattr("memgan.data.fetch.fcntl.flock", over_nfs)
    test_one_process_fetches_at_a_time(server, lines)


def test_a_folder_that_is_only_read_is_no_hindrance(server, monkeypatch):
    path = fetch.fetch([server.url("good")], SHA, FOLDER)
    monkeypatch.setattr(fetch, "alone", lambda folder: pytest.fail("nothing is fetched, no lock is needed"))
    assert fetch.fetch([server.url("good")], SHA, FOLDER) == path


def test_a_folder_that_takes_nothing_ends_in_one_line(server):
    FOLDER.write_bytes(b"")
    with pytest.raises(InputError, match=r"^downloads: nothing can be written there \(File exists\); make it a folder"):
        fetch.fetch([server.url("good")], SHA, FOLDER)


def test_a_log_hears_of_progress(server, monkeypatch, lines):
    monkeypatch.setattr(fetch, "SAID_EVERY", -1)
    monkeypatch.setattr(fetch, "CHUNK", 10000)
    fetch.fetch([server.url("good")], SHA, FOLDER)
    assert lines[0].startswith("raw.tgz: 10 kB of 34 kB, ") and lines[0].endswith("B/s")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("good", ("there", len(DATA))),
        ("moved", ("there", len(DATA))),
        ("nohead", ("there", len(DATA))),
        ("gone", ("404 Not Found", None)),
        ("page", ("a web page instead of the file", None)),
        ("home", ("a web page instead of the file", None)),
    ],
)
def test_an_address_is_asked_without_fetching(server, kind, told):
    assert fetch.ask(server.url(kind)) == told
    assert not FOLDER.exists()


def test_a_file_that_is_a_web_page_is_there(server):
    assert fetch.ask(server.url("page", "index.html")) == ("there", 19)


def test_asking_an_address_without_a_server():
    assert fetch.ask("http://127.0.0.1:1/raw.tgz") == ("Connection refused", None)


@pytest.mark.parametrize(("count", "text"), [(None, "an unknown size"), (12, "12 B"), (1150585339, "1.15 GB"), (99e3, "99 kB")])
def test_sizes(count, text):
    assert fetch.size(count) == text
