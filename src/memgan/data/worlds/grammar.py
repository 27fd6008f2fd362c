"""The language of the worlds' captions, and its ideal reader.

A caption commits to a set of allowed values for some attributes: "dark wings" allows every dark colour, a part left unmentioned
allows all of its values. The reader knows noun phrases ("a small red bird", "red wings and tail"), statements ("its wings are
red", "wings of blue") and the form "red on the crown". What it does not know it passes over.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Values = frozenset[str]
Mentions = dict[str, Values]

COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "scarlet"),
    "orange": ("orange", "tangerine"),
    "yellow": ("yellow", "golden"),
    "green": ("green", "emerald"),
    "blue": ("blue", "azure"),
    "purple": ("purple", "violet"),
    "black": ("black", "ebony"),
    "white": ("white", "ivory"),
}
VAGUE_COLOURS: dict[str, tuple[str, ...]] = {
    "dark": ("black", "blue", "purple"),
    "pale": ("white", "yellow"),
    "reddish": ("red", "orange"),
    "bluish": ("blue", "purple"),
    "warm": ("red", "orange", "yellow"),
}
COLOUR_SETS: dict[str, Values] = {word: frozenset([c]) for c, words in COLOUR_WORDS.items() for word in words}
COLOUR_SETS |= {word: frozenset(colours) for word, colours in VAGUE_COLOURS.items()}
_LOOSE = {colour: [word for word, colours in VAGUE_COLOURS.items() if colour in colours] for colour in COLOUR_WORDS}

_PLAIN = {
    "and": "&", "is": "=", "are": "=", "colored": "=", "coloured": "=", "of": "=", "on": "o",
    **dict.fromkeys(("a", "an", "the", "its", "whose", "this", "their", "one"), "a"),
}  # fmt: skip
_NOISE = frozenset(("bright", "deep", "vivid", "very", "both", "rather", "that", "which", "cute", "lovely"))
ABSENT = frozenset(["absent"])
_NAME = r"P(?:&?P)*"
_SAID = r"[CA](?:&[CA])*"
# a statement (its wings and its tail are red), else "red on the crown", else a noun phrase (red wings and tail)
_FORMS = re.compile(
    rf"(?P<subject>a*[CA]+P|a*P(?:&a*P)*)=+(?P<said>{_SAID})(?![CA]*P)"
    rf"|(?P<colour>C)oa*(?P<place>{_NAME})(?!=+[CA])"
    rf"|a*(?P<words>[CA]*)(?P<heads>{_NAME})(?!=+[CA])"
)


@dataclass(frozen=True)
class Lexicon:
    """What a world's words mean.

    `heads`: noun -> the attribute whose colour it carries. `adjectives`: word -> {head's attribute: (attribute, allowed values)}.
    `places`: word -> (attribute, allowed values), wherever it stands. `values`: attribute -> its possible values. `presence`:
    what a noun alone commits its attribute to (attribute -> allowed values). `only`: words that say that
    nothing unmentioned is there.
    """

    values: Mapping[str, tuple[str, ...]]
    heads: Mapping[str, str]
    places: Mapping[str, tuple[str, Values]]
    adjectives: Mapping[str, Mapping[str, tuple[str, Values]]] = field(default_factory=dict)
    presence: Mapping[str, Values] = field(default_factory=dict)
    only: frozenset[str] = frozenset()


def words_of(text: str) -> list[str]:
    """The caption's words: lower case, without punctuation (as the text encoder sees it)."""
    return re.findall(r"\w+", text.lower())


def article(phrase: str) -> str:
    """The phrase with "a" or "an"."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def narrow(mentions: Mentions, attribute: str, allowed: Values, values: tuple[str, ...]) -> None:
    """Note that `attribute` is one of `allowed`; what contradicts earlier words or names no possible value is passed over."""
    known = mentions.get(attribute, frozenset(values)) & allowed
    if known:
        mentions[attribute] = known


def read(text: str, lexicon: Lexicon) -> Mentions:
    """What the caption commits to, attribute -> allowed values; {} for a text that says nothing of this world."""
    words, tags = _tagged(text, lexicon)
    mentions: Mentions = {}
    for word in words:
        if word in lexicon.places:
            attribute, allowed = lexicon.places[word]
            narrow(mentions, attribute, allowed, lexicon.values[attribute])
    for form in _FORMS.finditer(tags):
        groups = ("subject", "said") if form["subject"] else ("colour", "place") if form["colour"] else ("words", "heads")
        where = [i for group in groups for i in range(*form.span(group))]
        heads = [words[i] for i in where if tags[i] == "P"]
        _commit(mentions, heads, [words[i] for i in where if tags[i] in "CA"], lexicon)
    if mentions and lexicon.only.intersection(words):
        mentions = dict.fromkeys(lexicon.presence, ABSENT) | mentions
    return mentions


def _tagged(text: str, lexicon: Lexicon) -> tuple[list[str], str]:
    text = re.sub(r"\b(of (?:this|the|that)|on (?:this|the|that)) (?:bird|songbird)\b", " ", " ".join(words_of(text)))
    words = [word for word in text.split() if word not in _NOISE]
    tags = []
    for word in words:
        if word in COLOUR_SETS:
            tags.append("C")
        elif word in lexicon.heads:
            tags.append("P")
        elif word in lexicon.adjectives:
            tags.append("A")
        else:
            tags.append(_PLAIN.get(word, "?"))
    return words, "".join(tags)


def _commit(mentions: Mentions, heads: list[str], said: list[str], lexicon: Lexicon) -> None:
    for attribute in (lexicon.heads[head] for head in heads):
        if attribute in lexicon.presence:
            narrow(mentions, attribute, lexicon.presence[attribute], lexicon.values[attribute])
        for word in said:
            if word in COLOUR_SETS:
                narrow(mentions, attribute, COLOUR_SETS[word], lexicon.values[attribute])
            elif attribute in lexicon.adjectives[word]:
                narrow(mentions, *lexicon.adjectives[word][attribute], lexicon.values[lexicon.adjectives[word][attribute][0]])


def place_lexicon(phrases: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, Values]]:
    """The last word of every phrase for a background, as `Lexicon.places` wants it."""
    return {words_of(phrase)[-1]: ("background", frozenset([place])) for place, said in phrases.items() for phrase in said}


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of the choices, all alike."""
    return choices[int(rng.random() * len(choices))]


def synonym(rng: np.random.Generator, words: tuple[str, ...], plain: float = 0.6) -> str:
    """One of the words; the first, most common one with probability `plain`."""
    return words[0] if len(words) == 1 or rng.random() < plain else pick(rng, words[1:])


def colour_word(rng: np.random.Generator, colour: str, vague: float = 0.05) -> str:
    """A word for the colour; with probability `vague` one that other colours share."""
    loose = _LOOSE[colour]
    return pick(rng, loose) if loose and rng.random() < vague else synonym(rng, COLOUR_WORDS[colour])
