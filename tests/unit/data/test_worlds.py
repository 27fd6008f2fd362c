"""The embedded worlds: what is drawn and how it is packed."""

import hashlib
import json
import tarfile
import zipfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from memgan.data.worlds import birdworld, sceneworld
from memgan.data.worlds.bird_drawing import draw_bird, scenery
from memgan.data.worlds.scene_drawing import draw_scene
from memgan.data.worlds.scene_drawing import scenery as scene_scenery
from memgan.data.worlds.species import FIXED, NAMES, TEST, TRAIN, species
from memgan.params.data import World

WORLDS = (birdworld, sceneworld)


def world(module, train=24, test=12, pose=0.2) -> World:
    name = module.__name__.rpartition(".")[2]
    return World(name=name, train_images=train, test_images=test, side=32, pose=pose)


def digests(paths) -> dict[str, str]:
    return {role: hashlib.sha256(path.read_bytes()).hexdigest() for role, path in paths.items()}


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    return birdworld.write(tmp_path_factory.mktemp("birds"), world(birdworld, 120, 40), seed=3)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return sceneworld.write(tmp_path_factory.mktemp("scenes"), world(sceneworld), seed=3)


# what is drawn


@pytest.mark.parametrize("module", WORLDS)
def test_drawing_depends_on_nothing_but_its_generator(module):
    attributes = module.random_attributes(np.random.default_rng(0))
    one, two, other = (module.draw(attributes, np.random.default_rng(seed), 48, 0.25)[0] for seed in (5, 5, 6))
    assert one.size == (48, 48)
    assert one.mode == "RGB"
    assert one.tobytes() == two.tobytes() != other.tobytes()


def changed(image: Image.Image, empty: Image.Image) -> tuple[float, float, float, float]:
    """The box of all pixels in which two pictures differ visibly."""
    rows, columns = np.nonzero(np.abs(np.asarray(image, dtype=int) - np.asarray(empty, dtype=int)).max(axis=2) > 6)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def assert_tight(box, image, empty) -> None:
    x, y, w, h = box
    assert x >= 0
    assert y >= 0
    assert x + w <= image.width
    assert y + h <= image.height
    np.testing.assert_allclose((x, y, x + w, y + h), changed(image, empty), atol=1.3)


