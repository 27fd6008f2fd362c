"""JPEG decoded at a part of its size: where, and how far from the whole."""

import numpy as np
import pytest
from PIL import Image

from memgan.data import images
from memgan.data.images import UnusableError, decode, geometry, resized, shown
from memgan.data.source import members
from tests.conftest import photographs
from tests.rawdata import encoded


def drawing(width: int, height: int) -> Image.Image:
    """Hard edges, thin lines and grain: harder than a photograph."""
    rng = np.random.default_rng(3)
    pixels = np.asarray(
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((width, height), Image.Resampling.NEAREST)
    )
    pixels = pixels + rng.normal(0, 6, (height, width, 1))
    pixels[::23] = 20
    pixels[:, ::31] = 240
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def both(data: bytes, short: int, box=None, crop=None) -> tuple[np.ndarray, np.ndarray, int]:
    """The cut as preprocess makes it and as it comes out of the whole picture; by what the former was shrunk."""
    image, cut, factor = shown(data, lambda w, h: geometry(w, h, short, box, crop))
    whole = resized(decode(data), cut)
    return np.asarray(resized(image, cut, factor), int), np.asarray(whole, int), factor


@pytest.mark.parametrize(
    ("size", "short", "factor"),
    [
        ((96, 96), 34, 1),  # birdworld
        ((96, 96), 17, 1),
        ((500, 375), 304, 1),  # CUB
        ((640, 480), 304, 1),  # COCO
        ((1600, 1200), 304, 1),
        ((1600, 1220), 200, 2),
        ((640, 480), 76, 2),
        ((1601, 1207), 76, 4),
        ((3003, 2011), 76, 8),
    ],
)
def test_no_more_is_decoded_than_is_needed(size, short, factor):
    drafted, whole, found = both(encoded(drawing(*size), "JPEG", quality=92), short)
    assert found == factor and drafted.shape == whole.shape
    if factor == 1:
        assert np.array_equal(drafted, whole)
    else:
        apart = np.abs(drafted - whole)
        assert apart.mean() <= 2 and np.percentile(apart, 99) <= 16


@pytest.mark.photos
@pytest.mark.parametrize("short", [20, 34, 64])
def test_photographs_hardly_differ(short):
    found = []
    for number, member in enumerate(members(photographs()[0])):
        if member.name.endswith(".jpg") and number % 40 == 0:
            drafted, whole, factor = both(member.read(), short)
            found.append(factor)
            assert np.abs(drafted - whole).mean() <= 0.5 and np.abs(drafted - whole).max() <= 8
    assert max(found) > 1


def test_cuts_fall_on_the_same_place():
    drafted, whole, factor = both(encoded(drawing(1203, 907), "JPEG", quality=92), 40, (301.5, 207.25, 400.5, 333), 0.75)
    assert factor == 4 and drafted.shape == whole.shape
    apart = np.abs(drafted - whole).mean()
    assert apart <= 2 and np.abs(np.roll(drafted, 1, axis=1) - whole).mean() > 4 * apart


@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_turned_pictures_are_decoded_whole(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    drafted, whole, factor = both(encoded(drawing(1203, 907), "JPEG", exif=exif), 40, (301.5, 207.25, 400.5, 333), 0.75)
    assert factor == 1 and np.array_equal(drafted, whole)


def test_only_jpeg_can_do_it():
    assert both(encoded(drawing(640, 480)), 40)[2] == 1
    assert both(encoded(drawing(640, 480).convert("CMYK"), "JPEG"), 40)[2] == 1
    grey, whole, factor = both(encoded(drawing(640, 480).convert("L"), "JPEG"), 40)
    assert factor == 4 and np.abs(grey - whole).mean() <= 2


def test_a_cut_that_cannot_be_made_is_said_before_decoding():
    with pytest.raises(UnusableError, match=r"has a box without area inside the picture \(900, 5, 3, 3\)"):
        both(encoded(drawing(640, 480), "JPEG"), 40, (900, 5, 3, 3), 0.75)


def test_a_sliver_is_not_blown_up():
    with pytest.raises(UnusableError, match=r"is so narrow \(20000 x 1 px\) that it would become 6080000 x 304 px"):
        geometry(20000, 1, 304, None, None)


@pytest.mark.parametrize("box", [(float("nan"), 1, 2, 2), (1, 1, float("inf"), 2), (float("-inf"), 0, float("inf"), 9)])
def test_a_box_that_is_no_number_is_refused(box):
    assert not images.inside(box, 10, 10)
    with pytest.raises(UnusableError, match="has a box without area"):
        geometry(10, 10, 4, box, 0.75)
