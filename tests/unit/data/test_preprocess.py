import io
import json
import logging
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset

from memgan import steps
from memgan.data import preprocess, writer
from memgan.data.images import decode
from memgan.data.shards import ImageFolder
from memgan.errors import InputError
from tests.rawdata import coco_members, cub_members, encoded, pack, picture, write_params, write_sources

CUB = {"layout": "cub", "split": "official", "archives": {"images": {"path": "images.tgz"}, "captions": {"path": "captions.tgz"}}}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    steps.log.handlers.clear()


def cub(images=None, captions=None, source=None, **geometry) -> Path:
    """Packs a data set in CUB's layout and names it in params.yaml; returns its sources.json."""
    standard = cub_members()
    files = {
        "images": pack(Path("images.tgz"), standard[0] | (images or {})),
        "captions": pack(Path("captions.tgz"), standard[1] | (captions or {})),
    }
    write_params(Path(), CUB | (source or {}), {"size": 16, "short_side": 20} | geometry)
    return write_sources(Path("sources.json"), "cub", files)


def made(sources: Path, out: str = "images") -> Path:
    preprocess.main("own", sources, Path(out))
    return Path(out)


def test_index_says_what_the_readers_know():
    folder = made(cub())
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    assert list(index) == ["train", "test", "classes", "categories", "manifest"]
    assert index["classes"] == ["001.Red_bird", "002.Blue_bird", "003.Test_bird"]
    assert [row["id"][-4:] for row in index["train"]] == ["0000", "0001", "0003", "0004"]
    row = index["test"][1]
    assert {
        key: row[key] for key in ("key", "id", "captions", "label", "categories", "attributes", "objects", "size", "shard")
    } == {
        "key": "003_Test_bird_bird_no_0005",
        "id": "003.Test_bird/bird.no_0005",
        "captions": ["this is bird 5", "a second line on 5"],
        "label": 2,
        "categories": [],
        "attributes": {},
        "objects": [],
        "size": [30, 20],
        "shard": "test-00000.tar",
    }
    manifest = index["manifest"]
    assert manifest["params"]["images"]["short_side"] == 20 and manifest["params"]["source"]["layout"] == "cub"
    assert manifest["step"] == "memgan.data.preprocess" and set(manifest["inputs"]) == {"sources"}


def test_pictures_are_found_again_and_look_the_same():
    folder = ImageFolder(made(cub()), "train")
    raw = cub_members()[0]
    assert len(folder) == 4
    for row, entry in enumerate(folder.rows):
        original = decode(raw[f"CUB_200_2011/images/{entry['id']}.jpg"])
        shrunk = np.asarray(original.resize(tuple(entry["size"]), 1))
        assert folder.image(row).shape == (20, entry["size"][0], 3) and folder.image(row).dtype == np.uint8
        assert np.abs(folder.image(row).astype(int) - shrunk).mean() < 4


def test_box_crop_is_applied():
    folder = ImageFolder(made(cub(box_crop=0.75)), "train")
    # the box is 5, 4, 20 x 12: half side 15 around (15, 10), clipped at the top: 30 x 25 px
    assert {tuple(row["size"]) for row in folder.rows} == {(24, 20)}


def test_shards_are_webdataset_and_hold_what_the_index_says(monkeypatch):
    monkeypatch.setattr(writer, "PER_SHARD", 3)
    folder = made(cub())
    assert sorted(p.name for p in folder.iterdir()) == ["index.json", "test-00000.tar", "train-00000.tar", "train-00001.tar"]
    images = ImageFolder(folder, "train")
    assert [row["shard"] for row in images.rows] == ["train-00000.tar"] * 3 + ["train-00001.tar"]
    urls = [str(folder / f"train-0000{i}.tar") for i in range(2)]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [row["key"] for row in images.rows]
    for row, sample in enumerate(samples):
        assert images.encoded(row) == sample["png"] and np.array_equal(images.image(row), np.asarray(decode(sample["png"])))
    with tarfile.open(urls[0]) as tar:
        assert {(m.mtime, m.uname, m.gname, m.uid) for m in tar} == {(0, "", "", 0)}


def test_the_same_input_gives_the_same_bytes():
    sources = cub()
    one, two = made(sources, "one"), made(sources, "two")
    assert {p.name: p.read_bytes() for p in one.iterdir()} == {p.name: p.read_bytes() for p in two.iterdir()}
    assert made(sources, "one") == one and sorted(p.name for p in Path().iterdir() if p.name.startswith(".")) == []