@pytest.mark.parametrize("pose", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("seed", range(8))
def test_birds_box_is_tight(seed, pose):
    attributes = birdworld.random_attributes(np.random.default_rng(seed))
    image, box = draw_bird(attributes, np.random.default_rng(seed), 96, pose)
    assert_tight(box, image, scenery(attributes["background"], np.random.default_rng(seed), 96).finish())


@pytest.mark.parametrize("pose", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("category", sceneworld.CATEGORIES)
def test_things_box_is_tight(category, pose):
    image, boxes = draw_scene("snow", {category: "red"}, np.random.default_rng(1), 96, pose)
    assert_tight(boxes[category], image, scene_scenery("snow", np.random.default_rng(1), 96).finish())


def test_things_of_a_scene_stand_apart():
    """No thing hides another: at the default pose boxes overlap by less than a tenth of the smaller one."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        boxes = list(sceneworld.draw(sceneworld.random_attributes(rng), rng, 96, 0.25)[1].values())
        for i, (x, y, w, h) in enumerate(boxes):
            for x2, y2, w2, h2 in boxes[:i]:
                overlap = max(0, min(x + w, x2 + w2) - max(x, x2)) * max(0, min(y + h, y2 + h2) - max(y, y2))
                assert overlap < 0.1 * min(w * h, w2 * h2)


@pytest.mark.parametrize("module", WORLDS)
def test_every_attribute_is_visible(module):
    """Whatever value changes, more than a few pixels of the picture change with it."""
    rng = np.random.default_rng(2)
    base = {"birdworld": lambda: module.random_attributes(rng), "sceneworld": lambda: dict.fromkeys(module.ATTRIBUTES, "absent")}
    for attribute, values in module.ATTRIBUTES.items():
        attributes = base[module.__name__.rpartition(".")[2]]()
        if module is sceneworld:
            attributes |= {"ball" if attribute != "ball" else "car": "red", "background": "meadow"}
        pictures = []
        for value in values:
            image, _ = module.draw(attributes | {attribute: value}, np.random.default_rng(0), 32, 0.0)
            pictures.append(np.asarray(image, dtype=int))
        for i, one in enumerate(pictures):
            for two in pictures[:i]:
                assert (np.abs(one - two).max(axis=2) > 40).sum() >= 4, attribute


def test_a_mirrored_heading_needs_a_free_pose():
    """Below half, pose never mirrors: a bird's beak is on the right, so its box leaves the tail where it was."""
    attributes = species()[0] | {"background": "lake"}
    images = [np.asarray(birdworld.draw(attributes, np.random.default_rng(s), 32, 1.0)[0], dtype=float) for s in range(30)]
    plain = [np.asarray(birdworld.draw(attributes, np.random.default_rng(s), 32, 0.3)[0], dtype=float) for s in range(30)]
    still = np.asarray(birdworld.draw(attributes, np.random.default_rng(0), 32, 0.0)[0], dtype=float)

    def mirrored(image):
        return np.abs(image - still[:, ::-1]).mean() < np.abs(image - still).mean()

    assert sum(map(mirrored, plain)) == 0
    assert sum(map(mirrored, images)) >= 3


def test_a_scene_of_nothing_is_refused():
    with pytest.raises(ValueError, match="one to three things"):
        sceneworld.draw(dict.fromkeys(sceneworld.CATEGORIES, "absent") | {"background": "snow"}, np.random.default_rng(0), 32, 0.0)


# species


def test_species_differ_and_are_fixed():
    kinds = species()
    assert len(NAMES) == len(set(NAMES)) == len(kinds) == 40
    assert (len(TRAIN), len(TEST)) == (30, 10)
    assert set(TRAIN).isdisjoint(TEST)
    for i, one in enumerate(kinds):
        assert set(one) == set(FIXED)
        assert one["primary_color"] not in (one["crown_color"], one["breast_color"], one["wing_color"])
        for two in kinds[:i]:
            assert sum(one[attribute] != two[attribute] for attribute in FIXED) >= 6


def test_training_species_show_every_value():
    """What a test species combines was seen in training, each value by several species."""
    for attribute in FIXED:
        counts = Counter(species()[i][attribute] for i in TRAIN)
        assert min(counts[value] for value in birdworld.ATTRIBUTES[attribute]) >= 3, attribute


# archives


@pytest.mark.parametrize("module", WORLDS)
def test_same_seed_same_bytes(module, tmp_path):
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for folder in folders:
        folder.mkdir()
    one, two = (digests(module.write(folder, world(module), seed=1)) for folder in folders[:2])
    other = digests(module.write(folders[2], world(module), seed=2))
    assert one == two
    assert all(one[role] != other[role] for role in one)


def lines_of(archive: tarfile.TarFile, name: str) -> list[list[str]]:
    return [line.split(maxsplit=1) for line in archive.extractfile(f"CUB_200_2011/{name}").read().decode().splitlines()]


def test_birdworld_is_laid_out_like_cub(birds):
    with tarfile.open(birds["images"]) as archive:
        assert archive.getnames()[-1] == "CUB_200_2011/train_test_split.txt"
        images, labels = lines_of(archive, "images.txt"), dict(lines_of(archive, "image_class_labels.txt"))
        classes, split = dict(lines_of(archive, "classes.txt")), dict(lines_of(archive, "train_test_split.txt"))
        boxes = lines_of(archive, "bounding_boxes.txt")
        for _, name in images:
            with Image.open(archive.extractfile(f"CUB_200_2011/images/{name}")) as image:
                assert (image.format, image.size) == ("JPEG", (32, 32))
    assert [number for number, _ in images] == [str(i) for i in range(1, 161)]
    assert len(classes) == 40
    assert classes["1"] == "001.Amber_Tumblewick"
    assert Counter(split.values()) == {"1": 120, "0": 40}
    assert all(name.startswith(classes[labels[number]] + "/") for number, name in images)
    sides = {side: {labels[number] for number in split if split[number] == side} for side in "01"}
    assert (len(sides["1"]), len(sides["0"])) == (30, 10)
    assert sides["0"].isdisjoint(sides["1"])
    for _, box in boxes:
        x, y, w, h = map(float, box.split())
        assert min(x, y, w, h) >= 0
        assert max(x + w, y + h) <= 32.1


def test_birdworlds_attributes_and_captions_are_true(birds):
    with tarfile.open(birds["images"]) as archive:
        names = dict(lines_of(archive, "attributes/attributes.txt"))
        rows = archive.extractfile("CUB_200_2011/attributes/image_attribute_labels.txt").read().decode().splitlines()
        images = lines_of(archive, "images.txt")
    assert names["1"] == "has_primary_color::red"
    truth = {}
    for row in rows:
        image, attribute, present, certainty, seconds = row.split()
        assert (certainty, seconds) == ("4", "0.0")
        if present == "1":
            name, _, value = names[attribute].removeprefix("has_").partition("::")
            assert name not in truth.setdefault(image, {})
            truth[image][name] = value
    assert len(rows) == 160 * len(names)
    with tarfile.open(birds["captions"]) as archive:
        for number, name in images:
            lines = archive.extractfile(f"text_c10/{name.removesuffix('.jpg')}.txt").read().decode().splitlines()
            assert len(lines) == 10
            assert truth[number].keys() == birdworld.ATTRIBUTES.keys()
            for line in lines:
                assert all(truth[number][a] in values for a, values in birdworld.read_caption(line).items())


def test_images_do_not_depend_on_how_many_are_made(birds, tmp_path):
    few = birdworld.write(tmp_path, world(birdworld, 30, 10), seed=3)

    def pictures(path):
        with tarfile.open(path) as archive:
            found = {}
            for member in archive.getmembers():
                if member.name.endswith(".jpg"):
                    found[member.name.rpartition("_")[0]] = archive.extractfile(member).read()
            return found

    many = pictures(birds["images"])
    assert len(pictures(few["images"])) == 40
    assert all(many[name] == data for name, data in pictures(few["images"]).items())


def test_sceneworld_is_laid_out_like_coco(scenes):
    with zipfile.ZipFile(scenes["annotations"]) as archive:
        tables = {name.removeprefix("annotations/"): json.loads(archive.read(name)) for name in archive.namelist()}
    assert sorted(tables) == [f"{kind}_{split}2014.json" for kind in ("captions", "instances") for split in ("train", "val")]
    seen = set()
    for split, role, count in (("train", "train_images", 24), ("val", "test_images", 12)):
        captions, instances = tables[f"captions_{split}2014.json"], tables[f"instances_{split}2014.json"]
        categories = {row["id"]: row["name"] for row in instances["categories"]}
        assert list(categories.values()) == list(sceneworld.CATEGORIES)
        images = {row["id"]: row for row in instances["images"]}
        assert len(images) == count
        assert seen.isdisjoint(images)
        seen.update(images)
        assert Counter(row["image_id"] for row in captions["annotations"]) == dict.fromkeys(images, 5)
        with zipfile.ZipFile(scenes[role]) as archive:
            assert archive.namelist() == [f"{split}2014/COCO_{split}2014_{number:012d}.jpg" for number in images]
        for row in captions["annotations"]:
            truth = images[row["image_id"]]["attributes"]
            assert all(truth[a] in values for a, values in sceneworld.read_caption(row["caption"]).items())
        found = {number: dict.fromkeys(sceneworld.CATEGORIES, "absent") for number in images}
        for row in instances["annotations"]:
            assert row["iscrowd"] == 0
            assert row["area"] == pytest.approx(row["bbox"][2] * row["bbox"][3], abs=0.01)
            found[row["image_id"]][categories[row["category_id"]]] = row["attributes"]["color"]
        for number, things in found.items():
            assert things | {"background": images[number]["attributes"]["background"]} == images[number]["attributes"]
