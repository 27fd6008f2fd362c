"""The layouts of CUB and of a plain folder, whole and odd; what all readers share."""

from collections.abc import Iterator

import pytest

from memgan.data.readers import read
from memgan.data.readers.records import Raw, Record, Skips
from memgan.errors import InputError
from memgan.params.data import Source
from tests.rawdata import ARCHIVES, cub_members, encoded, pack, picture

CUB = {"layout": "cub", "split": "official", "archives": ARCHIVES}


def cub(folder, images, captions, kind=".tgz", skip=0, **changes) -> tuple[Raw, Iterator[Record]]:
    files = {"images": pack(folder / f"images{kind}", images), "captions": pack(folder / f"captions{kind}", captions)}
    raw = read(files, Source(**CUB | changes), Skips(skip, "data.own.source.max_skipped"))
    return raw, raw.records


@pytest.mark.parametrize("kind", [".tgz", ".tar", ".zip", ""])
@pytest.mark.parametrize("root", ["CUB_200_2011/", "my/own/", ""])
def test_cub_layout_under_any_root_in_any_archive(tmp_path, kind, root):
    images, captions = cub_members(root=root)
    raw, records = cub(tmp_path, images, captions, kind)
    found = {record.id: record for record in records}
    assert raw.classes == ["001.Red_bird", "002.Blue_bird", "003.Test_bird"] and raw.categories == []
    assert len(found) == 6
    fourth = found["001.Red_bird/bird.no_0003"]
    assert fourth.captions == ("this is bird 3", "a second line on 3")
    assert (fourth.label, fourth.split, fourth.box, fourth.attributes) == (0, "train", (5.0, 4.0, 20.0, 12.0), {})
    assert fourth.image == images[f"{root}images/001.Red_bird/bird.no_0003.jpg"]
    assert {record.split for record in found.values() if record.label == 2} == {"test"}


def test_cub_streams_in_the_order_of_the_archive(tmp_path):
    images, captions = cub_members()
    _, records = cub(tmp_path, dict(reversed(images.items())), captions)
    assert [record.id[-4:] for record in records] == ["0005", "0004", "0003", "0002", "0001", "0000"]


@pytest.mark.parametrize("role", ["split", "captions"])
def test_class_lists_split_by_class(tmp_path, role):
    images, captions = cub_members()
    lists = {"lists/trainvalclasses.txt": b"002.Blue_bird\n003.Test_bird\n", "lists/testclasses.txt": b"001.Red_bird\n\n"}
    files = {"images": pack(tmp_path / "images.tgz", images), "captions": pack(tmp_path / "c.tgz", captions)}
    files[role] = pack(tmp_path / "lists.zip", lists | (captions if role == "captions" else {}))
    records = read(files, Source(**CUB | {"split": "lists"}), Skips(0, "key")).records
    assert {(record.label, record.split) for record in records} == {(0, "test"), (1, "train"), (2, "train")}


def test_class_lists_must_be_there_and_name_every_class(tmp_path):
    images, captions = cub_members()
    with pytest.raises(InputError, match=r"holds no trainvalclasses.txt"):
        cub(tmp_path, images, captions, split="lists")
    captions |= {"trainvalclasses.txt": b"001.Red_bird", "testclasses.txt": b"002.Blue_bird"}
    with pytest.raises(InputError, match=r"names 003.Test_bird, of which another table knows nothing"):
        cub(tmp_path, images, captions, split="lists")


def test_a_class_is_on_one_side_of_the_split(tmp_path):
    images, captions = cub_members()
    captions |= {"trainvalclasses.txt": b"001.Red_bird\n002.Blue_bird\n", "testclasses.txt": b"003.Test_bird\n002.Blue_bird\n"}
    with pytest.raises(InputError, match=r"002.Blue_bird stands in both lists of classes"):
        cub(tmp_path, images, captions, split="lists")


