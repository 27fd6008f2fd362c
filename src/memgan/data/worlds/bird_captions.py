"""What people say about a bird of birdworld: the writer of its captions and the words it shares with the reader."""

import re

import numpy as np

from memgan.data.worlds.bird_drawing import BEAKS, FIGURES, PLACES
from memgan.data.worlds.drawing import COLOURS
from memgan.data.worlds.grammar import (
    COLOUR_SETS,
    Lexicon,
    Mentions,
    article,
    colour_word,
    narrow,
    pick,
    place_lexicon,
    read,
    synonym,
    words_of,
)

BARE_COLOURS = ("black", "orange", "red", "yellow")  # of beaks and legs
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    **{f"{part}_color": tuple(COLOURS) for part in ("primary", "crown", "wing", "breast", "tail")},
    "beak_color": BARE_COLOURS,
    "leg_color": BARE_COLOURS,
    "shape": tuple(FIGURES),
    "beak_shape": tuple(BEAKS),
    "wing_pattern": ("plain", "barred", "spotted"),
    "background": tuple(PLACES),
}

NOUNS = {
    "primary_color": ("bird", "songbird"),
    "crown_color": ("crown", "cap"),
    "wing_color": ("wings",),
    "breast_color": ("breast", "belly", "chest"),
    "tail_color": ("tail",),
    "beak_color": ("beak", "bill"),
    "leg_color": ("legs", "feet"),
}
PARTS = tuple(attribute for attribute in NOUNS if attribute != "primary_color")
_RARER = np.array([0.35 if part in ("beak_color", "leg_color") else 0.0 for part in PARTS])
BODY = ("body", "back", "plumage")  # other nouns that carry the primary colour
PLURAL = frozenset(("wings", "legs", "feet", "plumage"))

# attribute -> the noun's attribute it is said of, and value(s) -> words
QUALITIES = {
    "shape": ("primary_color", {("plump",): ("plump", "chubby", "round"), ("slender",): ("slender", "slim", "sleek"),
                                ("tall",): ("tall", "lanky", "large", "big"), ("plump", "slender"): ("small", "little")}),
    "beak_shape": ("beak_color", {("short",): ("short", "stubby"), ("long",): ("long", "needle"),
                                  ("hooked",): ("hooked", "curved")}),
    "wing_pattern": ("wing_color", {("plain",): ("plain",), ("barred",): ("barred", "striped"), ("spotted",): ("spotted", "dotted"),
                                    ("barred", "spotted"): ("patterned",)}),
}  # fmt: skip
PLACE_WORDS = {
    "meadow": ("in a meadow", "on the grass", "in a field"),
    "lake": ("by a lake", "at the water"),
    "desert": ("in the desert", "on the sand"),
    "dusk": ("at dusk", "at sunset"),
}

# {bird} a small red bird, {kind} the same without article, {part} next part as a noun phrase, {says} a statement about it, {on}
# red on the crown, {body} red plumage, {hue} red, said of the whole bird, {place} in a meadow
PATTERNS = (
    "{bird} with {part} and {part}",
    "{bird} with {part}, {part} and {part}",
    "{bird} with {part}, {part}, {part} and {part}",
    "{bird} {place}, with {part}, {part} and {part}",
    "{place}, {bird} with {part} and {part}",
    "{bird} sitting {place}",
    "this {kind} has {part}, {part} and {part}",
    "this {kind} has {part} and {part}, {says}",
    "this is {bird} that has {part}, {part} and {part}",
    "the bird has {part}, {part}, {part}, and it is {hue}",
    "{part}, {part} and {part} on {bird}",
    "{part}, {part}, {part}, {part}",
    "{body} and {part}, you can see {part} and {part} on this bird",
    "{bird} whose {says_bare} and whose {says_bare}",
    "the {says_bare}, the {says_bare} and the {says_bare}",
    "look at {bird}, {says} and {says}",
    "{bird}, {on}, {on} and {on}",
    "{kind}, {on}, {part}, {part}",
    "{bird}, {says}, {says}, and you see {part}",
    "{bird}, {says} while {says}",
    "a bird with {body}, {part}, {part} and {part}",
    "{body}, {part}, {part}, {part} {place}",
    "a photo of {bird} showing {part}, {part} and {part}",
    "what {bird}! {says} and {says}",
    "it is {hue} and has {part}, {part} and {part}",
    "with {part}, {part} and {part}, this is {bird}",
    "{bird} with {part}",
    "{bird} {place} with {part}",
)
_SLOT, _ONE_PART = re.compile(r"\{(\w+)\}"), re.compile(r"\{(?:part|says|says_bare|on)\}")
WORDS = 18  # the longest caption, so that encoders read all of it


