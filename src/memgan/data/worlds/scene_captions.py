"""What people say about a scene of sceneworld: the writer of its captions and the words it shares with the reader."""

import re

import numpy as np

from memgan.data.worlds.drawing import COLOURS
from memgan.data.worlds.grammar import (
    ABSENT,
    COLOUR_SETS,
    Lexicon,
    Mentions,
    article,
    colour_word,
    narrow,
    place_lexicon,
    read,
    synonym,
    words_of,
)
from memgan.data.worlds.scene_drawing import PLACES, THINGS

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(sorted(THINGS), ("absent", *COLOURS)),
    "background": tuple(PLACES),
}
NOUNS = {
    "ball": ("ball",),
    "boat": ("boat", "sailboat"),
    "car": ("car", "automobile"),
    "cup": ("cup", "mug"),
    "fish": ("fish",),
    "flower": ("flower", "blossom"),
    "house": ("house", "cottage"),
    "kite": ("kite",),
    "mushroom": ("mushroom", "toadstool"),
    "tree": ("tree", "fir"),
}
PLACE_WORDS = {
    "meadow": ("in a meadow", "on the grass"),
    "beach": ("on the beach", "at the seaside"),
    "snow": ("in the snow", "in winter"),
    "evening": ("in the evening", "at nightfall"),
}
ONLY = frozenset(("only", "alone", "nothing"))

# by the number of things mentioned; {thing} a red ball, {that} a ball that is red, {says} the ball is red, {place} on the beach
PATTERNS = {
    1: (
        "{thing}",
        "{thing} {place}",
        "{place} there is {thing}",
        "a picture of {thing}",
        "{that} {place}",
        "here you see {that}",
        "only {thing} {place}",
        "{thing} all alone",
        "nothing but {thing}",
        "{says}",
        "look, {thing} {place}!",
        "someone left {thing} {place}",
    ),
    2: (
        "{thing} and {thing}",
        "{thing} and {thing} {place}",
        "{thing} next to {thing}",
        "{thing} beside {that}",
        "{place} there are {thing} and {thing}",
        "{says} and {says}",
        "{thing} with {thing} {place}",
        "a drawing of {thing} near {thing}",
        "{place}, {thing} close to {thing}",
        "{says} while {says}",
        "only {thing} and {thing} {place}",
        "we found {thing} together with {thing}",
    ),
    3: (
        "{thing}, {thing} and {thing}",
        "{thing}, {thing} and {thing} {place}",
        "{thing} with {thing} and {thing}",
        "{place}, {thing} among {thing} and {thing}",
        "{says}, {says} and {says}",
        "{thing} and {thing} around {that}",
        "there are {thing}, {thing} and {thing}",
        "{thing} near {thing} near {thing} {place}",
    ),
}
WORDS = 18  # the longest caption, so that encoders read all of it


class Writer:
    """One caption in the making: fills a pattern's slots and keeps what it commits to in `mentions`."""

    def __init__(self, attributes: dict[str, str], rng: np.random.Generator):
        self.attributes, self.rng = attributes, rng
        self.mentions: Mentions = {}
        things = [category for category in THINGS if attributes[category] != "absent"]
        self.things = [things[i] for i in rng.permutation(len(things))]

    def fill(self, pattern: str) -> str:
        """The pattern's sentence."""
        text = re.sub(r"\{(\w+)\}", lambda slot: getattr(self, slot[1])(), pattern)
        if ONLY.intersection(words_of(text)):
            self.mentions = dict.fromkeys(THINGS, ABSENT) | self.mentions
        return text

    def noun(self) -> tuple[str, str]:
        """The next thing and a word for it."""
        category = self.things.pop()
        narrow(self.mentions, category, frozenset(COLOURS), ATTRIBUTES[category])
        return category, synonym(self.rng, NOUNS[category], 0.7)

    def colour(self, category: str) -> str:
        """A word for the thing's colour."""
        word = colour_word(self.rng, self.attributes[category])
        narrow(self.mentions, category, COLOUR_SETS[word], ATTRIBUTES[category])
        return word

    def thing(self) -> str:
        """A red ball, or a ball."""
        category, noun = self.noun()
        return article(f"{self.colour(category)} {noun}" if self.rng.random() < 0.85 else noun)

    def that(self) -> str:
        """A ball that is red."""
        category, noun = self.noun()
        return f"{article(noun)} that is {self.colour(category)}"

    def says(self) -> str:
        """The ball is red."""
        category, noun = self.noun()
        return f"the {noun} is {self.colour(category)}"

    def place(self) -> str:
        """On the beach."""
        place = self.attributes["background"]
        narrow(self.mentions, "background", frozenset([place]), ATTRIBUTES["background"])
        return synonym(self.rng, PLACE_WORDS[place])


def fitting(attributes: dict[str, str], count: int) -> tuple[str, ...]:
    """The patterns that mention `count` things and are true of the scene."""
    complete = count == sum(attributes[category] != "absent" for category in THINGS)
    return tuple(pattern for pattern in PATTERNS[count] if complete or not ONLY.intersection(words_of(pattern)))


def write_caption(attributes: dict[str, str], rng: np.random.Generator, pattern: str) -> tuple[str, Mentions]:
    """A caption after one of the `fitting` patterns, at most WORDS long, and what it commits to."""
    while True:
        writer = Writer(attributes, rng)
        text = writer.fill(pattern)
        if len(words_of(text)) <= WORDS:
            return text, writer.mentions


def _lexicon() -> Lexicon:
    heads = {noun: category for category, nouns in NOUNS.items() for noun in nouns}
    return Lexicon(ATTRIBUTES, heads, place_lexicon(PLACE_WORDS), presence=dict.fromkeys(THINGS, frozenset(COLOURS)), only=ONLY)


LEXICON = _lexicon()


def read_caption(text: str) -> Mentions:
    """The ideal reader: attribute -> allowed values, for what the caption mentions; {} for words it does not know."""
    return read(text, LEXICON)
