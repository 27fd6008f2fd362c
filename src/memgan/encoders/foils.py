"""Foils: captions that are wrong by one word ("a red bird with a black beak" of a yellow one), hard negatives for DAMSM [ours].

Shekhar et al. 2017 (FOIL it!) put a wrong word into captions to see whether a model looks at the image. Which words contradict
each other is learnt here from the training captions alone, since each image has several: words of one kind that stand in the same
places, but hardly ever in those of one image. Synonyms stand there together as often as chance has it, and are no foils.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import csr_array, diags_array

from memgan.encoders.vocabulary import count_words, words_of

COMMON = 1000  # words that foils are made of: the commonest
SEEN = 5  # times that a word has to be seen in a place, to be put there
EXPECTED = 5.0  # times that two words must be expected in one place of one image, before their absence says anything
RARE = 0.25  # share of those times up to which they contradict each other
ALIKE = 0.5  # least Bhattacharyya coefficient of what stands before two words of a kind, and of what stands after them


class Foils:
    """Which words contradict each other, and where they may stand; learnt from the captions of each training image."""

    def __init__(self, captions: Sequence[Sequence[str]]):
        texts = [[words_of(caption) for caption in own] for own in captions]
        common = count_words((caption for own in captions for caption in own), SEEN)[:COMMON]
        self.words = [word for word, _ in common]
        self._numbers = {word: number for number, word in enumerate(self.words)}
        self._places: dict[tuple[str, ...], int] = {}
        image, place, word = self._occurrences(texts)
        size = len(self._places), len(self.words)
        counts = csr_array((np.ones(len(word)), (place, word)), shape=size)
        rivals = self._of_a_kind(counts) & contradictory(image, place, word, counts)
        self.rivals = [set(np.flatnonzero(row).tolist()) for row in rivals]
        counts.data[counts.data < SEEN] = 0
        counts.eliminate_zeros()
        self._seen = [set(part.tolist()) for part in np.split(counts.indices, counts.indptr[1:-1])]

    def _occurrences(self, texts: list[list[list[str]]]) -> np.ndarray:
        """Image, place and word of each common word in each of its places: int64 [3, n]."""
        found = [
            (image, self._places.setdefault(place, len(self._places)), self._numbers[words[i]])
            for image, own in enumerate(texts)
            for words in own
            for i in range(len(words))
            if words[i] in self._numbers
            for place in places(words, i)
        ]
        return np.array(found, dtype=np.int64).reshape(-1, 3).T

    def _of_a_kind(self, counts: csr_array) -> np.ndarray:
        """Which two words stand before like words, and after like words: bool [W, W]."""
        alike = np.full((len(self.words),) * 2, np.inf)
        for side in ("before", "after"):
            at = [number for place, number in self._places.items() if place[0] == side]
            _, group = np.unique([place[-1] for place in self._places if place[0] == side], return_inverse=True)
            sums = csr_array((np.ones(len(at)), (group, np.arange(len(at)))), shape=(group.max(initial=-1) + 1, len(at)))
            alike = np.minimum(alike, likeness(sums @ counts[at]))
        return alike >= ALIKE

    def spots(self, words: Sequence[str]) -> dict[int, list[int]]:
        """Where a caption can be made wrong, and by which words: position -> numbers in `words`, sorted.

        A word has to be seen before what follows here; if it can be, also after what stands before.
        """
        found = {}
        for i, word in enumerate(words):
            rivals = self.rivals[self._numbers[word]] if word in self._numbers else set()
            fits = [rivals & self._seen[self._places[place]] for place in places(words, i) if place in self._places]
            if rivals and fits and fits[0]:
                found[i] = sorted(set.intersection(*fits) or fits[0])
        return found

    def of(self, caption: str, count: int, rng: np.random.Generator) -> list[str]:
        """Up to `count` foils of the caption, without its punctuation, at spots that differ while there are any left.

        None if nothing in it can be contradicted.
        """
        words = words_of(caption)
        spots = self.spots(words)
        order = [spot for _ in range(0, count, max(1, len(spots))) for spot in rng.permutation(sorted(spots)).tolist()]
        return [" ".join([*words[:i], self.words[int(rng.choice(spots[i]))], *words[i + 1 :]]) for i in order[:count]]

    def of_each(self, captions: Sequence[str], count: int, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
        """`count` foils of each caption, one caption's after another's, and which captions have any: bool [n].

        A caption that has none stands in their place.
        """
        made = [self.of(caption, count, rng) for caption in captions]
        filled = [foil for foils, caption in zip(made, captions, strict=True) for foil in foils or [caption] * count]
        return filled, np.array([bool(foils) for foils in made])


def places(words: Sequence[str], i: int) -> Iterator[tuple[str, ...]]:
    """The two places that a word stands in: before the next word, and after the two before it, or those that there are."""
    yield "before", *words[i + 1 : i + 2]
    yield "after", *words[max(0, i - 2) : i]


def likeness(counts: csr_array) -> np.ndarray:
    """Bhattacharyya coefficients of the columns of counts [P, W], each taken as a distribution over the rows: [W, W] in 0..1."""
    roots = counts.sqrt() @ diags_array(1 / np.sqrt(counts.sum(axis=0).clip(min=1)))
    return (roots.T @ roots).toarray()


def contradictory(image: np.ndarray, place: np.ndarray, word: np.ndarray, counts: csr_array) -> np.ndarray:
    """Which two words occur together in the places of one image less than RARE as often as expected: bool [W, W].

    image, place, word: int64 [n], the occurrences; counts [P, W] of them. As often as the place holds two words of one image, the
    two are expected there by their shares of all words in that place.
    """
    _, row = np.unique(np.stack([image, place]), axis=1, return_inverse=True)
    together = csr_array((np.ones(len(word)), (row, word)), shape=(row.max(initial=-1) + 1, counts.shape[1]))
    held = np.zeros(together.shape[0], dtype=np.int64)
    held[row] = place
    words = together.sum(axis=1)
    pairs = np.bincount(held, words * (words - 1), minlength=len(counts.sum(axis=1)))
    shares = diags_array(np.sqrt(pairs) / counts.sum(axis=1).clip(min=1)) @ counts
    expected = (shares.T @ shares).toarray()
    return (expected >= EXPECTED) & ((together.T @ together).toarray() < RARE * expected)
