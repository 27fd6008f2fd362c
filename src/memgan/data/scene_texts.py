"""Captions of composed scenes: what stands in them, by their authors' names or by category, where, and on what."""

import colorsys
import re
from collections import Counter
from typing import NamedTuple

import numpy as np

HUES = {15: "red", 45: "orange", 70: "yellow", 160: "green", 190: "turquoise", 255: "blue", 290: "purple", 345: "pink", 360: "red"}
PALE, DARK = 0.15, 0.6  # saturation below which a colour is grey, value below which orange is brown
NUMBERS = {2: "two", 3: "three", 4: "four"}
UNCHANGED = ("fish",)  # their plural


class Thing(NamedTuple):
    """One object of a scene: its category, its author's name for it, the middle of its box in px."""

    category: str
    name: str
    x: float
    y: float


def phrase(caption: str) -> str:
    """A name out of an author's caption: `A “Granny Smith” apple.` -> `a granny smith apple`."""
    text = re.sub(r"\([^)]*\)", " ", caption)
    words = re.sub(r"[^\w' -]", " ", text).lower().split()
    if not words or words[0] in ("a", "an", "the", "some", "two", "three"):
        return " ".join(words)
    return f"{article(words[0])} {' '.join(words)}"


def article(word: str) -> str:
    """`a` or `an`."""
    return "an" if word[:1] in "aeiou" else "a"


def category_of(folder: str) -> str:
    """A category's name from a class's: `003.Insects` -> `insect`."""
    name = folder.rpartition(".")[2].replace("_", " ").lower()
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name


def counted(things: list[Thing]) -> list[str]:
    """Categories with their numbers: `two birds`, `an insect`."""
    counts = Counter(thing.category for thing in things)
    return [
        f"{article(name)} {name}" if n == 1 else f"{NUMBERS[n]} {name}{'' if name in UNCHANGED else 's'}"
        for name, n in counts.items()
    ]


def listed(names: list[str]) -> str:
    """`a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def colour_of(colour: tuple[float, ...]) -> str:
    """The name of a colour, red, green and blue in 0..255."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(level / 255 for level in colour))
    if saturation < PALE:
        return "grey"
    name = next(name for end, name in HUES.items() if 360 * hue <= end)
    return "brown" if name == "orange" and value < DARK else name


def captions(things: list[Thing], backdrop: str, rng: np.random.Generator) -> list[str]:
    """Five captions, no two alike; the first two name every category, the third every object, the others some of it."""
    order = [things[i] for i in rng.permutation(len(things))]
    names, kinds, first = [thing.name for thing in order], counted(order), order[0]
    lines = [
        f"{listed(kinds)} on {article(backdrop)} {backdrop} backdrop",
        f"a picture of {listed(kinds)}",
        f"{listed(names)} on {backdrop}",
    ]
    if len(order) == 1:
        return [*lines, f"this is {first.name}", f"{first.name}, {article(first.category)} {first.category}"]
    second = order[1]
    side = "to the left of" if first.x < second.x else "to the right of"
    height = "above" if first.y < second.y else "below"
    kind, other = (f"{article(thing.category)} {thing.category}" for thing in (first, second))
    return [
        *lines,
        f"{first.name} {side} {second.name}",
        f"{kind} {height} {other if other != kind else f'another {first.category}'}",
    ]
