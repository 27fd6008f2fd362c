"""YOLOv3 from its authors' Darknet files, read by OpenCV's dnn module: it looks for the objects of SOA on photographs (SPEC 12).

OpenCV is an extra (`pip install memgan[soa]`), and a version below 5: the next one reads Darknet's files no more.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from memgan.errors import InputError
from memgan.params.evaluation import Metrics
from memgan.steps import progress

YOLOV3 = "yolov3"
BATCH = 32
COCO_NAMES = {  # what Darknet's coco.names calls otherwise than COCO does
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
}


class Detection(NamedTuple):
    """One object that was found."""

    category: int  # a position in the detector's list of names
    score: float  # objectness times probability of the category
    box: tuple[float, float, float, float]  # left, top, width, height as shares of the image


class Darknet:
    """A detector in Darknet's format: a .cfg with [yolo] layers, the .weights that belong to it, and .names, a category a line.

    Raises InputError if OpenCV is missing or too new, if it can't read the files, or if the network knows another number of
    categories than it has names for.
    """

    def __init__(self, cfg: Path, weights: Path, names: Path, params: Metrics):
        self.cv2, self.params, self.file, self.names = opencv(), params, names, names_of(names)
        self.cv2.setNumThreads(torch.get_num_threads())
        try:
            self.network = self.cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
            self.outputs = self.network.getUnconnectedOutLayersNames()
            known = self._forward(np.zeros((1, 32, 32, 3), np.uint8)).shape[2] - 5
        except self.cv2.error as fault:
            why = str(fault).rpartition("error: ")[2]
            raise InputError(f"{cfg}, {weights}: OpenCV can't run them ({why}); they must be a Darknet detector's") from None
        if weights.stat().st_size != (size := self._bytes(weights)):
            raise InputError(f"{weights}: has {weights.stat().st_size} bytes, {cfg} needs {size}; they must be of one detector")
        if known != len(self.names):
            raise InputError(
                f"{cfg}: it tells {known} categories apart, {names} has {len(self.names)}; they must be of one detector"
            )

    def __call__(self, images: np.ndarray) -> list[list[Detection]]:
        """What is found in uint8 RGB images [B, H, W, 3]: a list an image."""
        return [self._kept(rows) for rows in self._forward(images)]

    def columns(self, categories: Sequence[str]) -> dict[int, int]:
        """Where each of the detector's names stands among the data set's categories; those that it has not are left out.

        Raises InputError if there is a category that the detector does not know: it would never be found.
        """
        places = {plain(category): place for place, category in enumerate(categories)}
        found = {number: places[name] for number, name in enumerate(self.names) if name in places}
        if missing := [category for category in categories if plain(category) not in self.names]:
            raise InputError(f"{self.file}: does not name {missing[0]!r}, a category of the data set; give the detector of its own")
        return found

    def _bytes(self, weights: Path) -> int:
        """Size of the weights' file that the network needs: OpenCV itself takes any, and reads on past its end."""
        layers = [self.network.getLayer(name) for name in self.network.getLayerNames()]
        numbers = sum(blob.size for layer in layers if layer.type != "Region" for blob in layer.blobs)
        with weights.open("rb") as file:
            major, minor, _ = np.frombuffer(file.read(12), "<i4")  # version; then the images seen in training
        return 12 + (8 if 10 * major + minor >= 2 else 4) + 4 * numbers

    def _forward(self, images: np.ndarray) -> np.ndarray:
        """Rows of all [yolo] layers: [B, boxes, 5 + C]: centre, size, objectness, and objectness times each probability.

        OpenCV sets a product below 0.2 to zero.
        """
        side = (self.params.detector_side,) * 2
        blob = self.cv2.dnn.blobFromImages(list(images), 1 / 255, side, swapRB=False, crop=False)
        self.network.setInput(blob)
        found = self.network.forward(self.outputs)
        return np.concatenate([rows.reshape(len(images), -1, rows.shape[-1]) for rows in found], axis=1)

    def _kept(self, rows: np.ndarray) -> list[Detection]:
        """Boxes of at least `confidence`, each of its likeliest category, less those that a better one of it overlaps."""
        scores = rows[:, 5:].max(axis=1)
        sure = (rows[:, 4] >= self.params.confidence) & (scores > 0)
        rows, scores, best = rows[sure], scores[sure], rows[sure, 5:].argmax(axis=1)
        boxes = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, 2:4]], axis=1)
        kept = self.cv2.dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), best.tolist(), 0.0, self.params.overlap)
        return [Detection(int(best[i]), float(scores[i]), tuple(boxes[i].tolist())) for i in kept]


def names_of(path: Path) -> list[str]:
    """The categories of a .names file as COCO calls them. Raises InputError if there is no such file or a name comes twice."""
    try:
        names = [plain(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(f"{path}: can't be read ({fault}); it must name a Darknet detector's categories, one a line") from None
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{path}: names {twice[0]!r} twice; each category must have a name of its own")
    return names


def plain(name: str) -> str:
    """A category's name in small letters and single spaces, as COCO calls it."""
    name = " ".join(name.lower().split())
    return COCO_NAMES.get(name, name)


def opencv() -> Any:
    """The module cv2. Raises InputError if it is missing or has no reader of Darknet's files."""
    mend = "install the extra: pip install 'opencv-python-headless<5'"
    try:
        import cv2
    except ImportError:
        raise InputError(f"metrics.detector: {YOLOV3} needs OpenCV, which is not here; {mend}") from None
    if not hasattr(cv2.dnn, "readNetFromDarknet"):
        raise InputError(f"metrics.detector: OpenCV {cv2.__version__} reads Darknet's files no more; {mend}")
    return cv2


def presence(detector: Darknet, images: Dataset, categories: Sequence[str]) -> np.ndarray:
    """Which categories are found in which images (uint8 tensors [3, H, W] of one size): bool [n, C]."""
    n = len(images)  # type: ignore[arg-type]
    found, columns = np.zeros((n, len(categories)), dtype=bool), detector.columns(categories)
    for start in progress(range(0, n, BATCH), f"{YOLOV3}: batches", -(-n // BATCH)):
        batch = np.stack([images[i].numpy().transpose(1, 2, 0) for i in range(start, min(start + BATCH, n))])
        for i, detections in enumerate(detector(batch), start):
            found[i, [columns[d.category] for d in detections if d.category in columns]] = True
    return found
