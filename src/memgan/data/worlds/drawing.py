"""Antialiased drawing for the embedded worlds: smooth shapes on a supersampled Pillow canvas.

Coordinates are in units of the image's side, x to the right, y down, (0, 0) the upper left corner. A shape is an array of
points [n, 2]; templates live in a frame of their own and a `Placement` moves them into the picture.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Box = tuple[float, float, float, float]  # x, y, width, height in px
FACTOR = 3  # supersampling: three pixels a side for each pixel of the picture

COLOURS = {
    "red": (222, 36, 44),
    "orange": (252, 136, 18),
    "yellow": (255, 221, 44),
    "green": (40, 158, 66),
    "blue": (34, 96, 218),
    "purple": (146, 60, 182),
    "black": (40, 38, 46),
    "white": (252, 252, 248),
}


def smooth(control, per_segment: int = 4) -> np.ndarray:
    """The closed Catmull-Rom spline through `control` ([m, 2]), as [m * per_segment, 2] points."""
    p1 = np.asarray(control, dtype=np.float64)
    p0, p2, p3 = np.roll(p1, 1, axis=0), np.roll(p1, -1, axis=0), np.roll(p1, -2, axis=0)
    t = (np.arange(per_segment) / per_segment)[None, :, None]
    p0, p1, p2, p3 = (p[:, None, :] for p in (p0, p1, p2, p3))
    curve = p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
    return curve.reshape(-1, 2)  # [m, per_segment, 2] -> [m * per_segment, 2]


_ANGLES = {n: np.arange(n) * (2 * np.pi / n) for n in (12, 28)}
_CIRCLES = {n: np.stack([np.cos(angle), np.sin(angle)], axis=1) for n, angle in _ANGLES.items()}


def ellipse(x: float, y: float, rx: float, ry: float | None = None, points: int = 28) -> np.ndarray:
    """An axis-parallel ellipse (a circle without `ry`) round (x, y), as 12 or 28 points."""
    return _CIRCLES[points] * (rx, rx if ry is None else ry) + (x, y)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """A rectangle by two opposite corners."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def stroke(start, end, width: float) -> np.ndarray:
    """The rectangle of a straight line of the given width."""
    (x0, y0), (x1, y1) = start, end
    half = width / 2 / max(float(np.hypot(x1 - x0, y1 - y0)), 1e-9)
    dx, dy = -(y1 - y0) * half, (x1 - x0) * half
    return np.array([(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)])


class Shape:
    """A template: its outline and, for every point, the direction in which it grows."""

    def __init__(self, points) -> None:
        self.points = np.asarray(points, dtype=np.float64)
        edge = np.roll(self.points, -1, axis=0) - self.points
        normal = np.stack([edge[:, 1], -edge[:, 0]], axis=1) / np.maximum(np.hypot(*edge.T), 1e-9)[:, None]
        x, y = self.points.T
        if float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y)) < 0:  # the orientation decides what is outside
            normal = -normal
        mitre = normal + np.roll(normal, 1, axis=0)
        self.growth = mitre / np.maximum((mitre**2).sum(axis=1, keepdims=True) / 2, 0.34)  # long mitres are cut

    def grown(self, margin: float) -> np.ndarray:
        """The outline moved outwards by `margin`."""
        return self.points + margin * self.growth


@dataclass(frozen=True)
class Placement:
    """Template frame -> picture: scale, mirror, tilt (radians), then shift to `centre`."""

    centre: tuple[float, float]
    scale: float
    tilt: float = 0.0
    mirror: bool = False

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The points in the picture."""
        cos, sin = np.cos(self.tilt) * self.scale, np.sin(self.tilt) * self.scale
        flip = -1.0 if self.mirror else 1.0
        return points @ np.array([[cos * flip, sin * flip], [-sin, cos]]) + self.centre


def shaded(colours, rng: np.random.Generator, amount: float = 0.05) -> list[tuple[int, int, int]]:
    """An individual's shades of some colours: brightness and each channel vary by about `amount`."""
    u = rng.uniform(-amount, amount, size=(len(colours), 4))
    shades = np.asarray(colours) * (1.0 + u[:, :1]) + 127.5 * u[:, 1:]
    return [tuple(shade) for shade in np.clip(shades, 0, 255).astype(int).tolist()]


def mixed(colour, other, share: float) -> tuple[int, int, int]:
    """`share` of `other` blended into `colour`."""
    return tuple(round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))


class Canvas:
    """A picture in the making. `begin` and `box` bracket an object whose bounding box is wanted."""

    def __init__(self, side: int, stops: list[tuple[float, tuple[int, int, int]]]):
        """A vertical gradient through `stops`: (height 0..1, colour), heights ascending."""
        self.side, self.size = side, side * FACTOR
        heights = (np.arange(self.size) + 0.5) / self.size
        where, colours = zip(*stops, strict=True)
        column = np.stack([np.interp(heights, where, channel) for channel in np.array(colours, dtype=float).T], axis=1)
        strip = Image.fromarray(np.round(column).astype(np.uint8)[:, None, :])  # [size, 1, 3]
        self.image = strip.resize((self.size, self.size), Image.Resampling.NEAREST)
        self.pen = ImageDraw.Draw(self.image)
        self.begin()

    def begin(self) -> None:
        """Forget what was drawn before: a new object starts."""
        self.drawn: list[np.ndarray] = []

    def fill(self, points: np.ndarray, colour: tuple[int, int, int]) -> None:
        """Paint the polygon."""
        self.drawn.append(points)
        self.pen.polygon((points * self.size - 0.5).ravel().tolist(), fill=colour)

    def box(self) -> Box:
        """x, y, width, height in pixels of everything filled since `begin`, cut at the picture's edge."""
        points = np.clip(np.concatenate(self.drawn), 0, 1) * self.side
        low, high = points.min(axis=0), points.max(axis=0)
        x, y, w, h = (round(float(v), 2) for v in (*low, *(high - low)))
        return x, y, w, h

    def finish(self) -> Image.Image:
        """The picture at its own size, each pixel the mean of its FACTOR x FACTOR samples."""
        return self.image.reduce(FACTOR)


def jpeg(image: Image.Image) -> bytes:
    """JPEG at quality 95 without chroma subsampling (small bright parts keep their colour)."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
