"""COCO's layout, whole and odd."""

import json

import pytest

from memgan.data.readers import read
from memgan.data.readers.records import Raw, Skips
from memgan.errors import InputError
from memgan.params.data import Source
from tests.rawdata import ARCHIVES, coco_members, pack


def coco(folder, roles, skip=0, **changes) -> Raw:
    files = {role: pack(folder / f"{role}.zip", members) for role, members in roles.items()}
    source = {"layout": "coco", "split": "official", "archives": ARCHIVES} | changes
    return read(files, Source(**source), Skips(skip, "data.own.source.max_skipped"))


def edited(roles, kind, split, change) -> dict[str, dict[str, bytes]]:
    name = f"annotations/{kind}_{split}2014.json"
    table = json.loads(roles["annotations"][name])
    change(table)
    return roles | {"annotations": roles["annotations"] | {name: json.dumps(table).encode()}}


@pytest.mark.parametrize("name", ["extra.jpg", "extra.JFIF", "extra.heic", "extra.avif"])
def test_coco_pictures_that_are_annotated_nowhere_count(tmp_path, name):
    roles = coco_members()
    roles["train_images"][f"train2014/{name}"] = b""
    with pytest.raises(InputError, match=rf"train2014/{name}: is a picture that is annotated nowhere"):
        list(coco(tmp_path, roles).records)
    assert len(list(coco(tmp_path, roles, skip=1).records)) == 8


def test_coco_splits_may_share_a_folder(tmp_path):
    roles = coco_members()
    roles["train_images"] |= roles["test_images"]
    roles["test_images"] = roles["train_images"]
    assert [record.split for record in coco(tmp_path, roles).records] == ["train"] * 4 + ["test"] * 4


def test_coco_refuses_two_pictures_for_one_entry(tmp_path):
    roles = coco_members()
    roles["train_images"]["copy/COCO_train2014_000000000100.jpg"] = b""
    with pytest.raises(
        InputError, match=r"train2014/COCO_.*100.jpg and copy/COCO_.*100.jpg both pass for COCO_.*100.jpg; keep one"
    ):
        list(coco(tmp_path, roles).records)


def test_coco_layout(tmp_path):
    roles = coco_members()
    raw = coco(tmp_path, roles)
    records = list(raw.records)
    assert raw.categories == ["person", "dog"] and raw.classes == []
    assert [(r.id, r.split) for r in records] == [(str(i), "train") for i in range(100, 104)] + [
        (str(i), "test") for i in range(200, 204)
    ]
    even, odd, crowd = records[0], records[1], records[3]
    assert even.captions == tuple(f"caption {j} of 100" for j in (5, 6, 7, 8, 9))  # in the order of their ids
    assert [(o.category, o.box) for o in even.objects] == [(1, (12, 9, 24, 18))] and even.categories == (1,)
    assert odd.categories == (0, 1) and len(odd.objects) == 2
    assert crowd.categories == (0, 1) and [o.category for o in crowd.objects] == [1]
    assert even.size == (48, 36) and even.label is None
    assert even.image == roles["train_images"]["train2014/COCO_train2014_000000000100.jpg"]


def test_coco_attributes_are_read_for_worlds_alone(tmp_path):
    def add(table):
        table["images"][0]["attributes"] = {"dog": "red"}
        table["annotations"][0]["attributes"] = {"color": "red"}

    roles = edited(coco_members(), "instances", "train", add)
    world = {"name": "sceneworld", "train_images": 4, "test_images": 4, "side": 30, "pose": 0}
    first = next(coco(tmp_path, roles, archives={}, world=world).records)
    assert first.attributes == {"dog": "red"} and first.objects[0].attributes == {"color": "red"}
    first = next(coco(tmp_path, roles).records)
    assert first.attributes == {} and first.objects[0].attributes == {}


def test_coco_annotations_of_unknown_images_count(tmp_path):
    roles = edited(
        coco_members(), "captions", "val", lambda t: t["annotations"].append({"id": 5, "image_id": 999, "caption": "lost"})
    )
    with pytest.raises(InputError, match=r"annotation 5: is of image 999, which is not listed"):
        list(coco(tmp_path, roles).records)
    assert len(list(coco(tmp_path, roles, skip=1).records)) == 8


def test_coco_pictures_that_are_missing_count(tmp_path):
    roles = coco_members()
    del roles["test_images"]["val2014/COCO_val2014_000000000201.jpg"]
    with pytest.raises(InputError, match=r"COCO_val2014_000000000201.jpg: is annotated but not there"):
        list(coco(tmp_path, roles).records)


