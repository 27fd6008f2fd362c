"""The geometry of SPEC 10 against whole numbers and fractions: CUB's square around the box, and the sides of the scales."""

from fractions import Fraction
from math import floor

from hypothesis import given, settings
from hypothesis import strategies as st

from memgan.data.images import geometry
from tests.factory import PARAMS, images_block

CUB = images_block(**PARAMS["data"]["cub"]["images"])
COCO = images_block(**PARAMS["data"]["coco"]["images"])
quarters = st.integers(0, 1600).map(lambda n: Fraction(n, 4))  # boxes of CUB are decimal numbers of pixels


def scaled(side: int, short: int, target: int) -> set[int]:
    """A side when the short one becomes `target`; where it ends in exactly a half, either neighbour is right."""
    exact = Fraction(side * target, short)
    return {floor(exact + Fraction(1, 2)), -floor(Fraction(1, 2) - exact)}


@settings(max_examples=60)
@given(width=st.integers(40, 500), height=st.integers(40, 500), x=quarters, y=quarters, w=quarters, h=quarters)
def test_cub_is_cut_to_the_square_around_the_bird(width, height, x, y, w, h):
    """AttnGAN's get_imgs: r = int(0.75 max(w, h)), centre int((2 x + w) / 2), clipped at the edges; short side 304."""
    x, y = min(x, width - 2), min(y, height - 2)
    w, h = min(max(w, Fraction(2)), width - x), min(max(h, Fraction(2)), height - y)
    r = floor(Fraction(3, 4) * max(w, h))
    middle_x, middle_y = floor((2 * x + w) / 2), floor((2 * y + h) / 2)
    cut = geometry(width, height, CUB.short_side, tuple(map(float, (x, y, w, h))), CUB.box_crop)
    assert (cut.left, cut.right) == (max(0, middle_x - r), min(width, middle_x + r))
    assert (cut.top, cut.bottom) == (max(0, middle_y - r), min(height, middle_y + r))
    sides = cut.right - cut.left, cut.bottom - cut.top
    assert cut.width in scaled(sides[0], min(sides), 304)
    assert cut.height in scaled(sides[1], min(sides), 304)


@given(width=st.integers(40, 640), height=st.integers(40, 640))
def test_coco_is_kept_whole(width, height):
    cut = geometry(width, height, COCO.short_side, None, COCO.box_crop)
    assert (cut.left, cut.top, cut.right, cut.bottom) == (0, 0, width, height)
    assert cut.width in scaled(width, min(width, height), 304)
    assert cut.height in scaled(height, min(width, height), 304)


def test_a_bird_of_cub_by_hand():
    """500 x 335 px with the box 60, 27, 325, 304: half side 243 around (222, 179), so 0..465 and 0..335; 335 becomes 304."""
    cut = geometry(500, 335, 304, (60.0, 27.0, 325.0, 304.0), 0.75)
    assert (cut.left, cut.top, cut.right, cut.bottom) == (0, 0, 465, 335)
    assert (cut.width, cut.height) == (422, 304)  # 465 * 304 / 335 = 421.97


def test_sides_are_the_lineages():
    """Short side size * 76 / 64; stages of 64, 128, 256 px."""
    for block in (CUB, COCO):
        assert block.short_side == block.size * 76 // 64 == 304
        assert [block.size >> k for k in (2, 1, 0)] == [64, 128, 256]
        assert block.feature_side == 16
