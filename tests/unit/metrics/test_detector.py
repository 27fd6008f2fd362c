"""The Darknet detector: a tiny network whose .cfg and .weights are written here, and boxes made by hand."""

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from memgan.errors import InputError
from memgan.metrics import detector
from memgan.metrics.detector import Darknet, presence
from memgan.metrics.soa import soa
from memgan.params.evaluation import Metrics
from tests.factory import PARAMS

SIDE, CLASSES, CELL = 64, 3, 32
ROLES, NAMES = ("cfg", "weights", "names"), ("red", "green", "blue")
ANCHORS = ((8, 8), (16, 16))
CFG = f"""[net]
width={SIDE}
height={SIDE}
channels=3

[convolutional]
filters={len(ANCHORS) * (5 + CLASSES)}
size=1
stride={CELL}
pad=0
activation=linear

[yolo]
mask=0,1
anchors={", ".join(f"{w},{h}" for w, h in ANCHORS)}
classes={CLASSES}
num={len(ANCHORS)}
"""


def block(**changes) -> Metrics:
    files = {role: {"path": role} for role in ROLES}
    return Metrics(**PARAMS["metrics"] | {"detector": "yolov3", "detector_files": files, "detector_side": SIDE} | changes)


def write(folder: Path, kernel: np.ndarray, bias: np.ndarray) -> tuple[Path, Path, Path]:
    """Darknet's format: three int32 (version), one int64 (images seen), then biases and kernels in float32; a name a line."""
    cfg, weights, names = folder / "tiny.cfg", folder / "tiny.weights", folder / "tiny.names"
    names.write_text("".join(f"{name}\n" for name in NAMES))
    cfg.write_text(CFG)
    head = np.array([0, 2, 0], np.int32).tobytes() + np.zeros(1, np.int64).tobytes()
    weights.write_bytes(head + bias.astype(np.float32).tobytes() + kernel.astype(np.float32).tobytes())
    return cfg, weights, names


def colours() -> tuple[np.ndarray, np.ndarray]:
    """A detector whose class c fires where the cell's first pixel has colour c (red, green, blue); black cells hold nothing.

    Per anchor: x, y, w, h, objectness, classes. The second anchor never fires.
    """
    kernel, bias = np.zeros((2, 5 + CLASSES, 3)), np.zeros((2, 5 + CLASSES))
    kernel[0, 4], bias[0, 4] = 20, -10  # objectness: sigmoid(20 * (r + g + b) - 10)
    kernel[0, 5:], bias[0, 5:] = 20 * np.eye(CLASSES), -10
    bias[1, 4] = -10
    return kernel.reshape(-1, 3), bias.reshape(-1)


def image(*cells: tuple[int, int, int]) -> np.ndarray:
    """Four cells of one colour each, row by row: uint8 [64, 64, 3]."""
    return np.array(cells, np.uint8).reshape(2, 2, 3).repeat(CELL, axis=0).repeat(CELL, axis=1)


RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
PICTURES = np.stack([image(BLACK, RED, BLACK, BLACK), image(BLACK, BLACK, BLACK, BLACK), image(GREEN, BLACK, RED, BLUE)])


@pytest.fixture
def tiny(tmp_path: Path) -> Darknet:
    return Darknet(*write(tmp_path, *colours()), block())


def test_a_network_of_darknets_files_finds_what_its_weights_say(tiny: Darknet) -> None:
    """Independently: sigmoids of the cell's linear map, box at the cell's centre with the anchor's size."""
    found = tiny(PICTURES)
    assert [sorted(d.category for d in one) for one in found] == [[0], [], [0, 1, 2]]
    (red,) = found[0]
    sure = 1 / (1 + np.exp(-10.0))
    assert red.score == pytest.approx(sure * sure, abs=1e-5)
    width = ANCHORS[0][0] / SIDE
    assert red.box == pytest.approx((0.75 - width / 2, 0.25 - width / 2, width, width), abs=1e-5)


def test_one_image_is_detected_as_in_a_batch(tiny: Darknet) -> None:
    assert [tiny(PICTURES[i : i + 1])[0] for i in range(3)] == tiny(PICTURES)


def test_images_of_another_side_are_scaled(tiny: Darknet) -> None:
    larger = PICTURES.repeat(2, axis=1).repeat(2, axis=2)
    assert [[d.category for d in one] for one in tiny(larger)] == [[d.category for d in one] for one in tiny(PICTURES)]


def test_what_is_found_becomes_soa(tiny: Darknet) -> None:
    images = [torch.from_numpy(picture.transpose(2, 0, 1).copy()) for picture in PICTURES]
    found = presence(tiny, images, NAMES)  # type: ignore[arg-type]
    assert found.tolist() == [[True, False, False], [False, False, False], [True, True, True]]
    named = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]], dtype=bool)
    scores = soa(found, named, detector.YOLOV3)
    # red 1 of 2, green 0 of 1, blue 1 of 1
    assert scores["SOA-C"]["value"] == pytest.approx(50)
    assert scores["SOA-I"]["value"] == pytest.approx(50)


def row(x: float, y: float, size: float, objectness: float, *classes: float) -> list[float]:
    return [x, y, size, size, objectness, *classes]


