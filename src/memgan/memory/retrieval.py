"""Captions to training images: the retrieval strategies (SPEC 4; paper: by texts, by images and by both, at two levels).

A strategy is one function in STRATEGIES: `(queries, bank, memory, depth) -> (rows int64 [Q, depth], scores float32 [Q, depth])`,
the best images first, equal scores in the order of rows. To add one, write the function, enter it there and in the type Strategy
of memgan.params.memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from memgan.artifacts import seed_of
from memgan.errors import InputError
from memgan.memory.bank import MemoryBank
from memgan.memory.captions import CaptionEncoder, Encoded
from memgan.memory.words import best_by_images, best_by_words
from memgan.params.memory import Memory

Found = tuple[np.ndarray, np.ndarray]


@dataclass
class Queries:
    """Q captions that look for images."""

    captions: Sequence[str]
    encoded: Encoded
    own: np.ndarray | None = None  # Q, rows that the oracle gives back
    seed: int = 0  # of `random`

    def first(self, count: int) -> "Queries":
        """The first `count` of them."""
        e, own = self.encoded, None if self.own is None else self.own[:count]
        few = Encoded(e.sentences[:count], e.words[:count], e.lengths[:count])
        return Queries(self.captions[:count], few, own, self.seed)


def sentence_sentence(queries: Queries, bank: MemoryBank, memory: Memory, depth: int) -> Found:
    """Cosine of s with the image's captions' s, the largest."""
    return bank.index("texts", memory).search(queries.encoded.sentences, depth, memory.probes)


def sentence_image(queries: Queries, bank: MemoryBank, memory: Memory, depth: int) -> Found:
    """Cosine of s with the image's global embedding."""
    return bank.index("images", memory).search(queries.encoded.sentences, depth, memory.probes)


def both(queries: Queries, bank: MemoryBank, memory: Memory, depth: int) -> Found:
    """text_weight * `sentence_sentence` + (1 - text_weight) * `sentence_image`, over all images, exactly (see `bank.Mixed`)."""
    return bank.index("mixed", memory).search(queries.encoded.sentences, depth, memory.probes)


def words_words(queries: Queries, bank: MemoryBank, memory: Memory, depth: int) -> Found:
    """Mean over the query's words of the largest cosine with a word of a caption; the image's best caption. SPEC 4."""
    return best_by_words(queries.encoded, bank, _candidates(sentence_sentence, queries, bank, memory, depth), depth)


def words_image(queries: Queries, bank: MemoryBank, memory: Memory, depth: int) -> Found:
    """Attention-driven score of the words with the image's regions, eqs. (7)-(10) of AttnGAN."""
    return best_by_images(queries.encoded, bank, _candidates(sentence_image, queries, bank, memory, depth), depth)


def at_random(queries: Queries, bank: MemoryBank, memory: Memory, depth: int) -> Found:
    """Control: images drawn by (seed, caption); scores are 0."""
    seeds = [seed_of(queries.seed, "random neighbour", caption) for caption in queries.captions]
    rows = [np.random.default_rng(seed).choice(len(bank), depth, replace=False) for seed in seeds]
    return np.array(rows, np.int64).reshape(len(rows), depth), np.zeros((len(rows), depth), np.float32)


def oracle(queries: Queries, bank: MemoryBank, memory: Memory, depth: int) -> Found:
    """Upper bound, for analysis only: the rows that the caller gives, one a query; scores are 0."""
    if queries.own is None or depth != 1:
        raise InputError("memory.strategy: `oracle` gives the query's own image, one; it is for captions of known images only")
    rows = np.asarray(queries.own, np.int64).reshape(-1, 1)
    return rows, np.zeros(rows.shape, np.float32)


STRATEGIES: dict[str, Callable[[Queries, MemoryBank, Memory, int], Found]] = {
    "sentence_sentence": sentence_sentence,
    "words_words": words_words,
    "sentence_image": sentence_image,
    "words_image": words_image,
    "both": both,
    "random": at_random,
    "oracle": oracle,
}


def _candidates(level: Callable[..., Found], queries: Queries, bank: MemoryBank, memory: Memory, depth: int) -> np.ndarray | None:
    """Rows [Q, candidates] that the sentence level hands on, at least `depth`; None for all."""
    if memory.candidates == "all" or memory.candidates >= len(bank):
        return None
    return level(queries, bank, memory, max(memory.candidates, depth))[0]


def retrieve(
    captions: Sequence[str],
    bank: MemoryBank,
    encoder: CaptionEncoder,
    memory: Memory,
    k: int = 1,
    exclude: np.ndarray | None = None,
    own: np.ndarray | None = None,
    seed: int = 0,
    strict: bool = True,
) -> Found:
    """The k nearest training images of each caption: rows int64 [Q, k] and scores float32 [Q, k], best first.

    exclude: rows that a query must not get, int64 [Q, E], -1 where fewer. own: rows for `oracle`, [Q]. seed: of `random`.
    With `strict`, a caption that is empty or of unknown words only is refused; without, it is looked up as an unknown word.
    Raises InputError for such captions, for a bank of another encoder and if the bank has no k images.
    """
    if bank.encoder != encoder.fingerprint:
        raise InputError(f"{bank.folder}: made with another text encoder; make it again: `snakemake --cores all {bank.folder}`")
    if strict:
        encoder.refuse_unreadable(captions)
    return nearest(Queries(captions, encoder.encode(captions), own, seed), bank, memory, k, exclude)


def nearest(queries: Queries, bank: MemoryBank, memory: Memory, k: int = 1, exclude: np.ndarray | None = None) -> Found:
    """As `retrieve`, for captions that are encoded already."""
    apart = np.empty((len(queries.encoded), 0), np.int64) if exclude is None else np.asarray(exclude, np.int64)
    depth = k + apart.shape[1]
    if k < 1 or (depth > len(bank) and memory.strategy != "oracle"):
        left = f" less {apart.shape[1]} excluded" if apart.shape[1] else ""
        raise InputError(
            f"{bank.folder}: k = {k} neighbours of {len(bank)} images{left}; ask for 1 or more, but not for more than those"
        )
    rows, scores = STRATEGIES[memory.strategy](queries, bank, memory, depth)
    kept = ~(rows[:, :, None] == apart[:, None, :]).any(axis=2)  # [Q, depth]
    first = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, first, 1), np.take_along_axis(scores, first, 1)