def test_jpg_is_another_form_of_the_same():
    png = ImageFolder(made(cub(), "png"), "test")
    jpg = ImageFolder(made(cub(format="jpg"), "jpg"), "test")
    assert jpg.encoded(0)[:2] == b"\xff\xd8" and np.abs(jpg.image(0).astype(int) - png.image(0)).mean() < 4


def test_centre_crops():
    folder = ImageFolder(made(cub()), "test")
    width = folder.rows[1]["size"][0]
    left = (width - 16) // 2
    assert np.array_equal(folder.centre(1, 16), folder.image(1)[2:18, left : left + 16])
    with pytest.raises(InputError, match="images are below 32 px"):
        folder.centre(1, 32)


def coco(geometry, change=lambda roles: None) -> Path:
    roles = coco_members()
    change(roles)
    files = {role: pack(Path(f"{role}.zip"), members) for role, members in roles.items()}
    archives = {role: {"path": str(path)} for role, path in files.items()}
    write_params(Path(), {"layout": "coco", "split": "official", "archives": archives}, geometry)
    return write_sources(Path("sources.json"), "coco", files)


def test_objects_have_boxes_of_the_preprocessed_image():
    folder = ImageFolder(made(coco({"size": 16, "short_side": 18})), "train")
    assert folder.categories == ["person", "dog"] and folder.rows[0]["size"] == [24, 18]
    assert folder.rows[0]["objects"] == [{"category": 1, "box": [0.25, 0.25, 0.5, 0.5], "attributes": {}}]
    assert folder.rows[1]["categories"] == [0, 1] and folder.rows[1]["label"] is None


@pytest.mark.parametrize("box", [[100, 5, 10, 10], [5, 5, 0, 10], [-20, 0, 10, 10]])
def test_boxes_without_area_in_the_picture_are_counted(box):
    def spoil(roles):
        table = json.loads(roles["annotations"]["annotations/instances_train2014.json"])
        table["annotations"][0]["bbox"] = box
        roles["annotations"]["annotations/instances_train2014.json"] = json.dumps(table).encode()

    with pytest.raises(InputError, match=r"000000000100.jpg: the box .* has no area inside the picture"):
        made(coco({}, spoil))


def test_pictures_of_another_size_than_annotated_are_counted():
    def spoil(roles):
        roles["train_images"]["train2014/COCO_train2014_000000000101.jpg"] = encoded(picture(1, 36, 48), "JPEG")

    with pytest.raises(InputError, match=r"000000000101.jpg: is 36 x 48 px but annotated as 48 x 36"):
        made(coco({}, spoil))


def test_a_coco_picture_without_captions_names_their_file():
    def spoil(roles):
        table = json.loads(roles["annotations"]["annotations/captions_val2014.json"])
        table["annotations"] = [row for row in table["annotations"] if row["image_id"] != 201]
        roles["annotations"]["annotations/captions_val2014.json"] = json.dumps(table).encode()

    said = r"000000000201.jpg: has no caption in annotations.zip: annotations/captions_val2014.json; mend it"
    with pytest.raises(InputError, match=said):
        made(coco({}, spoil))


def test_a_picture_of_a_folder_without_captions_names_their_file():
    members = {f"p/{i}.png": encoded(picture(i)) for i in range(4)} | {f"p/{i}.txt": b"a bird" for i in range(3)}
    own = {"layout": "folder", "split": "fraction", "test_fraction": 0.4, "archives": {"images": {"path": "raw.zip"}}}
    write_params(Path(), own, {"size": 16, "short_side": 20})
    with pytest.raises(InputError, match=r"^raw.zip: p/3.png: has no caption in raw.zip: p/3.txt; mend it"):
        made(write_sources(Path("sources.json"), "folder", {"images": pack(Path("raw.zip"), members)}))


def test_keys_stay_apart_and_short():
    shards = writer.Shards(Path(), "train", "png")
    names = ["a.b/c", "a_b/c", "a b c", "ü" * 300, "x" * 300, "y" * 300 + "x" * 300]
    keys = [shards._key(name) for name in names]
    assert keys[:3] == ["a_b_c", "a_b_c-2", "a_b_c-3"] and len(set(keys)) == len(names)
    assert all(len(key) < 95 and "." not in key and "/" not in key for key in keys)


