"""Objects cut out of pictures that show one each on a plain backdrop, which runs evenly from a colour above to one below."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from memgan.data.images import Box, UnusableError, decode
from memgan.data.readers.records import Record

SURE, SOFT = 40.0, 18.0  # levels by which a pixel differs from the backdrop: certainly the object's, perhaps its edge
FILLS = 0.05, 0.97  # share of the box that a believable object fills
LARGEST = 256  # px of a cut-out's longer side


@dataclass(frozen=True)
class CutOut:
    """An object: its picture (RGBA, as large as its box), its class, what its author calls it."""

    image: Image.Image
    label: int
    name: str


def cut_out(picture: Image.Image, box: Box) -> Image.Image:
    """The object in the box as RGBA, transparent where the backdrop shows.

    The backdrop is a straight line from top to bottom in each colour, fitted to what lies outside the box; what is enclosed by the
    object belongs to it. Raises UnusableError if nothing believable is left.
    """
    left, top, right, bottom = whole(box, *picture.size)
    outside = np.ones((picture.height, picture.width), bool)
    outside[top:bottom, left:right] = False
    apart = difference(picture, outside)[top:bottom, left:right]
    found = ndimage.binary_fill_holes(ndimage.binary_opening(apart > SURE))
    parts, count = ndimage.label(found)
    sizes = np.bincount(parts.ravel())[1:]
    found = np.isin(parts, 1 + np.nonzero(sizes >= 0.05 * sizes.max(initial=1))[0])
    if not count or not FILLS[0] <= found.mean() <= FILLS[1]:
        raise UnusableError(f"shows no object that stands out from its backdrop (it would fill {found.mean():.0%} of its box)")
    edge = np.clip((apart - SOFT) / (SURE - SOFT), 0, 1) * ndimage.binary_dilation(found, iterations=1)
    alpha = np.where(ndimage.binary_erosion(found), 1.0, edge)
    colours = np.asarray(picture)[top:bottom, left:right]
    image = Image.fromarray(np.dstack([colours, np.rint(255 * alpha).astype(np.uint8)]))
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.BICUBIC)
    return image


def difference(picture: Image.Image, outside: np.ndarray) -> np.ndarray:
    """By how many levels each pixel differs from the backdrop, float32 [h, w]; `outside` bool [h, w]: where only that is seen."""
    rows = np.nonzero(outside)[0]
    if len(rows) < 100:
        raise UnusableError("has no backdrop around its box")
    line = np.stack([rows, np.ones_like(rows)], axis=1).astype(np.float32)  # [n, 2]
    slope, *_ = np.linalg.lstsq(line, np.asarray(picture, np.float32)[outside], rcond=None)  # [2, 3]
    backdrop = np.arange(picture.height, dtype=np.float32)[:, None] * slope[0] + slope[1]  # [h, 3]
    smooth = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.8)), np.float32)  # its noise is no edge
    return np.abs(smooth - backdrop[:, None]).max(axis=2)


def whole(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in whole pixels, a pixel more on each side, inside the picture."""
    x, y, w, h = box
    return max(0, int(x) - 1), max(0, int(y) - 1), min(width, int(x + w) + 2), min(height, int(y + h) + 2)


def cut_outs(records: Iterator[Record], split: str) -> Iterator[CutOut | tuple[str, str]]:
    """Each record of a split cut out, or its name and why not."""
    for record in records:
        if record.split != split:
            continue
        try:
            if record.box is None or record.label is None or not record.captions:
                raise UnusableError("has no box, no class or no caption")
            yield CutOut(cut_out(decode(record.image), record.box), record.label, record.captions[0])
        except UnusableError as fault:
            yield record.name, str(fault)
