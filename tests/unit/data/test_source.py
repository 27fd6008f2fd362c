import bz2
import errno
import gzip
import io
import lzma
import os
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from memgan.artifacts import write_json
from memgan.data import source
from memgan.data.source import inflated_once, located, members, without_surrogates
from memgan.errors import InputError
from tests.rawdata import pack

KINDS = ["raw.tar", "raw.tgz", "raw.tar.bz2", "raw.tar.xz", "raw.zip", "raw.bz2.zip", "raw.xz.zip", "raw.stored.zip"]
MEMBERS = {"top.txt": b"one", "folder/picture.jpg": bytes(range(256)) * 9, "folder/deep/er.txt": b"", "z.txt": b"last"}


@pytest.fixture(autouse=True, params=["streamed", "kept"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Compressed tars are read as they come, or from an inflated copy: the same is found, and refused."""
    with inflated_once(tmp_path / "kept") if request.param == "kept" else nullcontext():
        yield request.param


def everything(path: Path) -> dict[str, bytes]:
    return {member.name: member.read() for member in members(path)}


def tar_of(path: Path, *infos: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for info, data in infos:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", [*KINDS, "raw"])
def test_members_come_whole_and_in_order(tmp_path, name):
    path = pack(tmp_path / name, MEMBERS)
    found = [(member.name, member.size, member.read()) for member in members(path)]
    expected = sorted(MEMBERS.items()) if path.is_dir() else list(MEMBERS.items())
    assert sorted(found) == sorted((name, len(data), data) for name, data in MEMBERS.items())
    if path.is_file():
        assert [name for name, _, _ in found] == [name for name, _ in expected]


def test_a_folder_has_the_same_order_whoever_wrote_it(tmp_path):
    one, two = pack(tmp_path / "one", MEMBERS), pack(tmp_path / "two", dict(reversed(MEMBERS.items())))
    assert [m.name for m in members(one)] == [m.name for m in members(two)]


@pytest.mark.parametrize("kind", ["raw.tgz", "raw.zip", "raw"])
def test_hidden_files_are_passed_over(tmp_path, kind):
    path = pack(tmp_path / kind, {"a.txt": b"a", "x/._a.jpg": b"fork", ".git/config": b"", "__MACOSX/a.jpg": b"fork"})
    assert list(everything(path)) == ["a.txt"]


def test_a_leading_dot_slash_is_not_part_of_a_name(tmp_path):
    assert list(everything(tar_of(tmp_path / "raw.tar", (tarfile.TarInfo("./a/b.txt"), b"x")))) == ["a/b.txt"]


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "C:/evil.txt", "..\\evil.txt"])
@pytest.mark.parametrize("kind", ["raw.tar", "raw.zip"])
def test_names_that_lead_outside_are_refused(tmp_path, name, kind):
    path = tmp_path / kind
    if kind == "raw.tar":
        tar_of(path, (tarfile.TarInfo(name), b"x"))
    else:
        pack(path, {name: b"x"})
    with pytest.raises(InputError, match=r"leads outside the archive"):
        everything(path)


@pytest.mark.parametrize("kind", ["raw.tar", "raw.zip"])
def test_a_colon_in_a_name_is_no_drive(tmp_path, kind):
    assert list(everything(pack(tmp_path / kind, {"Photo 12:30.jpg": b"x"}))) == ["Photo 12:30.jpg"]


@pytest.mark.parametrize("kind", ["raw.tar", "raw"])
def test_names_in_latin_letters(tmp_path, kind):
    name = os.fsdecode("Vögel – 1/früh.jpg".encode("cp1252"))
    assert everything(pack(tmp_path / kind, {name: b"x"})) == {"Vögel – 1/früh.jpg": b"x"}
    assert without_surrogates("a \ud83d bird \U0001f426") == "a \ufffd bird \U0001f426"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    info = tarfile.TarInfo("innocent.jpg")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(InputError, match=r"innocent.jpg is a link or a device"):
        everything(tar_of(tmp_path / "raw.tar", (info, b"")))


def test_a_link_in_a_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        info = zipfile.ZipInfo("innocent.jpg")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(InputError, match=r"innocent.jpg is a link or a device"):
        everything(tmp_path / "raw.zip")


def test_a_link_in_a_folder_is_refused(tmp_path):
    pack(tmp_path / "raw", MEMBERS)
    (tmp_path / "raw" / "innocent.jpg").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match=r"innocent.jpg: is a link"):
        everything(tmp_path / "raw")


def test_a_name_that_comes_twice_is_refused(tmp_path):
    path = tar_of(tmp_path / "raw.tar", (tarfile.TarInfo("a.txt"), b"1"), (tarfile.TarInfo("./a.txt"), b"2"))
    with pytest.raises(InputError, match=r"holds a.txt twice"):
        everything(path)


@pytest.mark.parametrize("kind", ["raw.tgz", "raw.zip"])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, kind, monkeypatch, way):
    monkeypatch.setattr(source, "ALLOWANCE", 1000)
    path = pack(tmp_path / kind, {"zeros": bytes(2_000_000)})
    limit = source.GROWTH * path.stat().st_size + 1000
    said = f"over {limit}" if (kind, way) == ("raw.tgz", "kept") else "2000000"
    with pytest.raises(InputError, match=rf"absurd size \({said} bytes"):
        next(members(path))


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_is_cut_off_anywhere_is_refused(tmp_path, kind):
    path = pack(tmp_path / kind, MEMBERS)
    whole = path.read_bytes()
    # a plain tar ends in padding of which nothing but one block is needed
    last = 512 * 11 if kind == "raw.tar" else len(whole)
    for length in {0, 1, 511, 512, 1024, 512 * 6, *range(3, last, 173), last - 1} & set(range(last)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"raw.*(cannot|can) be read to its end"):
            everything(path)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "raw.tar"])  # which has no checksums
def test_damage_inside_an_archive_is_found(tmp_path, kind):
    path = pack(tmp_path / kind, {"noise": os.urandom(5000)})
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 64):
        data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"{kind}: no tar, tgz or zip that can be read"):
        everything(path)


def tar_with_a_damaged_header(path: Path) -> bytes:
    data = bytearray(pack(path, MEMBERS).read_bytes())
    data[data.index(b"folder/deep/er.txt") + 2] ^= 1
    return bytes(data)


TARS = {"raw.tar": bytes, "raw.tgz": gzip.compress, "raw.tar.bz2": bz2.compress, "raw.tar.xz": lzma.compress}


@pytest.mark.parametrize("kind", TARS)
def test_a_damaged_header_of_a_later_member_is_no_end(tmp_path, kind):
    (tmp_path / kind).write_bytes(TARS[kind](tar_with_a_damaged_header(tmp_path / "whole.tar")))
    with pytest.raises(InputError, match=rf"{kind}: no tar.*a member's header is damaged"):
        everything(tmp_path / kind)


@pytest.mark.parametrize("kind", TARS)
def test_two_tars_in_one_file_are_refused(tmp_path, kind):
    one, two = (pack(tmp_path / f"{name}.tar", {f"{name}.txt": b"x"}).read_bytes() for name in ("one", "two"))
    (tmp_path / kind).write_bytes(TARS[kind](one) + TARS[kind](two))
    with pytest.raises(InputError, match=rf"{kind}: no tar.*something follows its end, perhaps another archive"):
        everything(tmp_path / kind)


def test_a_tar_whose_last_member_is_a_zip_is_a_tar(tmp_path):
    inner = pack(tmp_path / "inner.zip", {"inside.txt": b"x"}).read_bytes()
    path = pack(tmp_path / "raw.tar", {"a.txt": b"a", "inner.zip": inner})
    assert zipfile.is_zipfile(path) and everything(path) == {"a.txt": b"a", "inner.zip": inner}


@pytest.mark.parametrize("kind", ["raw.zip", "raw.bz2.zip", "raw.xz.zip"])
def test_of_a_zips_member_no_more_is_inflated_than_it_declares(tmp_path, kind):
    path = pack(tmp_path / kind, {"zeros": bytes(2**24)})
    path.write_bytes(path.read_bytes().replace(struct.pack("<L", 2**24), struct.pack("<L", 100)))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=rf"{kind}: no tar.*zeros does not hold the 100 bytes that it declares"):
            everything(path)
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


def test_a_zip_with_a_name_that_is_no_utf8_is_named(tmp_path):
    path = pack(tmp_path / "raw.zip", {"früh.txt": b"x"})
    path.write_bytes(path.read_bytes().replace("ü".encode(), b"\xfc\xfc"))
    with pytest.raises(InputError, match=r"raw.zip: no tar, tgz or zip that can be read to its end \('utf-8' codec"):
        everything(path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_what_the_system_does_not_read_is_named(tmp_path, monkeypatch, number):
    path = pack(tmp_path / "raw", MEMBERS)

    def refuse(at: object) -> None:
        raise OSError(number, os.strerror(number), str(at))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(InputError, match=rf"er.txt: cannot be read \({os.strerror(number)}\); see to its rights"):
            everything(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        with pytest.raises(InputError, match=rf"raw: cannot be read \({os.strerror(number)}\)"):
            everything(path)


def test_a_full_disk_is_no_damage(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = pack(tmp_path / "raw.tgz", MEMBERS)
    monkeypatch.setattr(source.Inflated, "stream", full)
    with inflated_once(tmp_path / "folder"), pytest.raises(OSError, match="No space left"):
        everything(path)


@pytest.mark.parametrize("data", [b"", b"just some text", b"\x1f\x8b but no gzip"])
def test_what_is_no_archive_is_refused(tmp_path, data):
    (tmp_path / "raw.tgz").write_bytes(data)
    with pytest.raises(InputError, match=r"no tar, tgz or zip"):
        everything(tmp_path / "raw.tgz")


def test_missing_raw_data_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.tgz: there is no such file"):
        everything(tmp_path / "nowhere.tgz")


def test_located_notices_what_changed_since_the_check(tmp_path):
    path = pack(tmp_path / "raw.tar", MEMBERS)
    sources = tmp_path / "sources.json"
    write_json(sources, {"files": {"images": {"path": str(path), "bytes": path.stat().st_size}}})
    assert located(sources) == {"images": path}
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(InputError, match=r"raw.tar: has changed since"):
        located(sources)
    path.unlink()
    with pytest.raises(InputError, match=r"raw.tar: it was here"):
        located(sources)


def test_while_kept_a_tar_is_inflated_once(tmp_path, monkeypatch):
    path, opened = pack(tmp_path / "raw.tgz", MEMBERS), []
    magic, opener = next(iter(source.COMPRESSED.items()))
    monkeypatch.setitem(source.COMPRESSED, magic, lambda *how: opened.append(how) or opener(*how))
    with inflated_once(tmp_path / "folder"):
        pairs = [(one.read(), two.read()) for one, two in zip(members(path), members(path), strict=True)]
        assert len(opened) == 1 and not list((tmp_path / "folder").iterdir())  # the copy has no name
    assert pairs == [(data, data) for data in MEMBERS.values()]
    with inflated_once(tmp_path / "folder"):
        everything(path)
    assert len(opened) == 2