BOXES = b"".join(b"%d %s\n" % (i, b"300 300 9 9" if i == 4 else b"5 5 9 9") for i in range(1, 7))
BAD = {
    "does not decode": {"images": {"CUB_200_2011/images/001.Red_bird/bird.no_0003.jpg": b"no picture"}},
    "has no caption in captions.tgz: 001.Red_bird/bird.no_0003.txt": {
        "captions": {"text_c10/001.Red_bird/bird.no_0003.txt": b"\n  \n"}
    },
    "has a box without area": {"images": {"CUB_200_2011/bounding_boxes.txt": BOXES}},
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_picture_is_one_line_and_leaves_nothing(reason, monkeypatch, capsys):
    sources = cub(**BAD[reason], box_crop=0.75)
    assert run(monkeypatch, sources) == 1
    out = capsys.readouterr()
    assert out.out == "" and len(out.err.splitlines()) == 1
    assert "bird.no_0003.jpg: " + reason in out.err and "`data.own.source.max_skipped` (it is 0)" in out.err
    assert not Path("made").exists() and not list(Path().glob(".*"))


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_picture_can_be_left_out_aloud(reason, monkeypatch, capsys):
    sources = cub(**BAD[reason], source={"max_skipped": 1}, box_crop=0.75)
    assert run(monkeypatch, sources, "--log", "step.log") == 0
    assert [row["id"][-4:] for row in ImageFolder(Path("made"), "train").rows] == ["0000", "0001", "0004"]
    text = Path("step.log").read_text()
    assert f"bird.no_0003.jpg: {reason}" in text and "3 train, 2 test images, 1 left out" in text


def test_an_empty_split_is_an_error():
    flags = {"CUB_200_2011/train_test_split.txt": "".join(f"{i} 1\n" for i in range(1, 7)).encode()}
    with pytest.raises(InputError, match="no test images"):
        made(cub(flags))


def test_an_unknown_data_set_is_one_line(monkeypatch, capsys):
    sources = cub()
    assert run(monkeypatch, sources, dataset="owls") == 1
    assert capsys.readouterr().err == "error: params.yaml: there is no data set `owls` under `data`; known: own\n"


def run(monkeypatch, sources: Path, *more: str, dataset: str = "own") -> int:
    """The step's command line, its exit code returned."""
    arguments = ["--dataset", dataset, "--sources", str(sources), "--out", "made", *more]
    monkeypatch.setattr(sys, "argv", ["preprocess", *arguments])
    with pytest.raises(SystemExit) as end:
        steps.run(preprocess.main)
    logging.shutdown()
    return int(end.value.code or 0)


def test_names_and_captions_that_utf8_cannot_write(monkeypatch):
    """A file name in Windows' letters, as tars from there hold them; half a pair in a caption."""
    raw = pack(Path("raw.tar"), {f"p/{i}.png": encoded(picture(i)) for i in range(4)} | {f"p/{i}.txt": b"a bird" for i in range(4)})
    with tarfile.open(raw, "a", encoding="cp1252") as archive:
        for name, data in {"p/été.png": encoded(picture(9)), "p/été.txt": "un été".encode("cp1252")}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    own = {"layout": "folder", "split": "fraction", "test_fraction": 0.4, "archives": {"images": {"path": "raw.tar"}}}
    write_params(Path(), own, {"size": 16, "short_side": 20})
    assert run(monkeypatch, write_sources(Path("sources.json"), "folder", {"images": raw}), "--log", "step.log") == 0
    rows = [row for split in ("train", "test") for row in ImageFolder(Path("made"), split).rows]
    assert {row["id"]: row["captions"] for row in rows}["p/été"] == ["un été"]
    assert "1 text files are not Unicode throughout" in Path("step.log").read_text(encoding="utf-8")


def test_half_a_pair_in_coco_is_written(monkeypatch):
    def change(roles):
        name = "annotations/captions_train2014.json"
        roles["annotations"][name] = roles["annotations"][name].replace(b"caption 5 of 100", b"half \\ud83d a pair")

    assert run(monkeypatch, coco({"size": 16, "short_side": 20}, change)) == 0
    assert ImageFolder(Path("made"), "train").rows[0]["captions"][0] == "half \ufffd a pair"


def test_damaged_folders_are_named():
    folder = made(cub())
    with pytest.raises(InputError, match=r"nowhere/index.json: there is no such file"):
        len(ImageFolder(Path("nowhere"), "train"))
    shard = folder / "train-00000.tar"
    data = shard.read_bytes()
    shard.write_bytes(data[:600])
    with pytest.raises(InputError, match=r"train-00000.tar: shorter than index.json says"):
        ImageFolder(folder, "train").image(3)
    shard.write_bytes(bytes(len(data)))
    with pytest.raises(InputError, match=r"train-00000.tar: image 001_Red_bird_bird_no_0000 is damaged"):
        ImageFolder(folder, "train").image(0)
    shard.unlink()
    with pytest.raises(InputError, match=r"train-00000.tar: missing"):
        ImageFolder(folder, "train").image(0)
    with pytest.raises(ValueError, match="split"):
        ImageFolder(folder, "validation")
