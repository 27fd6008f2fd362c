"""How a bird of birdworld is drawn: three body shapes, three beaks, three wing patterns, four places.

Templates face right. A figure spans about 2 units; the outline is grown by a fixed share of the picture's side, so that small
birds and large ones look drawn with one pen.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from memgan.data.worlds.drawing import COLOURS, Canvas, Placement, Shape, ellipse, mixed, rectangle, shaded, smooth, stroke

INK = (52, 42, 56)
PEN = 0.012  # outline, share of the picture's side


@dataclass(frozen=True)
class Figure:
    """One body shape: outlines of its parts in the template frame."""

    body: Shape
    crown: Shape
    breast: Shape
    wing: Shape
    tail: Shape
    legs: tuple[Shape, ...]
    beaks: dict[str, Shape]
    spots: tuple[np.ndarray, ...]
    bars: tuple[np.ndarray, ...]
    eye: tuple[float, float]
    centre: tuple[float, float]  # middle of the bounding box
    span: float  # longer side of the bounding box


def _figure(body, crown, breast, wing, tail, eye, beak, hips, ground, marks) -> Figure:
    shapes = {"body": body, "crown": crown, "breast": breast, "wing": wing, "tail": tail}
    shapes = {part: Shape(smooth(points)) for part, points in shapes.items()}
    legs = []
    for x, y in hips:
        legs.append(Shape(stroke((x, y), (x, ground), 0.085)))
        legs.append(Shape(stroke((x - 0.07, ground - 0.03), (x + 0.16, ground - 0.03), 0.075)))
    points = np.concatenate([*(shape.points for shape in (*shapes.values(), *legs)), [[beak[0] + 0.48, beak[1]]]])
    low, high = points.min(axis=0), points.max(axis=0)
    return Figure(
        **shapes,
        legs=tuple(legs),
        beaks={name: Shape(np.asarray(points) * 1.15 + beak) for name, points in BEAKS.items()},
        spots=tuple(ellipse(*marks[i], 0.075, points=12) for i in (0, 1, 2, 3, 5)),
        bars=tuple(
            stroke((marks[i][0] + 0.06, marks[i][1] - 0.07), (marks[i + 1][0] - 0.02, marks[i + 1][1] + 0.05), 0.10)
            for i in (0, 2, 4)
        ),
        eye=eye,
        centre=(float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2),
        span=float((high - low).max()),
    )


BEAKS = {
    "short": [(-0.06, -0.15), (0.22, 0.03), (-0.06, 0.17)],
    "long": [(-0.06, -0.10), (0.48, 0.05), (-0.06, 0.12)],
    "hooked": smooth([(-0.06, -0.15), (0.14, -0.13), (0.26, 0.04), (0.22, 0.27), (0.14, 0.12), (-0.06, 0.14)]),
}

FIGURES = {
    "plump": _figure(
        body=[(0.40, -0.80), (0.66, -0.70), (0.78, -0.46), (0.74, -0.22), (0.78, 0.08), (0.60, 0.42), (0.16, 0.60),
              (-0.30, 0.50), (-0.60, 0.22), (-0.62, 0.00), (-0.36, -0.22), (-0.04, -0.40), (0.12, -0.66)],
        crown=[(0.02, -0.86), (0.22, -0.88), (0.44, -0.86), (0.66, -0.74), (0.74, -0.56), (0.56, -0.60), (0.34, -0.58),
               (0.14, -0.50), (0.02, -0.50), (0.10, -0.68)],
        breast=[(0.72, -0.16), (0.78, 0.08), (0.60, 0.42), (0.18, 0.60), (-0.24, 0.51), (0.10, 0.38), (0.36, 0.14), (0.52, -0.12)],
        wing=[(0.12, -0.10), (0.26, 0.08), (0.10, 0.28), (-0.22, 0.37), (-0.66, 0.42), (-0.50, 0.20), (-0.22, -0.04)],
        tail=[(-0.46, -0.02), (-0.92, -0.24), (-1.12, -0.18), (-1.10, 0.06), (-0.86, 0.20), (-0.50, 0.28)],
        eye=(0.53, -0.44), beak=(0.74, -0.40), hips=((0.02, 0.54), (0.26, 0.54)), ground=0.92,
        marks=[(0.12, 0.02), (0.02, 0.22), (-0.10, 0.06), (-0.20, 0.26), (-0.32, 0.12), (-0.44, 0.31)],
    ),
    "slender": _figure(
        body=[(0.56, -0.66), (0.80, -0.56), (0.90, -0.34), (0.84, -0.12), (0.76, 0.10), (0.50, 0.36), (0.06, 0.44),
              (-0.38, 0.32), (-0.64, 0.12), (-0.62, -0.04), (-0.30, -0.20), (0.08, -0.32), (0.30, -0.50)],
        crown=[(0.20, -0.74), (0.40, -0.74), (0.60, -0.74), (0.82, -0.60), (0.88, -0.42), (0.70, -0.46), (0.50, -0.44),
               (0.30, -0.38), (0.18, -0.42), (0.26, -0.58)],
        breast=[(0.84, -0.10), (0.76, 0.10), (0.50, 0.36), (0.06, 0.44), (-0.34, 0.33), (0.06, 0.24), (0.38, 0.06), (0.62, -0.10)],
        wing=[(0.24, -0.12), (0.36, 0.04), (0.14, 0.21), (-0.26, 0.27), (-0.80, 0.28), (-0.54, 0.08), (-0.08, -0.11)],
        tail=[(-0.46, -0.08), (-0.90, -0.22), (-1.26, -0.34), (-1.34, -0.14), (-1.20, 0.06), (-0.88, 0.18), (-0.50, 0.22)],
        eye=(0.69, -0.30), beak=(0.87, -0.26), hips=((0.00, 0.36), (0.22, 0.36)), ground=0.72,
        marks=[(0.20, -0.02), (0.10, 0.13), (-0.08, 0.00), (-0.20, 0.17), (-0.36, 0.06), (-0.50, 0.21)],
    ),
    "tall": _figure(
        body=[(0.46, -1.06), (0.64, -0.98), (0.70, -0.82), (0.62, -0.66), (0.58, -0.42), (0.62, -0.14), (0.46, 0.16), (0.08, 0.28),
              (-0.34, 0.20), (-0.62, 0.02), (-0.58, -0.14), (-0.22, -0.26), (0.14, -0.36), (0.30, -0.62), (0.28, -0.92)],
        crown=[(0.10, -1.08), (0.30, -1.12), (0.50, -1.12), (0.66, -1.02), (0.70, -0.88), (0.56, -0.92), (0.38, -0.90),
               (0.24, -0.80), (0.10, -0.86), (0.20, -0.98)],
        breast=[(0.58, -0.44), (0.62, -0.14), (0.46, 0.16), (0.08, 0.28), (-0.30, 0.21), (0.02, 0.14), (0.28, -0.04),
                (0.40, -0.34)],
        wing=[(0.18, -0.17), (0.27, -0.03), (0.08, 0.12), (-0.26, 0.18), (-0.72, 0.24), (-0.54, 0.06), (-0.16, -0.14)],
        tail=[(-0.46, -0.10), (-0.84, -0.14), (-1.00, -0.04), (-0.98, 0.18), (-0.76, 0.24), (-0.46, 0.16)],
        eye=(0.52, -0.82), beak=(0.67, -0.78), hips=((-0.02, 0.22), (0.20, 0.22)), ground=0.98,
        marks=[(0.14, -0.07), (0.04, 0.06), (-0.08, -0.04), (-0.20, 0.10), (-0.34, 0.02), (-0.46, 0.16)],
    ),
}  # fmt: skip

# sky from the top, horizon, ground; the second colour of each pair is the scenery's
PLACES = {
    "meadow": (((214, 236, 244), (232, 244, 232)), ((176, 216, 142), (150, 196, 120))),
    "lake": (((206, 226, 240), (224, 238, 246)), ((150, 200, 226), (124, 180, 214))),
    "desert": (((250, 236, 208), (252, 226, 190)), ((238, 206, 150), (222, 184, 124))),
    "dusk": (((222, 196, 222), (250, 208, 200)), ((196, 170, 190), (174, 146, 172))),
}
HORIZON = 0.70


def scenery(place: str, rng: np.random.Generator, side: int) -> Canvas:
    """The empty place: sky, ground and a little of what grows or rolls there."""
    (top, low), (ground, deep) = PLACES[place]
    top, low, ground, deep = shaded((top, low, ground, deep), rng, 0.03)
    horizon = HORIZON + 0.03 * rng.uniform(-1, 1)
    canvas = Canvas(side, [(0.0, top), (horizon, low), (horizon + 0.004, ground), (1.0, deep)])
    x, width = rng.uniform(0.0, 1.0, size=3), rng.uniform(0.16, 0.4, size=3)
    if place == "meadow":
        for i in range(3):
            canvas.fill(ellipse(x[i], horizon + 0.04, width[i], 0.10), mixed(ground, low, 0.25 * i))
    elif place == "lake":
        for i in range(3):
            y = horizon + 0.06 + 0.08 * i
            canvas.fill(ellipse(x[i], y, width[i] * 0.6, 0.008), mixed(ground, (255, 255, 255), 0.45))
    elif place == "desert":
        for i in range(2):
            dune = [(x[i] - width[i], horizon + 0.02), (x[i], horizon - 0.10), (x[i] + width[i], horizon + 0.02)]
            canvas.fill(smooth(dune), mixed(ground, low, 0.3))
    else:
        canvas.fill(ellipse(x[0], horizon - 0.10, 0.10), (255, 226, 176))
        canvas.fill(rectangle(0, horizon, 1, horizon + 0.12), ground)
    return canvas


def placement(figure: Figure, rng: np.random.Generator, pose: float) -> Placement:
    """Where the bird stands: `pose` 0 always the same; 0.25 scale +-10 %, position +-3 %, tilt +-0.1; 1 mirrored, freely scaled."""
    u = rng.uniform(-1, 1, size=4)
    mirror = bool(rng.uniform() < pose - 0.5)
    span = min(0.82 * (1 + 0.4 * pose * u[0]), 0.94)
    scale, tilt = span / figure.span, 0.4 * pose * u[1]
    bare = Placement((0.0, 0.0), scale, tilt, mirror)
    middle = bare(np.array([figure.centre]))[0]
    room = (0.97 - span) / 2
    x, y = np.clip(0.12 * pose * u[2:], -room, room)
    return Placement((float(0.5 - middle[0] + x), float(0.51 - middle[1] + y)), scale, tilt, mirror)


PARTS = ("primary", "crown", "wing", "breast", "tail", "beak", "leg")


def paint_bird(canvas: Canvas, attributes: dict[str, str], rng: np.random.Generator, pose: float) -> None:
    """Draw the bird on the scenery (attributes as in `birdworld.ATTRIBUTES`)."""
    figure = FIGURES[attributes["shape"]]
    colour = dict(zip(PARTS, shaded([COLOURS[attributes[f"{part}_color"]] for part in PARTS], rng), strict=True))
    at = placement(figure, rng, pose)
    pen = PEN / at.scale
    beak = figure.beaks[attributes["beak_shape"]]
    for shape in (*figure.legs, figure.tail, beak, figure.body, figure.crown):
        canvas.fill(at(shape.grown(pen)), INK)
    for leg in figure.legs:
        canvas.fill(at(leg.points), colour["leg"])
    layers = {"tail": figure.tail, "beak": beak, "primary": figure.body, "breast": figure.breast, "crown": figure.crown}
    for part, shape in layers.items():
        canvas.fill(at(shape.points), colour[part])
    canvas.fill(at(figure.wing.grown(0.7 * pen)), mixed(colour["wing"], INK, 0.55))
    canvas.fill(at(figure.wing.points), colour["wing"])
    mark = mixed(colour["wing"], INK if sum(colour["wing"]) > 330 else (255, 255, 255), 0.8)
    for points in {"plain": (), "spotted": figure.spots, "barred": figure.bars}[attributes["wing_pattern"]]:
        canvas.fill(at(points), mark)
    x, y = figure.eye
    canvas.fill(at(ellipse(x, y, 0.12)), (255, 255, 255))
    canvas.fill(at(ellipse(x + 0.015, y, 0.082, points=12)), (26, 22, 30))
    canvas.fill(at(ellipse(x + 0.05, y - 0.03, 0.03, points=12)), (255, 255, 255))


def draw_bird(attributes: dict[str, str], rng: np.random.Generator, side: int, pose: float) -> tuple[Image.Image, tuple]:
    """The picture (RGB, side x side) and the bird's box x, y, w, h in pixels."""
    canvas = scenery(attributes["background"], rng, side)
    canvas.begin()
    paint_bird(canvas, attributes, rng, pose)
    return canvas.finish(), canvas.box()
