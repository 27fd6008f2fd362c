"""Scenes of cut-out objects: cutting, captions, COCO's layout."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from memgan.data import compose, download, preprocess
from memgan.data.cutouts import cut_out
from memgan.data.images import UnusableError
from memgan.data.scene_texts import Thing, captions, category_of, colour_of, counted, phrase
from memgan.data.shards import ImageFolder
from memgan.data.source import members
from memgan.errors import InputError
from tests.rawdata import encoded, pack, write_params

KINDS = ["001.Birds", "002.Fish", "003.Fruit"]
SIDE = 120


def picture(seed: int) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """An ellipse with an eye of the backdrop's colour, on a backdrop that runs from blue to green with some noise; its box."""
    rng = np.random.default_rng(seed)
    share = np.linspace(0, 1, SIDE)[:, None, None]
    pixels = (1 - share) * np.array([60, 90, 200]) + share * np.array([80, 190, 90]) + rng.normal(0, 4, (SIDE, SIDE, 1))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8).repeat(1, axis=2))
    x, y, w, h = int(rng.integers(5, 40)), int(rng.integers(5, 40)), 60, 44
    draw = ImageDraw.Draw(image)
    draw.ellipse((x, y, x + w, y + h), fill=(220, 60, 40))
    draw.ellipse((x + 20, y + 15, x + 26, y + 21), fill=image.getpixel((1, y + 18)))
    return image, (x, y, w + 1, h + 1)


def test_the_object_is_cut_out_with_what_it_encloses():
    image, box = picture(1)
    found = cut_out(image, box)
    alpha = np.asarray(found)[..., 3] / 255
    assert abs(found.width - (box[2] + 3)) <= 1 and abs(found.height - (box[3] + 3)) <= 1
    assert alpha.mean() == pytest.approx(np.pi / 4, abs=0.06)  # of an ellipse in its box
    assert alpha[19, 24] == 1 and alpha[0, 0] == alpha[-1, -1] == 0
    assert tuple(np.asarray(found)[30, 40, :3]) == pytest.approx((220, 60, 40), abs=2)


def test_what_does_not_stand_out_is_refused():
    image, box = picture(1)
    plain = image.crop((0, 0, 4, SIDE)).resize((SIDE, SIDE))
    with pytest.raises(UnusableError, match=r"shows no object that stands out from its backdrop \(it would fill 0% of its box\)"):
        cut_out(plain, box)
    with pytest.raises(UnusableError, match="no backdrop"):
        cut_out(image, (0, 0, SIDE, SIDE))


@pytest.mark.parametrize(
    ("caption", "name"),
    [
        ("A “Granny Smith” apple.", "a granny smith apple"),
        ("Anthurium", "an anthurium"),
        ("Appooppan Thaadi (Indian Milkweed)", "an appooppan thaadi"),
        ("A very poisonous lionfish!", "a very poisonous lionfish"),
        ("...", ""),
    ],
)
def test_names_out_of_captions(caption, name):
    assert phrase(caption) == name