def test_what_is_of_no_use_is_said(tmp_path, lines):
    images, captions = cub_members()
    images["CUB_200_2011/extra.jpg"] = captions["text_c10/extra.txt"] = b""
    assert len(list(cub(tmp_path, images, captions)[1])) == 6
    assert [line.rpartition(": ")[2] for line in lines] == [
        "1 files are captions of no image and were passed over, text_c10/extra.txt first",
        "1 files are pictures outside CUB_200_2011/images/ and were passed over, CUB_200_2011/extra.jpg first",
    ]
    lines.clear()
    list(folder(tmp_path / "raw", plain() | {"holiday/a.mp4": b"", "list.md": b""}).records)
    assert "2 files are neither pictures nor captions and were passed over, holiday/a.mp4 first" in lines[0]


@pytest.mark.parametrize("name", ["extra.jpg", "extra.JFIF", "extra.heic", "extra.avif"])
def test_pictures_that_are_not_listed_count(tmp_path, name):
    images, captions = cub_members()
    images[f"CUB_200_2011/images/001.Red_bird/{name}"] = b""
    with pytest.raises(InputError, match=rf"001.Red_bird/{name}: is not listed in images.txt; mend it, or raise .*\(it is 0\)"):
        list(cub(tmp_path, images, captions)[1])
    assert len(list(cub(tmp_path, images, captions, skip=1)[1])) == 6


def test_attributes_are_read_for_worlds_alone(tmp_path):
    images, captions = cub_members()
    images["CUB_200_2011/attributes/attributes.txt"] = b"1 has_crown_color::red\n2 has_crown_color::blue\n3 has_shape::tall\n"
    labels = "".join(f"{image} {a} {int(a == 1 + image % 2 or a == 3)} 4 0.0\n" for image in range(1, 7) for a in (1, 2, 3))
    images["CUB_200_2011/attributes/image_attribute_labels.txt"] = labels.encode()
    world = {"name": "birdworld", "train_images": 4, "test_images": 2, "side": 30, "pose": 0}
    _, records = cub(tmp_path, images, captions, archives={}, world=world)
    found = {int(record.id[-1]): record.attributes for record in records}
    assert found == {i: {"crown_color": "red" if i % 2 else "blue", "shape": "tall"} for i in range(6)}
    _, records = cub(tmp_path / "real", images, captions, "")
    assert all(record.attributes == {} for record in records)


@pytest.mark.parametrize("name", ["images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt"])
def test_a_missing_table_is_named(tmp_path, name):
    images, captions = cub_members()
    del images[f"CUB_200_2011/{name}"]
    with pytest.raises(InputError, match=f"images.tgz: holds no {name}"):
        cub(tmp_path, images, captions)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("images.txt", "1 a.jpg\n2\n", "images.txt has the line '2'"),
        ("images.txt", "77 001.Red_bird/a.jpg\n", "images.txt names 77"),
        ("image_class_labels.txt", "1 9\n", "image_class_labels.txt names 9"),
        ("bounding_boxes.txt", "1 5 5 five 5\n", "bounding_boxes.txt has '5 5 five 5'"),
        ("images.txt", "1 001.Red_bird/a.jpg\n1 001.Red_bird/b.jpg\n", "images.txt has two lines for 1"),
        ("images.txt", "1 001.Red_bird/a.jpg\n2 001.Red_bird/a.jpg\n", "images.txt lists 001.Red_bird/a.jpg twice"),
        ("classes.txt", "1 a\n1 b\n", "classes.txt has two lines for 1"),
    ],
)
def test_tables_that_contradict_each_other_are_named(tmp_path, name, text, message):
    images, captions = cub_members()
    images[f"CUB_200_2011/{name}"] = text.encode()
    with pytest.raises(InputError, match=message):
        cub(tmp_path, images, captions)


def test_listed_images_that_are_missing_count(tmp_path):
    images, captions = cub_members()
    del images["CUB_200_2011/images/001.Red_bird/bird.no_0000.jpg"]
    _, records = cub(tmp_path, images, captions)
    with pytest.raises(InputError, match=r"bird.no_0000.jpg: is listed in images.txt but not there.*max_skipped` \(it is 0\)"):
        list(records)
    _, records = cub(tmp_path, images, captions, skip=1)
    assert len(list(records)) == 5


def test_two_caption_files_of_one_image_are_refused(tmp_path):
    images, captions = cub_members()
    captions["again/001.Red_bird/bird.no_0000.txt"] = b"another"
    with pytest.raises(InputError, match=r"captions of 001.Red_bird/bird.no_0000 in two places"):
        cub(tmp_path, images, captions)