class Writer:
    """One caption in the making: fills a pattern's slots and keeps what it commits to in `mentions`."""

    def __init__(self, attributes: dict[str, str], rng: np.random.Generator):
        self.attributes, self.rng = attributes, rng
        self.mentions: Mentions = {}
        rank = rng.random(len(PARTS)) - _RARER
        self.parts = [PARTS[i] for i in np.argsort(rank).tolist()]  # taken from the end: beak and legs are mentioned less often

    def fill(self, pattern: str) -> str:
        """The pattern's sentence."""
        self.spare = len(PARTS) - len(_ONE_PART.findall(pattern))
        return _SLOT.sub(lambda slot: getattr(self, slot[1])(), pattern)

    def colour(self, *attributes: str) -> str:
        """A word for the colour that the attributes share."""
        word = colour_word(self.rng, self.attributes[attributes[0]])
        for attribute in attributes:
            narrow(self.mentions, attribute, COLOUR_SETS[word], ATTRIBUTES[attribute])
        return word

    def quality(self, head: str, chance: float) -> list[str]:
        """With a chance, an adjective that belongs to the noun of attribute `head`."""
        for attribute, (owner, table) in QUALITIES.items():
            if owner == head and self.rng.random() < chance:
                fitting = [values for values in table if self.attributes[attribute] in values]
                values = pick(self.rng, fitting)
                narrow(self.mentions, attribute, frozenset(values), ATTRIBUTES[attribute])
                return [synonym(self.rng, table[values])]
        return []

    def kind(self) -> str:
        """Small red bird."""
        words = self.quality("primary_color", 0.4)
        if self.rng.random() < 0.85:
            words.append(self.colour("primary_color"))
        return " ".join([*words, synonym(self.rng, NOUNS["primary_color"], 0.85)])

    def bird(self) -> str:
        """A small red bird."""
        return article(self.kind())

    def body(self) -> str:
        """Red plumage."""
        noun = pick(self.rng, BODY)
        phrase = f"{self.colour('primary_color')} {noun}"
        return phrase if noun in PLURAL else article(phrase)

    def part(self) -> str:
        """A hooked yellow beak; red wings and tail, where two parts share a colour."""
        head = self.parts.pop()
        words = self.quality(head, 0.3)
        same = [other for other in self.parts if self.attributes[other] == self.attributes[head]]
        noun = synonym(self.rng, NOUNS[head])
        if same and self.spare and self.rng.random() < 0.5:
            self.spare -= 1
            self.parts.remove(same[0])
            words += [self.colour(head, same[0]), noun, "and", synonym(self.rng, NOUNS[same[0]])]
        elif not words or self.rng.random() < 0.9:
            words += [self.colour(head), noun]
        else:
            words.append(noun)
        return " ".join(words) if noun in PLURAL else article(" ".join(words))

    def says_bare(self) -> str:
        """Wings are red and spotted."""
        head = self.parts.pop()
        noun, colour = synonym(self.rng, NOUNS[head]), self.colour(head)
        said = " and ".join([colour, *self.quality(head, 0.2)])
        return f"{noun} {'are' if noun in PLURAL else 'is'} {said}"

    def says(self) -> str:
        """Its wings are red and spotted."""
        return f"its {self.says_bare()}"

    def on(self) -> str:
        """Red on the crown."""
        head = self.parts.pop()
        return f"{self.colour(head)} on the {synonym(self.rng, NOUNS[head])}"

    def hue(self) -> str:
        """Red, said of the whole bird, maybe with its shape."""
        return " and ".join([*self.quality("primary_color", 0.3), self.colour("primary_color")])

    def place(self) -> str:
        """In a meadow."""
        place = self.attributes["background"]
        narrow(self.mentions, "background", frozenset([place]), ATTRIBUTES["background"])
        return synonym(self.rng, PLACE_WORDS[place], 0.4)


def write_caption(attributes: dict[str, str], rng: np.random.Generator, pattern: str) -> tuple[str, Mentions]:
    """A caption after one of the PATTERNS, at most WORDS long, and what it commits to."""
    while True:
        writer = Writer(attributes, rng)
        text = writer.fill(pattern)
        if len(words_of(text)) <= WORDS:
            return text, writer.mentions


def _lexicon() -> Lexicon:
    heads = {noun: attribute for attribute, nouns in NOUNS.items() for noun in nouns}
    heads |= dict.fromkeys((*BODY, "it"), "primary_color") | {"wing": "wing_color", "leg": "leg_color"}
    adjectives = {
        word: {head: (attribute, frozenset(values))}
        for attribute, (head, table) in QUALITIES.items()
        for values, words in table.items()
        for word in words
    }
    return Lexicon(ATTRIBUTES, heads, place_lexicon(PLACE_WORDS), adjectives)


LEXICON = _lexicon()


def read_caption(text: str) -> Mentions:
    """The ideal reader: attribute -> allowed values, for what the caption mentions; {} for words it does not know."""
    return read(text, LEXICON)