def test_coco_files_of_another_shape_are_named(tmp_path):
    roles = coco_members()
    with pytest.raises(InputError, match=r"instances_train2014.json has no `images`"):
        coco(tmp_path, edited(roles, "instances", "train", lambda t: t.pop("images")))
    with pytest.raises(InputError, match=r"COCO_train2014_000000000101.jpg is the file of two images"):
        name = "COCO_train2014_000000000101.jpg"
        list(coco(tmp_path, edited(roles, "instances", "train", lambda t: t["images"][0].update(file_name=name))).records)
    del roles["annotations"]["annotations/captions_val2014.json"]
    with pytest.raises(InputError, match=r"holds no captions_val\*.json"):
        coco(tmp_path, roles)
    roles["annotations"]["annotations/captions_val2014.json"] = b"{broken"
    with pytest.raises(InputError, match=r"captions_val2014.json is not JSON"):
        coco(tmp_path, roles)


BOX = r"has no box of four numbers as `bbox`"


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("instances", {"category_id": 44}, "is of category 44, which is not listed"),
        ("instances", {"category_id": None}, "is of category None, which is not listed"),
        ("instances", {"category_id": [18]}, r"is of category \[18\], which is not listed"),
        ("instances", {"bbox": [1, 2, 3]}, BOX),
        ("instances", {"bbox": "none"}, BOX),
        ("instances", {"bbox": None}, BOX),
        ("instances", {"bbox": [1, 2, 3, "wide"]}, BOX),
        ("instances", {"bbox": [1, 2, 3, 10**400]}, BOX),
        ("instances", {"image_id": None}, "is of image None, which is not listed"),
        ("captions", {"caption": 5}, "has no text as `caption`"),
        ("captions", {"caption": None}, "has no text as `caption`"),
        ("captions", {"id": "first"}, "has no whole number as `id`"),
    ],
)
def test_coco_annotations_of_another_shape_count(tmp_path, kind, change, message):
    roles = edited(coco_members(), kind, "train", lambda table: table["annotations"][0].update(change))
    with pytest.raises(InputError, match=rf"{kind}_train2014.json: annotation \w+: {message}; mend it, or raise"):
        list(coco(tmp_path, roles).records)
    first = next(coco(tmp_path, roles, skip=1).records)
    assert (len(first.objects), len(first.captions)) == ((0, 5) if kind == "instances" else (1, 4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table["images"][0].pop("file_name"), "image 100 has no text as `file_name`"),
        (lambda table: table["images"][0].pop("id"), "image 'COCO_train2014_000000000100.jpg' has no number as `id`"),
        (lambda table: table["images"][0].update(width="wide"), "image 100 has no whole number as `width`"),
        (lambda table: table["images"][0].pop("height"), "image 100 has no whole number as `height`"),
        (lambda table: table["categories"][0].pop("name"), "category 18 has no `id` or no `name`"),
        (lambda table: table["categories"].append({"id": 18, "name": "cat"}), "category 18 is 'cat' here and 'dog' elsewhere"),
        (
            lambda table: table["categories"].append({"id": "x", "name": "cat"}),
            "some ids of categories are numbers and some are texts",
        ),
        (lambda table: table.update(images={}), "its `images` is no list of entries"),
        (lambda table: table.update(annotations=[1]), "its `annotations` is no list of entries"),
    ],
)
def test_coco_tables_of_another_shape_are_named(tmp_path, change, message):
    roles = edited(coco_members(), "instances", "train", change)
    with pytest.raises(InputError, match=rf"annotations.zip: annotations/instances_train2014.json:? {message}"):
        list(coco(tmp_path, roles).records)


@pytest.mark.parametrize("data", [b"[]", b"5", b'"images"', b"null"])
def test_coco_json_that_is_no_table_is_named(tmp_path, data):
    roles = coco_members()
    roles["annotations"]["annotations/instances_train2014.json"] = data
    with pytest.raises(InputError, match=r"instances_train2014.json has no `images`; it must have COCO's layout"):
        coco(tmp_path, roles)


def test_coco_json_nested_without_end_ends_in_one_line(tmp_path):
    roles = coco_members()
    roles["annotations"]["annotations/instances_train2014.json"] = b"[" * 10**6
    with pytest.raises(InputError, match=r"instances_train2014.json is nested too deeply"):
        coco(tmp_path, roles)


def test_coco_with_a_byte_that_is_no_utf8_is_read_and_said(tmp_path, lines):
    """An é of Windows in one caption; the others keep their own letters."""
    roles = coco_members()
    name = "annotations/captions_train2014.json"
    table = roles["annotations"][name]
    table = table.replace(b"caption 5 of 100", "caf\u00e9 5 of 100".encode("cp1252")).replace(b"caption 6 of 100", "été".encode())
    roles["annotations"][name] = table
    first = next(coco(tmp_path, roles).records)
    assert first.captions[:2] == ("café 5 of 100", "été")
    assert (
        f"1 text files are not Unicode throughout; what is not was read as Windows' Latin letters or dropped, {name} first"
        in lines[0]
    )