def plain(count=10) -> dict[str, bytes]:
    members = {f"holiday/{i:02d}.png": encoded(picture(i)) for i in range(count)}
    return members | {f"holiday/{i:02d}.txt": f"picture {i}".encode() for i in range(count)}


def folder(path, members, skip=0, fraction=0.3) -> Raw:
    source = Source(layout="folder", split="fraction", test_fraction=fraction, archives={"images": {"path": "x"}})
    return read({"images": pack(path, members)}, source, Skips(skip, "data.own.source.max_skipped"))


@pytest.mark.parametrize("kind", ["raw", "raw.zip", "raw.tgz"])
def test_plain_folder_split_depends_on_names_alone(tmp_path, kind):
    splits = []
    for number, members in enumerate([plain(), dict(reversed(plain().items()))]):
        records = list(folder(tmp_path / f"{number}{kind}", members).records)
        splits.append({record.id: record.split for record in records})
        assert {record.id: record.captions for record in records} == {f"holiday/{i:02d}": (f"picture {i}",) for i in range(10)}
    assert splits[0] == splits[1] and list(splits[0].values()).count("test") == 3


@pytest.mark.parametrize(("fraction", "count"), [(0.01, 1), (0.99, 9), (0.5, 5)])
def test_plain_folder_has_something_on_both_sides(tmp_path, fraction, count):
    records = folder(tmp_path / "raw", plain(), fraction=fraction).records
    assert [record.split for record in records].count("test") == count


def test_plain_folder_faults(tmp_path):
    with pytest.raises(InputError, match=r"holds 0 pictures"):
        folder(tmp_path / "empty", {"readme.md": b""})
    with pytest.raises(InputError, match=r"00.png and .*00.jpg would share"):
        folder(tmp_path / "twice.tar", plain() | {"holiday/00.jpg": b""})
    with pytest.raises(InputError, match=r"11.txt: stands beside no picture"):
        list(folder(tmp_path / "alone", plain() | {"holiday/11.txt": b"lonely"}).records)


@pytest.mark.parametrize("name", ["holiday/11.heic", "holiday/11.JXL"])
def test_plain_folder_counts_pictures_of_kinds_that_are_not_read(tmp_path, name):
    members = plain() | {name: b"", "holiday/11.txt": b"from a telephone"}
    with pytest.raises(InputError, match=rf"{name}: is a picture of a kind that cannot be read here"):
        folder(tmp_path / "raw", members)
    assert len(list(folder(tmp_path / "raw", members, skip=1).records)) == 10


def test_plain_folder_takes_the_picture_that_is_read_of_two_kinds(tmp_path, lines):
    """As some cameras store them."""
    assert len(list(folder(tmp_path / "raw", plain() | {"holiday/03.heic": b""}).records)) == 10
    assert lines == []


@pytest.mark.parametrize(("layout", "split"), [("cub", "fraction"), ("coco", "lists"), ("folder", "official")])
def test_a_split_that_a_layout_lacks_is_refused(layout, split):
    source = Source(layout=layout, split=split, archives=ARCHIVES)
    with pytest.raises(InputError, match=f"the layout `{layout}` has no split `{split}`; write split:"):
        read({}, source, Skips(0, "key"))


def test_odd_text_is_said_once_an_archive(tmp_path, lines):
    images, captions = cub_members()
    for name in list(captions)[:2]:
        captions[name] = "zwei Vögel".encode("cp1252")
    found = list(cub(tmp_path, images, captions)[1])
    assert found[0].captions == ("zwei Vögel",) and len(lines) == 1
    assert "captions.tgz: 2 text files are not Unicode throughout" in lines[0] and f"{next(iter(captions))} first" in lines[0]


def test_skips_stop_above_their_limit():
    skips = Skips(2, "data.own.source.max_skipped")
    skips.add("a.jpg", "has no caption")
    skips.add("b.jpg", "has no caption")
    with pytest.raises(InputError, match=r"^c.jpg: has no caption; mend it, or raise `data.own.source.max_skipped` \(it is 2\)"):
        skips.add("c.jpg", "has no caption")
