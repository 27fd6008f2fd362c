"""The word level: scores of captions' words with the words and regions in the bank, on candidates or on all images.

Large products are done in float32; the images that may be among the best are then scored anew in float64, so that neither the
shape of a product nor the threads decide between close ones, and equal scores go by row.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from memgan.encoders.text import mask_of
from memgan.memory.bank import MemoryBank
from memgan.memory.captions import Encoded

LOOSE = 1e-4  # more than the float32 error of a word-level score
DECIMALS = 9  # float64 scores are rounded to these, so that equal images have equal scores
SHORTLIST = 64  # candidates of `words_image` whose regions are read, chosen by their pooled regions
QUERIES = 64  # queries for which the whole bank is gone through once
NUMBERS = 1 << 21  # numbers in the largest block of an exhaustive search: 8 MiB in float32, which stays in the cache

T = TypeVar("T")
Found = tuple[np.ndarray, np.ndarray]


def word_match(words: Tensor, mask: Tensor, others: Tensor, other_mask: Tensor) -> Tensor:
    """Mean over the words of each query of the largest cosine with a word of each caption: [Q, M].

    words [Q, L, D] and others [M, K, D] normalised; masks [Q, L] and [M, K], True at words.
    """
    (count, length), (captions, other_length) = mask.shape, other_mask.shape
    cosine = others.flatten(0, 1) @ words.flatten(0, 1).T  # [M * K, Q * L]
    cosine = cosine.view(captions, other_length, count * length).masked_fill_(~other_mask[:, :, None], -torch.inf)
    best = cosine.amax(dim=1).view(captions, count, length)  # [M, Q, L]
    return ((best * mask).sum(dim=2) / mask.sum(dim=1)).T


def region_match(words: Tensor, mask: Tensor, regions: Tensor, gamma1: float, gamma2: float) -> Tensor:
    """R(Q, D) of eqs. (7)-(10) of AttnGAN for words [Q, L, D], mask [Q, L] and regions [I, R, D]: [Q, I].

    The numbers of `memgan.encoders.matching.word_scores`; for few captions and many images this order of products is faster.
    """
    (count, length), images = mask.shape, len(regions)
    flat = words.flatten(0, 1)  # [Q * L, D]
    similarity = flat @ regions.transpose(1, 2)  # eq. (7): [I, Q * L, R]
    share = similarity.view(images, count, length, -1).masked_fill(~mask[None, :, :, None], -torch.inf).softmax(dim=2)  # eq. (8)
    attention = share.mul_(gamma1).softmax(dim=3).view(images, count * length, -1)  # eq. (9)
    context = attention @ regions  # [I, Q * L, D]
    product = (attention * similarity).sum(dim=2)  # c . e, [I, Q * L]
    cosine = product / (context.norm(dim=2).clamp_min(1e-8) * flat.norm(dim=1).clamp_min(1e-8))
    cosine = cosine.view(images, count, length).masked_fill(~mask, -torch.inf)
    return ((gamma2 * cosine).logsumexp(dim=2) / gamma2).T  # eq. (10)


def best_by_words(encoded: Encoded, bank: MemoryBank, candidates: np.ndarray | None, depth: int) -> Found:
    """`words_words`: the best images [Q, depth] and their scores, among candidate rows [Q, C] or, without, all."""
    unit = torch.nn.functional.normalize(torch.from_numpy(encoded.words), dim=2)
    lengths = torch.from_numpy(encoded.lengths)

    def on(query: slice, rows: np.ndarray, kind: torch.dtype) -> np.ndarray:
        numbers = bank.captions_of(rows)
        length = int(lengths[query].max())
        others = torch.from_numpy(bank.words.take(numbers)).to(kind)
        mask = mask_of(torch.from_numpy(bank.lengths[numbers]), others.shape[1])
        found = word_match(unit[query, :length].to(kind), mask_of(lengths[query], length), others, mask).numpy()
        counts = bank.first[rows + 1] - bank.first[rows]
        return np.maximum.reduceat(found, np.cumsum(counts) - counts, axis=1)

    images = max(1, NUMBERS // (QUERIES * encoded.words.shape[1] * bank.words.shape[1] * len(bank.words) // len(bank)))
    return _search(on, len(encoded), bank, candidates, depth, images)


def best_by_images(encoded: Encoded, bank: MemoryBank, candidates: np.ndarray | None, depth: int) -> Found:
    """`words_image`: as `best_by_words`. Of many candidates, a shortlist is chosen by pooled regions before regions are read."""
    words, lengths = torch.from_numpy(encoded.words), torch.from_numpy(encoded.lengths)

    def with_(keys, query: slice, rows: np.ndarray, kind: torch.dtype) -> np.ndarray:
        length = int(lengths[query].max())
        regions = torch.from_numpy(keys.take(rows)).to(kind)
        mask = mask_of(lengths[query], length)
        return region_match(words[query, :length].to(kind), mask, regions, bank.gamma1, bank.gamma2).numpy()

    short = max(SHORTLIST, depth)
    if candidates is not None and candidates.shape[1] > short:
        candidates = np.sort(candidates, axis=1)
        pooled = _each(lambda query: with_(bank.pooled, slice(query, query + 1), candidates[query], torch.float32)[0], len(encoded))
        picks = np.argsort(-np.reshape(pooled, candidates.shape), axis=1, kind="stable")[:, :short]
        candidates = np.take_along_axis(candidates, picks, 1)
    images = max(1, NUMBERS // (QUERIES * encoded.words.shape[1] * bank.regions.shape[1]))
    return _search(lambda *of: with_(bank.regions, *of), len(encoded), bank, candidates, depth, images)


def _search(
    on: Callable[..., np.ndarray], count: int, bank: MemoryBank, candidates: np.ndarray | None, depth: int, images: int
) -> Found:
    """Ranks by `on(queries, rows, dtype)`, which gives scores [queries, rows]; all images go through in blocks of `images`."""

    def settled(query: int, rough: np.ndarray, rows: np.ndarray) -> Found:
        return _settled(lambda possible: on(slice(query, query + 1), possible, torch.float64)[0], rough, rows, depth)

    def among(query: int) -> Found:
        rows = np.sort(candidates[query])
        return settled(query, on(slice(query, query + 1), rows, torch.float32)[0], rows)

    found = []
    if candidates is not None:
        found = _each(among, count)
    else:
        everything = np.arange(len(bank))
        blocks = np.split(everything, everything[images::images])
        for start in range(0, count, QUERIES):
            part = slice(start, min(start + QUERIES, count))
            rough = np.concatenate(_each(lambda i, part=part: on(part, blocks[i], torch.float32), len(blocks)), axis=1)
            found += [settled(query, values, everything) for query, values in enumerate(rough, start)]
    rows, scores = np.empty((count, depth), np.int64), np.empty((count, depth), np.float32)
    for query, pair in enumerate(found):
        rows[query], scores[query] = pair
    return rows, scores


def _each(of: Callable[[int], T], count: int) -> list[T]:
    """of(0), of(1), ... on as many threads as torch may use; the products of one query or block are too small to be shared out."""
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(of, range(count)))
    finally:
        torch.set_num_threads(threads)


def _settled(exactly: Callable[[np.ndarray], np.ndarray], rough: np.ndarray, rows: np.ndarray, depth: int) -> Found:
    """The best rows by their exact scores, equal ones by row: all that the rough scores leave possible are scored exactly."""
    least = np.partition(rough, len(rough) - depth)[len(rough) - depth]
    possible = rows[rough >= least - LOOSE]
    scores = exactly(possible).round(DECIMALS)
    order = np.lexsort((possible, -scores))[:depth]
    return possible[order], scores[order].astype(np.float32)