def test_boxes_are_kept_by_objectness_and_overlap_within_a_category(tiny: Darknet) -> None:
    rows = np.array(
        [
            row(0.5, 0.5, 0.4, 0.9, 0.8, 0.1, 0),
            row(0.52, 0.5, 0.4, 0.9, 0.6, 0.1, 0),  # overlaps the first by 0.38 / 0.42: dropped
            row(0.5, 0.5, 0.4, 0.9, 0.1, 0.7, 0),  # the same place, another category: stays
            row(0.75, 0.5, 0.4, 0.8, 0.5, 0, 0),  # overlaps the first by 0.15 / 0.65: stays
            row(0.1, 0.1, 0.1, 0.49, 0, 0, 0.45),  # not sure enough
            row(0.1, 0.1, 0.1, 0.5, 0, 0, 0.3),  # just sure enough
            row(0.9, 0.9, 0.1, 0.9, 0, 0, 0),  # something, but nothing that it knows
        ],
        dtype=np.float32,
    )
    kept = tiny._kept(rows)
    assert sorted((d.category, round(d.score, 3)) for d in kept) == [(0, 0.5), (0, 0.8), (1, 0.7), (2, 0.3)]


def test_categories_are_found_by_name_and_not_by_number(tiny: Darknet) -> None:
    images = [torch.from_numpy(picture.transpose(2, 0, 1).copy()) for picture in PICTURES]
    found = presence(tiny, images, ("Blue", "red"))  # type: ignore[arg-type]
    assert found.tolist() == [[False, True], [False, False], [True, True]]


def test_a_category_that_the_detector_does_not_know_is_refused(tiny: Darknet) -> None:
    with pytest.raises(InputError, match=r"tiny\.names: does not name 'pink', a category of the data set"):
        presence(tiny, [], ("red", "pink"))  # type: ignore[arg-type]


def test_darknets_own_names_are_cocos(tmp_path: Path) -> None:
    (tmp_path / "coco.names").write_text("aeroplane\nmotorbike\nsofa\npottedplant\ndiningtable\ntvmonitor\nhot dog\n\n")
    cocos = ["airplane", "motorcycle", "couch", "potted plant", "dining table", "tv", "hot dog"]
    assert detector.names_of(tmp_path / "coco.names") == cocos


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("red\ngreen\n", r"tiny\.cfg: it tells 3 categories apart, .*tiny\.names has 2"),
        ("red\nblue\nred\n", r"tiny\.names: names 'red' twice"),
        (None, r"tiny\.names: can't be read"),
    ],
)
def test_names_of_another_detector_are_refused(tmp_path: Path, text: str | None, fault: str) -> None:
    files = write(tmp_path, *colours())
    files[2].write_text(text) if text else files[2].unlink()
    with pytest.raises(InputError, match=fault):
        Darknet(*files, block())


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    cfg, weights, names = write(tmp_path, *colours())
    size = weights.stat().st_size
    for content in (weights.read_bytes()[:-4], weights.read_bytes() + bytes(4)):
        weights.write_bytes(content)
        with pytest.raises(InputError, match=rf"tiny\.weights: has {len(content)} bytes, .*tiny\.cfg needs {size}"):
            Darknet(cfg, weights, names, block())


def test_a_normalised_convolution_has_four_numbers_more_a_channel(tmp_path: Path) -> None:
    cfg, weights, names = write(tmp_path, *colours())
    cfg.write_text(CFG.replace("filters=", "batch_normalize=1\nfilters="))
    head, bias, kernel = np.split(np.frombuffer(weights.read_bytes(), np.float32), [5, 5 + 2 * (5 + CLASSES)])
    plain = [bias, np.ones_like(bias), np.zeros_like(bias), np.ones_like(bias)]  # bias, scale, mean, variance
    weights.write_bytes(np.concatenate([head, *plain, kernel]).tobytes())
    found = Darknet(cfg, weights, names, block())(PICTURES)
    assert [sorted(d.category for d in one) for one in found] == [[0], [], [0, 1, 2]]


@pytest.mark.parametrize("damage", ["no cfg", "no weights", "a cfg of something else"])
def test_files_that_are_no_detector_are_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    cfg, weights, names = write(tmp_path, *colours())
    if damage == "no cfg":
        cfg.unlink()
    elif damage == "no weights":
        weights.unlink()
    else:
        cfg.write_text("[net]\nwidth=64\n\n[nonsense]\nx=1\n")
    with pytest.raises(InputError, match="they must be a Darknet detector's") as fault:
        Darknet(cfg, weights, names, block())
    assert len(str(fault.value)) < 600


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(
        InputError, match=r"needs OpenCV, which is not here; install the extra: pip install 'opencv-python-headless<5'"
    ):
        detector.opencv()
    monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace(__version__="5.0.0", dnn=SimpleNamespace()))
    with pytest.raises(InputError, match=r"OpenCV 5\.0\.0 reads Darknet's files no more"):
        detector.opencv()


def test_all_files_must_be_named() -> None:
    with pytest.raises(ValueError, match="with the roles cfg, weights and names"):
        block(detector_files={"cfg": {"path": "cfg"}})


def test_the_files_come_from_the_mirror_and_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As COCO's entry does: addresses and md5 checksums, through `memgan.data.download`."""
    from memgan.metrics.protocol import Protocol

    given = write(tmp_path, *colours())
    monkeypatch.setenv("MEMGAN_MIRROR", str(tmp_path))
    sums = {role: hashlib.md5(path.read_bytes()).hexdigest() for role, path in zip(ROLES, given, strict=True)}
    files = {
        role: {"urls": [f"https://localhost/{path.name}"], "checksum": f"md5:{sums[role]}"}
        for role, path in zip(sums, given, strict=True)
    }
    own = SimpleNamespace(params=block(detector_files=files), dataset="coco", test=SimpleNamespace(categories=NAMES))
    assert Protocol.darknet.func(own)(PICTURES)[0][0].category == 0
    given[1].write_bytes(b"other weights")
    with pytest.raises(InputError, match=r"tiny\.weights: its checksum is not md5:"):
        Protocol.darknet.func(own)
