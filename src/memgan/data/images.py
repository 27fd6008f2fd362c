"""From an encoded picture of any kind to the RGB that a viewer shows, and the geometry of SPEC 10."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, isfinite

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

Box = tuple[float, float, float, float]  # x, y, width, height
WHITE = (255, 255, 255, 255)
ORIENTATION = 0x0112  # EXIF tag
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


TURNED = {5, 6, 7, 8}  # those that exchange width and height
MARGIN = 3  # a drafted JPEG keeps at least so many pixels a side for each one that is wanted
MOST_PIXELS = Image.MAX_IMAGE_PIXELS or 2**26


class UnusableError(ValueError):
    """A picture that cannot be shown or cut; the text says why and follows its name."""


def decode(data: bytes) -> Image.Image:
    """The picture upright and in RGB, as a viewer shows it.

    EXIF rotation is applied; grey, palette, CMYK, 16-bit and floating-point pictures are converted; colours of a profile other
    than sRGB become sRGB's [ours: the lineage takes the bare numbers]; what is transparent is laid over white; of an animation it
    is the first frame.
    Raises UnusableError, also above Pillow's limit against decompression bombs (89 million pixels).
    """
    return _read(data, None)[0]


def shown(data: bytes, cut_of: Callable[[int, int], "Cut"]) -> tuple[Image.Image, "Cut", int]:
    """The picture as `decode` gives it, but no larger than its cut needs: (picture, cut, by what the picture was shrunk).

    `cut_of` tells the cut of a picture of that width and height, which is in the coordinates of the whole picture. JPEG is decoded
    at a half, a quarter or an eighth of its size where that leaves at least three pixels a side for each one that is wanted. Of
    photographs the result differs from that of the whole picture by at most 0.5 levels in the mean and 8 anywhere, of drawings
    with hard edges by 2 in the mean (tests/unit/data/test_draft.py). Raises UnusableError.
    """
    image, cut, factor = _read(data, cut_of)
    assert cut is not None
    return image, cut, factor


def _read(data: bytes, cut_of: Callable[[int, int], "Cut"] | None) -> tuple[Image.Image, "Cut | None", int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning)  # odd EXIF or PNG chunks that do not matter here
            image = Image.open(io.BytesIO(data))
            orientation = _orientation(image)
            cut, factor = None, 1
            if cut_of is not None:
                cut = cut_of(*(image.size[::-1] if orientation in TURNED else image.size))
                factor = 1 if orientation in UPRIGHT else _draft(image, cut)  # turned, its last pixels would come first
            return _upright(to_rgb(image), orientation), cut, factor
    except UnusableError:
        raise
    except UnidentifiedImageError:
        raise UnusableError("does not decode (no kind of picture that Pillow knows)") from None
    except Exception as fault:  # Pillow's plugins raise whatever their parsing runs into
        raise UnusableError(f"does not decode ({type(fault).__name__}: {fault})") from None


def _draft(image: Image.Image, cut: "Cut") -> int:
    """Asks a JPEG for a smaller picture; returns by what it will be smaller."""
    if image.format != "JPEG" or image.mode not in ("RGB", "L"):
        return 1
    width, height = image.size
    for factor in (8, 4, 2):
        if min((cut.right - cut.left) / cut.width, (cut.bottom - cut.top) / cut.height) >= MARGIN * factor:
            image.draft(image.mode, (width // factor, height // factor))
            return round(width / image.size[0])
    return 1


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB; see `decode`."""
    image = _in_srgb(image)
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        shown = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, WHITE), shown).convert("RGB")
    return image.convert("RGB")


def _in_srgb(image: Image.Image) -> Image.Image:
    """A picture whose file names another colour space, in sRGB; one whose profile is broken or of another mode, as it is."""
    data = image.info.get("icc_profile")
    if not data or image.mode not in ("L", "P", "RGB", "RGBA", "CMYK"):
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if "srgb" in ImageCms.getProfileDescription(profile).lower():
            return image
        if image.mode == "P" or "transparency" in image.info:
            image = image.convert("RGBA")
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode=mode) or image
    except (ImageCms.PyCMSError, OSError, ValueError):  # viewers show such pictures, too
        return image


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF":  # Pillow turns these itself when it loads them, and tells their size as turned
        return 1
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:  # broken EXIF is common and stops no viewer
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _eight_bits(image: Image.Image) -> np.ndarray:
    """Grey levels of 16-bit and wider pictures as uint8 [h, w]; floating-point ones are 0..1, or 0..255 where they exceed 1.

    The level that a PNG names as transparent becomes white.
    """
    levels = np.asarray(image).astype(np.float64)
    wide = image.mode != "F"
    scale = 1 / 257 if wide else 255 if levels.max(initial=0) <= 1 else 1  # 65535 / 255 = 257
    grey = np.clip(np.rint(np.nan_to_num(levels * scale)), 0, 255).astype(np.uint8)
    return np.where(levels == image.info.get("transparency"), np.uint8(255), grey)


