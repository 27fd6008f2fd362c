"""How a scene of sceneworld is drawn: ten things in a toy world with four backgrounds.

Templates fit the square [-1, 1] x [-1, 1]. A thing is a tuple of layers (shape, tone), of which the first few, its silhouette,
are outlined together before any is filled. A tone is a fixed colour, or derived from the thing's own: main, dark, light, mark.
"""

import numpy as np
from PIL import Image

from memgan.data.worlds.drawing import COLOURS, Canvas, Placement, Shape, ellipse, mixed, rectangle, shaded, smooth, stroke

INK = (52, 42, 56)
PEN = 0.011  # outline, share of the picture's side
WHITE, GLASS, BARK, STEM, TYRE = (255, 255, 255), (206, 232, 246), (134, 90, 56), (74, 138, 66), (58, 54, 64)
CREAM, IRON = (250, 236, 208), (196, 196, 204)


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float, points: int = 14) -> np.ndarray:
    angle = np.radians(np.linspace(start, end, points))
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def _band(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    return np.concatenate([outer, inner[::-1]])


def _layers(*layers) -> tuple:
    return tuple((Shape(points), tone) for points, tone in layers)


_PETALS = [(ellipse(0.50 * np.cos(a), -0.38 + 0.50 * np.sin(a), 0.34), "main") for a in np.radians([-90, -18, 54, 126, 198])]

# category -> (number of layers of the silhouette, layers from back to front)
THINGS = {
    "ball": (1, _layers(
        (ellipse(0, 0, 0.92), "main"),
        (_band(_arc(0, 0, 0.92, 0.92, 150, 30), _arc(0, -0.22, 0.98, 0.74, 150, 30)), "dark"),
        (_band(_arc(0, 0, 0.36, 0.92, -90, 90), _arc(0, 0, 0.14, 0.92, -90, 90)), "light"),
        (ellipse(-0.42, -0.44, 0.20, 0.14), WHITE))),
    "boat": (4, _layers(
        (rectangle(-0.05, -1.0, 0.06, 0.4), BARK),
        ([(-0.98, 0.36), (0.98, 0.36), (0.62, 0.92), (-0.66, 0.92)], "main"),
        (smooth([(0.14, -0.96), (0.54, -0.52), (0.88, 0.18), (0.14, 0.20)], 5), "main"),
        ([(-0.12, -0.72), (-0.12, 0.20), (-0.74, 0.20)], "light"),
        ([(-0.88, 0.50), (0.90, 0.50), (0.82, 0.63), (-0.80, 0.63)], "mark"))),
    "car": (4, _layers(
        (smooth([(-0.56, 0.10), (-0.42, -0.50), (0.16, -0.54), (0.54, 0.10)], 6), "main"),
        (smooth([(-0.98, 0.40), (-0.94, -0.02), (-0.50, -0.10), (0.30, -0.10), (0.86, -0.02), (1.0, 0.22), (0.96, 0.46), (0, 0.50),
                 (-0.92, 0.48)], 4), "main"),
        (ellipse(-0.52, 0.48, 0.26), TYRE), (ellipse(0.54, 0.48, 0.26), TYRE),
        ([(-0.40, -0.06), (-0.32, -0.38), (-0.10, -0.40), (-0.10, -0.06)], GLASS),
        ([(0.02, -0.06), (0.02, -0.40), (0.18, -0.38), (0.38, -0.06)], GLASS),
        (ellipse(-0.52, 0.48, 0.11), IRON), (ellipse(0.54, 0.48, 0.11), IRON),
        (ellipse(0.92, 0.16, 0.09, 0.10), (255, 240, 170)))),
    "cup": (2, _layers(
        (_band(_arc(0.46, 0.04, 0.50, 0.46, -100, 100, 20), _arc(0.46, 0.04, 0.28, 0.24, -100, 100, 20)), "main"),
        (smooth([(-0.80, -0.62), (0.56, -0.62), (0.54, 0.10), (0.36, 0.74), (0.04, 0.80), (-0.28, 0.80), (-0.60, 0.74),
                 (-0.78, 0.10)], 4),
         "main"),
        (ellipse(-0.12, -0.60, 0.64, 0.17), "dark"),
        (stroke((-0.58, -0.28), (-0.48, 0.40), 0.14), "light"))),
    "fish": (3, _layers(
        (smooth([(-0.50, 0.0), (-0.98, -0.52), (-0.84, 0.0), (-0.98, 0.52)], 4), "main"),
        (smooth([(-0.12, -0.44), (0.08, -0.84), (0.36, -0.66), (0.46, -0.36)], 4), "dark"),
        (smooth([(0.98, 0.02), (0.62, -0.42), (0.10, -0.54), (-0.44, -0.26), (-0.62, 0.0), (-0.44, 0.28), (0.10, 0.54),
                 (0.62, 0.44)], 5),
         "main"),
        (smooth([(0.02, 0.02), (-0.34, -0.08), (-0.30, 0.14), (-0.36, 0.34)], 4), "dark"),
        (_band(_arc(0.30, 0, 0.20, 0.46, -80, 80), _arc(0.20, 0, 0.20, 0.46, -80, 80)), "mark"),
        (ellipse(0.66, -0.12, 0.14), WHITE), (ellipse(0.69, -0.12, 0.085), TYRE))),
    "flower": (8, _layers(
        (rectangle(-0.07, 0.0, 0.07, 1.0), STEM),
        (smooth([(0.04, 0.92), (0.30, 0.56), (0.72, 0.50), (0.48, 0.84)], 5), STEM),
        (smooth([(-0.04, 0.92), (-0.30, 0.56), (-0.72, 0.50), (-0.48, 0.84)], 5), STEM),
        *_PETALS,
        (ellipse(0, -0.38, 0.30), (112, 70, 40)), (ellipse(-0.05, -0.43, 0.16), (150, 100, 58)))),
    "house": (3, _layers(
        (rectangle(0.34, -0.92, 0.60, -0.30), BARK),
        (rectangle(-0.76, -0.16, 0.76, 0.92), "main"),
        ([(-1.0, -0.12), (0.0, -1.0), (1.0, -0.12)], "dark"),
        (rectangle(-0.16, 0.30, 0.20, 0.92), BARK),
        (rectangle(-0.58, 0.10, -0.28, 0.44), GLASS), (rectangle(0.32, 0.10, 0.62, 0.44), GLASS))),
    "kite": (4, _layers(
        (smooth([(0.0, 0.42), (0.10, 0.60), (-0.10, 0.80), (0.0, 1.0), (-0.05, 1.0), (-0.17, 0.80), (0.04, 0.60),
                 (-0.06, 0.44)], 4), INK),
        ([(-0.28, 0.56), (0.04, 0.66), (0.30, 0.54), (0.30, 0.78), (0.04, 0.68), (-0.28, 0.80)], "main"),
        ([(-0.38, 0.86), (-0.06, 0.94), (0.22, 0.84), (0.22, 1.06), (-0.06, 0.98), (-0.38, 1.08)], "main"),
        ([(0.0, -1.0), (0.68, -0.30), (0.0, 0.46), (-0.68, -0.30)], "main"),
        ([(0.0, -1.0), (0.0, -0.30), (-0.68, -0.30)], "light"), ([(0.0, -0.30), (0.68, -0.30), (0.0, 0.46)], "dark"))),
    "mushroom": (2, _layers(
        (smooth([(-0.26, 0.0), (0.26, 0.0), (0.28, 0.50), (0.44, 0.92), (-0.44, 0.92), (-0.28, 0.50)], 4), CREAM),
        (smooth([(-0.98, 0.08), (-0.84, -0.46), (-0.44, -0.84), (0.0, -0.94), (0.44, -0.84), (0.84, -0.46), (0.98, 0.08),
                 (0.50, 0.22), (0.0, 0.26), (-0.50, 0.22)], 4), "main"),
        (ellipse(-0.42, -0.36, 0.19, 0.17), "spot"), (ellipse(0.20, -0.56, 0.17, 0.15), "spot"),
        (ellipse(0.56, -0.14, 0.16, 0.15), "spot"), (ellipse(-0.02, -0.08, 0.13, 0.11), "spot"))),
    "tree": (4, _layers(
        (rectangle(-0.15, 0.50, 0.15, 1.0), BARK),
        (smooth([(0.0, -0.30), (0.82, 0.56), (0.0, 0.68), (-0.82, 0.56)], 4), "main"),
        (smooth([(0.0, -0.66), (0.66, 0.16), (0.0, 0.26), (-0.66, 0.16)], 4), "main"),
        (smooth([(0.0, -1.04), (0.48, -0.28), (0.0, -0.18), (-0.48, -0.28)], 4), "main"),
        (smooth([(-0.60, 0.20), (0.0, 0.29), (0.60, 0.20), (0.40, 0.32), (-0.40, 0.32)], 3), "dark"),
        (smooth([(-0.42, -0.25), (0.0, -0.15), (0.42, -0.25), (0.28, -0.10), (-0.28, -0.10)], 3), "dark"))),
}  # fmt: skip

# sky above and at the horizon, ground near the horizon and in front
PLACES = {
    "meadow": (((196, 228, 246), (228, 244, 240)), ((186, 224, 150), (152, 204, 120))),
    "beach": (((186, 222, 240), (150, 206, 228)), ((248, 232, 190), (236, 212, 160))),
    "snow": (((182, 196, 224), (212, 220, 238)), ((226, 234, 246), (204, 216, 236))),
    "evening": (((176, 156, 206), (252, 200, 180)), ((178, 156, 178), (146, 128, 160))),
}
HORIZON, FLOOR, BACK = 0.46, 0.88, 0.50


def scenery(place: str, rng: np.random.Generator, side: int) -> Canvas:
    """The empty place."""
    (top, low), (ground, front) = PLACES[place]
    top, low, ground, front = shaded((top, low, ground, front), rng, 0.03)
    horizon = HORIZON + 0.03 * rng.uniform(-1, 1)
    canvas = Canvas(side, [(0.0, top), (horizon, low), (horizon + 0.004, ground), (1.0, front)])
    x, y = rng.uniform(0.1, 0.9, size=3), rng.uniform(0.07, 0.2, size=3)
    if place == "meadow":
        canvas.fill(ellipse(float(x[0]), horizon + 0.10, 0.45, 0.18), mixed(ground, low, 0.35))
        canvas.fill(rectangle(0, horizon + 0.1, 1, horizon + 0.3), mixed(ground, front, 0.4))
        _cloud(canvas, float(x[1]), float(y[1]))
    elif place == "beach":
        canvas.fill(rectangle(0, horizon - 0.12, 1, horizon), mixed(low, (70, 150, 200), 0.35))
        _cloud(canvas, float(x[1]), float(y[1]))
    elif place == "snow":
        canvas.fill(ellipse(float(x[0]), horizon + 0.08, 0.5, 0.16), mixed(ground, low, 0.4))
        for i in range(3):
            canvas.fill(ellipse(float(x[i]), float(y[i]) * 1.5, 0.016, points=12), WHITE)
            canvas.fill(ellipse(1 - float(x[i]), float(y[2 - i]) + 0.2, 0.016, points=12), WHITE)
    else:
        canvas.fill(ellipse(float(x[0]), horizon - 0.04, 0.11), (255, 222, 160))
        canvas.fill(rectangle(0, horizon, 1, horizon + 0.1), ground)
    return canvas


def _cloud(canvas: Canvas, x: float, y: float) -> None:
    for dx, dy, r in ((-0.09, 0.02, 0.05), (0.0, 0.0, 0.07), (0.09, 0.02, 0.05)):
        canvas.fill(ellipse(x + dx, y + dy, r, r * 0.7), (246, 250, 252))


def layout(categories: list[str], rng: np.random.Generator, pose: float) -> list[Placement]:
    """A place for each thing, in the order given: one or two in front, a third behind them; a kite flies in the sky."""
    count = len(categories)
    size = (0.62, 0.44, 0.40)[count - 1]
    middles = ((0.5,), (0.26, 0.74), (0.26, 0.5, 0.74))[count - 1]
    u = rng.uniform(-1, 1, size=(count, 4))
    mirrored = rng.uniform(size=count) < pose - 0.5
    places = []
    for i, category in enumerate(categories):
        half = size / 2 * min(1 + 0.4 * pose * u[i, 0], 1.06)
        y = (BACK if (count, i) == (3, 1) else FLOOR) - half + 0.08 * pose * u[i, 3]
        if category == "kite" and count < 3:
            y -= 0.28
        room = half * 1.08 + 0.015
        x, y = (float(np.clip(v, room, 1 - room)) for v in (middles[i] + 0.12 * pose * u[i, 2] / count, y))
        places.append(Placement((x, y), half, 0.35 * pose * float(u[i, 1]), bool(mirrored[i])))
    return places


def paint_thing(canvas: Canvas, category: str, colour: str, at: Placement, rng: np.random.Generator) -> None:
    """Draw one thing in its place."""
    main = shaded([COLOURS[colour]], rng)[0]
    pale = sum(main) > 600
    tones = {"main": main, "dark": mixed(main, INK, 0.28), "light": mixed(main, WHITE, 0.35), "mark": mixed(main, WHITE, 0.6),
             "spot": mixed(main, INK, 0.35) if pale else (250, 248, 240)}  # fmt: skip
    if pale:
        tones |= {"dark": mixed(main, INK, 0.14), "light": mixed(main, INK, 0.07), "mark": mixed(main, INK, 0.25)}
    silhouette, layers = THINGS[category]
    for shape, _ in layers[:silhouette]:
        canvas.fill(at(shape.grown(PEN / at.scale)), INK)
    for shape, tone in layers:
        canvas.fill(at(shape.points), tones.get(tone, tone) if isinstance(tone, str) else tone)


def draw_scene(place: str, things: dict[str, str], rng: np.random.Generator, side: int, pose: float) -> tuple[Image.Image, dict]:
    """The picture (RGB, side x side) of things (category -> colour) and their boxes x, y, w, h in pixels by category."""
    canvas = scenery(place, rng, side)
    order = [list(things)[i] for i in rng.permutation(len(things))]
    if len(order) == 3 and "kite" in order:  # behind and above is where a kite belongs
        order.remove("kite")
        order.insert(1, "kite")
    boxes = {}
    for category, at in zip(order, layout(order, rng, pose), strict=True):
        canvas.begin()
        paint_thing(canvas, category, things[category], at, rng)
        boxes[category] = canvas.box()
    return canvas.finish(), boxes