def test_words_of_scenes():
    assert [category_of(name) for name in (*KINDS, "x.Grass", "9.Sea_urchins")] == ["bird", "fish", "fruit", "grass", "sea urchin"]
    crow, hen, pear = Thing("bird", "a crow", 10, 10), Thing("bird", "a hen", 50, 20), Thing("fruit", "a pear", 90, 5)
    assert counted([crow, pear, hen]) == ["two birds", "a fruit"]
    named = {(75, 95, 205): "blue", (190, 60, 110): "pink", (150, 150, 140): "grey", (120, 85, 50): "brown", (200, 40, 40): "red"}
    assert {colour: colour_of(colour) for colour in named} == named
    for things in ([crow], [crow, hen], [crow, hen, pear]):
        lines = captions(things, "orange", np.random.default_rng(2))
        assert len(set(lines)) == compose.CAPTIONS
        assert all(thing.category in line for thing in things for line in lines[:2])
        assert all(thing.name in lines[2] for thing in things)
    side = captions([crow, pear], "red", np.random.default_rng(0))[3]
    assert side in ("a crow to the left of a pear", "a pear to the right of a crow")
    height = captions([crow, pear], "red", np.random.default_rng(0))[4]
    assert height in ("a bird below a fruit", "a fruit above a bird")


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """A folder with a data set of single objects in CUB's layout; the last picture shows nothing."""
    folder = tmp_path_factory.mktemp("raw")
    images, texts, tables = {}, {}, {name: [] for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes")}
    for i in range(13):
        image, box = picture(i)
        image = image if i < 12 else Image.new("RGB", (SIDE, SIDE), "grey")
        name = f"{KINDS[i % 3]}/thing_{i:02d}"
        images[f"C/images/{name}.png"] = encoded(image)
        texts[f"t/{name}.txt"] = f"A thing number {i}.".encode()
        rows = (f"{name}.png", i % 3 + 1, int(i % 4 > 0), " ".join(map(str, box)))
        for table, value in zip(tables, rows, strict=True):
            tables[table].append(f"{i} {value}")
    tables["classes"] = [f"{n} {name}" for n, name in enumerate(KINDS, start=1)]
    images |= {f"C/{name}.txt": "\n".join(lines).encode() for name, lines in tables.items()}
    pack(folder / "images.tgz", images)
    pack(folder / "captions.tgz", texts)
    return folder


@pytest.fixture
def params(raw, tmp_path, monkeypatch):
    """A function that writes params.yaml with the data set `own`, composed of the above."""
    monkeypatch.chdir(tmp_path)

    def write(layout="coco", skipped=1, **scenes) -> None:
        archives = {role: {"path": str(raw / f"{role}.tgz")} for role in ("images", "captions")}
        for archive in archives.values():
            archive["checksum"] = f"sha256:{download.artifacts.sha256(Path(archive['path']))}"
        sizes = {"train_images": 9, "test_images": 4, "side": 64, "objects": 3} | scenes
        source = {"layout": layout, "split": "official", "max_skipped": skipped, "archives": archives, "scenes": sizes}
        write_params(Path(), source, {"size": 32, "short_side": 34})

    return write


def composed(to: str = "one") -> Path:
    compose.main("own", Path(to) / "archives", Path(to) / "sources.json")
    return Path(to)


def test_scenes_are_a_data_set_in_cocos_layout(params):
    params()
    place = composed()
    tables = {member.name: json.loads(member.read()) for member in members(place / "archives/annotations_trainval2014.zip")}
    train = tables["annotations/instances_train2014.json"]
    assert [category["name"] for category in train["categories"]] == ["bird", "fish", "fruit"]
    for annotation in train["annotations"]:
        x, y, w, h = annotation["bbox"]
        assert x >= 0 and y >= 0 and x + w <= 64 and y + h <= 64 and max(w, h) >= 0.3 * 64
    said = {side: json.dumps(tables[f"annotations/captions_{side}2014.json"]) for side in ("train", "val")}
    for i in range(12):  # every fourth is a test picture: no object is on both sides
        assert f"thing number {i} " not in said["train" if i % 4 == 0 else "val"].replace('"', " ")
    preprocess.main("own", place / "sources.json", Path("images"), 1)
    for split, count in (("train", 9), ("test", 4)):
        folder = ImageFolder(Path("images"), split)
        assert len(folder) == count and folder.image(0).shape == (34, 34, 3)
        assert all(len(row["captions"]) == 5 and 1 <= len(row["objects"]) <= 3 for row in folder.rows)
        assert all(set(row["categories"]) == {each["category"] for each in row["objects"]} for row in folder.rows)


def test_scenes_are_the_same_each_time_and_the_first_of_more(params):
    params()
    one, two = composed("one"), composed("two")
    for path in (one / "archives").iterdir():
        assert path.read_bytes() == (two / "archives" / path.name).read_bytes()
    params(train_images=11)
    more = {member.name: member.read() for member in members(composed("three") / "archives/train2014.zip")}
    assert {member.name: member.read() for member in members(one / "archives/train2014.zip")}.items() <= more.items()


def test_faults_are_one_line(params):
    params(skipped=0)
    with pytest.raises(InputError, match=r"thing_12.png: shows no object .*; mend it, or raise `data.own.source.max_skipped`"):
        composed()
    assert not Path("one").exists() or not list(Path("one").iterdir())
    params(layout="cub")
    with pytest.raises(InputError, match=r"`data.own.source.layout` is `cub`; composed scenes have the layout `coco`"):
        composed()
    params()
    with pytest.raises(InputError, match=r"has scenes, which are composed and not downloaded"):
        download.main("own", Path("sources.json"))