@dataclass(frozen=True)
class Cut:
    """A window of a picture, in whole pixels, and the size to which it is scaled."""

    left: int
    top: int
    right: int
    bottom: int
    width: int
    height: int

    def relative(self, box: Box) -> list[float] | None:
        """A box of the picture in units of the cut's sides (0..1), clipped to it; None if nothing of it is inside."""
        x, y, w, h = box
        left, right = np.clip([(x - self.left), (x + w - self.left)], 0, self.right - self.left) / (self.right - self.left)
        top, bottom = np.clip([(y - self.top), (y + h - self.top)], 0, self.bottom - self.top) / (self.bottom - self.top)
        if right <= left or bottom <= top:
            return None
        return [round(float(value), 6) for value in (left, top, right - left, bottom - top)]


def geometry(width: int, height: int, short_side: int, box: Box | None, box_crop: float | None) -> Cut:
    """What is kept of a picture, and at what size.

    With `box_crop`, the square around the box whose half side is `box_crop * max(w, h)`, whole pixels, clipped at the picture's
    edges (AttnGAN's datasets.py, get_imgs: int() throughout); otherwise everything. The short side becomes `short_side` px.
    Raises UnusableError if the box has no area inside the picture.
    """
    left, top, right, bottom = 0, 0, width, height
    if box_crop is not None:
        if box is None:
            raise UnusableError("has no box to crop by")
        x, y, w, h = box
        if not inside(box, width, height):
            raise UnusableError(f"has a box without area inside the picture ({x:g}, {y:g}, {w:g}, {h:g})")
        half, centre_x, centre_y = int(max(w, h) * box_crop), int((2 * x + w) / 2), int((2 * y + h) / 2)
        left, right = max(0, centre_x - half), min(width, centre_x + half)
        top, bottom = max(0, centre_y - half), min(height, centre_y + half)
        if right <= left or bottom <= top:
            raise UnusableError(f"has a box of less than a pixel ({x:g}, {y:g}, {w:g}, {h:g})")
    scale = short_side / min(right - left, bottom - top)
    wide, high = (max(short_side, round(side * scale)) for side in (right - left, bottom - top))
    if wide * high > MOST_PIXELS:
        raise UnusableError(f"is so narrow ({right - left} x {bottom - top} px) that it would become {wide} x {high} px")
    return Cut(left, top, right, bottom, wide, high)


def inside(box: Box, width: int, height: int) -> bool:
    """Whether a box has any area inside a picture."""
    x, y, w, h = box
    return all(map(isfinite, box)) and min(x + w, width) > max(x, 0) and min(y + h, height) > max(y, 0)


def resized(image: Image.Image, cut: Cut, factor: int = 1) -> Image.Image:
    """The cut at its size, by Pillow's bicubic filter, which is antialiased: it widens as the picture shrinks.

    Bicubic and not the lineage's bilinear, because it keeps small parts sharper, and not Lanczos, which rings round flat colours.
    `factor`: by what `image` is smaller than the picture in which the cut was made.
    """
    # cropped first: resize's own `box` lets the filter look beyond its edges
    edges = [edge / factor for edge in (cut.left, cut.top, cut.right, cut.bottom)]
    left, top, right, bottom = floor(edges[0]), floor(edges[1]), ceil(edges[2]), ceil(edges[3])
    window = image.crop((left, top, min(right, image.width), min(bottom, image.height)))
    if factor == 1:
        return window.resize((cut.width, cut.height), Image.Resampling.BICUBIC)
    part = (edges[0] - left, edges[1] - top, min(edges[2] - left, window.width), min(edges[3] - top, window.height))
    return window.resize((cut.width, cut.height), Image.Resampling.BICUBIC, box=part)


def encode(image: Image.Image, form: str) -> bytes:
    """The picture as png, or as jpg of quality 95 with full chroma; nothing but pixels in it."""
    buffer = io.BytesIO()
    image.info = {}
    if form == "png":
        image.save(buffer, "PNG", compress_level=6)
    else:
        image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
