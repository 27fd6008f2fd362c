"""Other systems' samples: the same images get the same scores, and each fault gets its line."""

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from memgan.data.shards import ImageFolder
from memgan.errors import InputError
from memgan.methods import external
from memgan.metrics import measure, reference
from memgan.metrics.samples import Samples
from memgan.params.load import read_yaml
from memgan.report.rows import measured_rows
from tests.scoring import SIZE, World, png


class Case:
    """A world with a reference, our samples of it, and the same images as another system would hand them in."""

    def __init__(self, folder: Path):
        self.world = World(folder)
        self.folder = folder
        entry = {"name": "Other GAN", "dataset": "birdworld", "images": "theirs", "captions": "theirs.csv", "uses": "boxes"}
        self.world.params_file.write_text(yaml.safe_dump(self.world.params | {"methods": {"other": entry}}))
        read_yaml.cache_clear()
        self.reference = folder / "reference.safetensors"
        self.shards = self.world.samples(30)
        self.samples = Samples(self.shards)
        self.images, self.captions = folder / "theirs", folder / "theirs.csv"
        self.lines = [{"image": f"a/{i:02d}.png", "caption_id": r["caption_id"]} for i, r in enumerate(self.samples.records)]
        for i, line in enumerate(self.lines):
            self.put(line["image"], self.samples.image(i))
        self.write()

    def put(self, name: str, image: np.ndarray) -> None:
        path = self.images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))

    def write(self) -> None:
        with self.captions.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.lines[0]))
            writer.writeheader()
            writer.writerows(self.lines)

    def read(self) -> None:
        """All that happens before anything is scored."""
        records = external.read_records(self.captions, ImageFolder(self.world.inputs.images, "test"))
        external.pack(self.folder / "0.tar", self.images, self.captions, records, SIZE)

    def score(self, images: Path | None = None) -> dict:
        """The step, from files to file."""
        if not self.reference.exists():
            reference.main("birdworld", *vars(self.world.inputs).values(), self.reference, self.folder / "real.json")
        out = self.folder / "theirs.json"
        external.main("other", images or self.images, self.captions, *vars(self.world.inputs).values(), self.reference, out)
        return json.loads(out.read_text())


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.chdir(tmp_path)
    return Case(tmp_path)


def test_the_same_images_get_the_same_scores(case: Case) -> None:
    theirs, ours = case.score()["metrics"], case.folder / "ours.json"
    measure.main(case.shards, "birdworld", "ours", 0, *vars(case.world.inputs).values(), case.reference, ours)
    expected = {name: found for name, found in json.loads(ours.read_text())["metrics"].items() if name in theirs}
    assert theirs == expected
    assert "FID" in expected
    assert "R-precision" in expected
    archive = case.folder / "theirs.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for line in reversed(case.lines):
            file.write(case.images / line["image"], line["image"])
    assert case.score(archive)["metrics"] == expected


def test_the_row_carries_the_methods_name_and_what_it_uses(case: Case) -> None:
    case.score()
    rows = measured_rows([case.folder / "theirs.json"])
    assert {(row["method"], row["dataset"], row["uses"], row["source"]) for row in rows} == {
        ("Other GAN", "birdworld", "boxes", "measured")
    }


def test_captions_may_be_given_as_text(case: Case) -> None:
    expected = case.score()["metrics"]["R-precision"]
    case.lines = [
        {"image": line["image"], "caption": f" {r['caption'].replace(' ', '  ', 1)} "}
        for line, r in zip(case.lines, case.samples.records, strict=True)
    ]
    case.write()
    assert case.score()["metrics"]["R-precision"] == expected


def without_image(case: Case) -> None:
    (case.images / "a/03.png").unlink()


def without_line(case: Case) -> None:
    del case.lines[3]


def twice(case: Case) -> None:
    case.lines.append(case.lines[0])


def unknown_caption(case: Case) -> None:
    case.lines[2] = case.lines[2] | {"caption_id": "nobody#0"}


def other_size(case: Case) -> None:
    case.put("a/05.png", np.zeros((SIZE, SIZE * 2, 3), dtype=np.uint8))


def no_image(case: Case) -> None:
    (case.images / "a/05.png").write_bytes(b"text")


def other_columns(case: Case) -> None:
    case.lines = [{"file": line["image"], "text": "x"} for line in case.lines]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (without_image, r"theirs: 1 images of .*theirs\.csv are not in it, the first is a/03\.png"),
        (without_line, r"theirs\.csv: .* holds a/03\.png, which has no line here"),
        (twice, r"line 32: a/00\.png comes twice"),
        (unknown_caption, r"line 4: no test image has the caption id 'nobody#0'"),
        (other_size, r"a/05\.png: is 32 x 16 px, the protocol's images are 16 x 16"),
        (no_image, r"a/05\.png: does not decode"),
        (other_columns, "needs the columns"),
    ],
)
def test_each_fault_gets_its_line(case: Case, fault: Callable[[Case], None], said: str) -> None:
    fault(case)
    case.write()
    with pytest.raises(InputError, match=said):
        case.read()


def test_an_unknown_method_is_refused(case: Case) -> None:
    with pytest.raises(InputError, match=r"no method `Nobody`.*known: other"):
        external.entry_of("Nobody")


def test_captions_that_fit_several_images_are_said(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their text; by their id each fits one. A caption twice of one image is no doubt."""
    said: list[str] = []
    monkeypatch.setattr(external.steps.log, "info", lambda text, *values: said.append(text % values))
    rows = [{"id": "x", "captions": ["red", "blue", "blue"]}, {"id": "y", "captions": ["red"]}]
    monkeypatch.setattr(ImageFolder, "rows", rows)
    test = ImageFolder(case.world.inputs.images, "test")
    case.lines = [{"image": "0.png", "caption": "red"}, {"image": "1.png", "caption": "blue"}]
    case.write()
    assert [record["image_id"] for record in external.read_records(case.captions, test).values()] == ["x", "x"]
    assert said == [f"{case.captions}: 1 captions fit several test images; the first is taken, `caption_id` would tell"]
    said.clear()
    case.lines = [{"image": "0.png", "caption_id": "y#0"}]
    case.write()
    assert external.read_records(case.captions, test)["0.png"]["row"] == 1 and said == []
