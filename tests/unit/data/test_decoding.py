import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, features

from memgan.data import images
from memgan.data.images import UnusableError, decode, encode, geometry, inside, resized
from tests.rawdata import encoded, picture

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, size=(6, 9), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, size=(6, 9, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, size=(6, 9), dtype=np.uint8)


def shown(data: bytes) -> np.ndarray:
    image = decode(data)
    assert image.mode == "RGB"
    return np.asarray(image)


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return colour * share + 255 * (1 - share)


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def colour_png(width: int, height: int, bits: int, rows: bytes) -> bytes:
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0), b"IDAT": zlib.compress(rows), b"IEND": b""}
    body = (struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def test_rgb_and_grey_come_out_as_they_are():
    assert np.array_equal(shown(encoded(Image.fromarray(COLOUR))), COLOUR)
    assert np.array_equal(shown(encoded(Image.fromarray(GREY))), as_rgb(GREY))
    bits = Image.fromarray(GREY).convert("1")
    assert np.array_equal(shown(encoded(bits)), as_rgb(np.asarray(bits) * np.uint8(255)))


def swapped_profile(name: str = "test") -> bytes:
    """A colour space like sRGB in which red and blue have changed places: two entries of the profile's table exchanged."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    mark = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}
    table = b"".join(
        mark.get(srgb[at : at + 4], srgb[at : at + 4]) + srgb[at + 4 : at + 12] for at in range(132, 132 + 12 * srgb[131], 12)
    )
    whole = srgb[:132] + table + srgb[132 + len(table) :]
    return whole.replace("sRGB".encode("utf-16-be"), name.encode("utf-16-be"))


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_colours_of_another_profile_become_srgbs(form: str):
    flat = np.tile(np.array([200, 100, 40], np.uint8), (16, 16, 1))
    plain = shown(encoded(Image.fromarray(flat), form)).astype(int)
    found = shown(encoded(Image.fromarray(flat), form, icc_profile=swapped_profile()))
    assert np.abs(found - plain[..., ::-1]).max() <= 2
    kept = shown(encoded(Image.fromarray(flat), form, icc_profile=swapped_profile("sRGB")))  # says that it is sRGB's
    assert np.array_equal(kept, plain)


def test_a_broken_profile_or_one_of_another_mode_changes_nothing():
    assert np.array_equal(shown(encoded(Image.fromarray(COLOUR), icc_profile=b"nonsense")), COLOUR)
    assert np.array_equal(shown(encoded(Image.fromarray(GREY), icc_profile=swapped_profile())), as_rgb(GREY))


def test_transparent_pictures_and_palettes_have_profiles_too():
    rgba = np.dstack([COLOUR, ALPHA])
    found = shown(encoded(Image.fromarray(rgba), icc_profile=swapped_profile()))
    assert np.abs(found - over_white(COLOUR[..., ::-1], ALPHA)).max() <= 4
    image = Image.fromarray(RNG.integers(0, 2, size=(6, 9), dtype=np.uint8))
    image.putpalette([200, 10, 20, 30, 140, 50])
    found = shown(encoded(image, icc_profile=swapped_profile()))
    assert np.abs(found - np.asarray(image.convert("RGB"))[..., ::-1].astype(int)).max() <= 2


def test_alpha_lies_over_white():
    rgba = np.dstack([COLOUR, ALPHA])
    assert np.abs(shown(encoded(Image.fromarray(rgba))) - over_white(COLOUR, ALPHA)).max() <= 1
    la = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)])
    assert np.abs(shown(encoded(la)) - over_white(as_rgb(GREY), ALPHA)).max() <= 1


def test_a_palette_and_its_transparent_entry():
    numbers = RNG.integers(0, 3, size=(6, 9), dtype=np.uint8)
    image = Image.fromarray(numbers)
    image.putpalette([200, 10, 20, 30, 140, 50, 60, 70, 250])
    table = np.array([[200, 10, 20], [30, 140, 50], [60, 70, 250]])
    assert np.array_equal(shown(encoded(image)), table[numbers])
    table[1] = 255
    assert np.array_equal(shown(encoded(image, transparency=1)), table[numbers])


def test_one_transparent_colour_of_an_rgb_png():
    colour = COLOUR.copy()
    colour[0, 0] = colour[3, 3] = (1, 2, 3)
    expected = colour.copy()
    expected[0, 0] = expected[3, 3] = 255
    assert np.array_equal(shown(encoded(Image.fromarray(colour), transparency=(1, 2, 3))), expected)


def test_sixteen_bits_are_scaled_and_not_cut():
    wide = GREY.astype(np.uint16) * 257
    assert np.array_equal(shown(encoded(Image.fromarray(wide))), as_rgb(GREY))
    assert np.array_equal(shown(encoded(Image.fromarray(wide), "TIFF")), as_rgb(GREY))


def test_the_transparent_level_of_a_sixteen_bit_png_is_white():
    wide = np.arange(54, dtype=np.uint16).reshape(6, 9) * 300
    expected = np.rint(wide / 257).astype(np.uint8)
    expected[0, 3] = 255
    assert np.array_equal(shown(encoded(Image.fromarray(wide), transparency=900)), as_rgb(expected))


def test_sixteen_bit_colour_keeps_its_levels():
    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in COLOUR)
    assert np.array_equal(shown(colour_png(9, 6, 16, rows)), COLOUR)


@pytest.mark.parametrize("scale", [1 / 255, 1.0])
def test_floating_point_levels(scale):
    levels = GREY.astype(np.float32)
    levels[0, 0] = 255
    assert np.array_equal(shown(encoded(Image.fromarray(levels * np.float32(scale)), "TIFF")), as_rgb(levels.astype(np.uint8)))


def test_cmyk_is_shown_in_its_colours():
    solid = {
        "cyan": ((255, 0, 0, 0), (0, 255, 255)),
        "paper": ((0, 0, 0, 0), (255, 255, 255)),
        "black": ((0, 0, 0, 255), (0, 0, 0)),
    }
    for ink, colour in solid.values():
        found = shown(encoded(Image.new("CMYK", (16, 16), ink), "JPEG", quality=100))
        assert np.abs(found.astype(int) - colour).max() <= 6


FORMS = ["JPEG", "PNG", "TIFF", "WEBP", *(["AVIF"] if features.check("avif") else [])]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation, form):
    image = picture(3, 32, 16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, form, exif=exif)
    size = (16, 32) if orientation >= 5 else (32, 16)
    assert np.array_equal(shown(data), np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")))
    assert decode(data).size == size
    measured = []
    images.shown(data, lambda *found: measured.append(found) or geometry(*found, 8, None, None))
    assert measured == [size]


def test_broken_exif_stops_nothing():
    data = encoded(picture(3), "JPEG", exif=b"Exif\0\0MM\0*garbage")
    assert decode(data).size == (40, 30)


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert tuple(shown(data)[0, 0]) == (255, 0, 0)


@pytest.mark.parametrize(
    "data",
    [b"", b"not a picture", encoded(picture(1), "JPEG")[:-400], encoded(picture(1), "PNG")[:200]],
    ids=["empty", "text", "cut jpeg", "cut png"],
)
def test_what_does_not_decode_says_so_the_same_way_each_time(data):
    texts = set()
    for _ in range(2):
        with pytest.raises(UnusableError, match="does not decode") as fault:
            decode(data)
        texts.add(str(fault.value))
    assert len(texts) == 1 and "0x" not in texts.pop()


def test_a_decompression_bomb_is_refused():
    data = colour_png(30000, 30000, 8, b"\0" * 1000)
    with pytest.raises(UnusableError, match="bomb"):
        decode(data)


side, offset, length = st.integers(8, 300), st.floats(-50, 320), st.floats(0.5, 320)


@given(side, side, offset, offset, length, length, st.floats(0.3, 1.5), st.integers(4, 64))
def test_box_crop_is_the_clipped_square_around_the_box(width, height, x, y, w, h, share, short):
    box = (x, y, w, h)
    half = int(share * max(w, h))
    kept = [
        [p for p in range(size) if middle - half <= p < middle + half]
        for size, middle in ((width, int(x + w / 2)), (height, int(y + h / 2)))
    ]
    if not inside(box, width, height) or not all(kept):
        with pytest.raises(UnusableError, match="has a box"):
            geometry(width, height, short, box, share)
        return
    cut = geometry(width, height, short, box, share)
    assert (cut.left, cut.right, cut.top, cut.bottom) == (kept[0][0], kept[0][-1] + 1, kept[1][0], kept[1][-1] + 1)
    check_scale(cut, short)


@given(side, side, st.integers(4, 64))
def test_without_a_crop_everything_is_kept(width, height, short):
    cut = geometry(width, height, short, (1, 1, 2, 2), None)
    assert (cut.left, cut.top, cut.right, cut.bottom) == (0, 0, width, height)
    check_scale(cut, short)


def check_scale(cut, short):
    wide, high = cut.right - cut.left, cut.bottom - cut.top
    assert min(cut.width, cut.height) == short
    assert abs(cut.width * min(wide, high) - short * wide) <= min(wide, high) / 2
    assert abs(cut.height * min(wide, high) - short * high) <= min(wide, high) / 2


def test_a_crop_needs_a_box():
    with pytest.raises(UnusableError, match="no box"):
        geometry(30, 30, 16, None, 0.75)


@given(st.data())
def test_relative_boxes_are_where_the_pixels_are(data):
    width, height = data.draw(st.integers(8, 40)), data.draw(st.integers(8, 40))
    x, y = data.draw(st.integers(-9, 39)), data.draw(st.integers(-9, 39))
    w, h = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    cut = geometry(width, height, 16, (width / 4, height / 4, width / 2, height / 3), 0.5)
    mask = np.zeros((height, width), dtype=bool)
    mask[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = True
    rows, columns = np.nonzero(mask[cut.top : cut.bottom, cut.left : cut.right])
    found = cut.relative((x, y, w, h))
    if not len(rows):
        assert found is None
    else:
        wide, high = cut.right - cut.left, cut.bottom - cut.top
        expected = [columns.min() / wide, rows.min() / high, np.ptp(columns) / wide + 1 / wide, np.ptp(rows) / high + 1 / high]
        assert found == pytest.approx(expected, abs=2e-6)


def test_scaling_down_is_antialiased_and_keeps_flat_colours():
    board = Image.fromarray((np.indices((128, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)).convert("RGB")
    small = np.asarray(resized(board, geometry(128, 128, 16, None, None)))
    assert small.shape == (16, 16, 3) and np.abs(small[2:-2, 2:-2].astype(int) - 127.5).max() <= 2
    flat = resized(Image.new("RGB", (90, 61), (9, 130, 250)), geometry(90, 61, 16, None, None))
    assert np.array_equal(np.unique(np.asarray(flat).reshape(-1, 3), axis=0), [[9, 130, 250]])


def test_the_crop_looks_at_nothing_outside_it():
    image = Image.new("RGB", (60, 60), "red")
    image.paste("blue", (20, 20, 40, 40))
    cut = geometry(60, 60, 8, (20, 20, 20, 20), 0.5)
    assert np.array_equal(np.unique(np.asarray(resized(image, cut)).reshape(-1, 3), axis=0), [[0, 0, 255]])


def test_png_is_lossless_and_bare():
    image = picture(4)
    image.info = {"exif": b"Exif\0\0secret", "dpi": (72, 72)}
    data = encode(image, "png")
    assert np.array_equal(shown(data), np.asarray(picture(4))) and data == encode(picture(4), "png")
    again = encode(picture(4), "jpg")
    assert np.abs(shown(again).astype(int) - np.asarray(picture(4))).mean() < 3
