"""The sentence level: the images whose vectors have the largest inner product with a query, by FAISS.

FAISS hands over near vectors, by `flat` (exact), `ivf` (inverted lists) or `pq` (inverted lists of product codes); their scores are
then computed anew in float64, so that neither the batch, the threads nor the device decide between close ones, and equal scores go
by row. With `flat` the answer is exact: a query whose last image could be tied with one that was not fetched is searched deeper.

Inverted lists are built in RAM once, left in a file and from then on memory-mapped: only what a search looks at is read.
"""

from collections.abc import Iterator
from math import isqrt
from pathlib import Path
from typing import Protocol

import faiss
import numpy as np
import torch

from memgan import artifacts
from memgan.errors import InputError
from memgan.params.memory import Memory
from memgan.steps import log

LOOSE = 1e-5  # more than the float32 error of an inner product of unit vectors
DECIMALS = 9  # float64 scores are rounded to these, so that equal vectors have equal scores
BLOCK = 1024  # queries searched together
NUMBERS = 1 << 20  # float64 numbers gathered together when scores are computed anew: 8 MiB, which stays in the cache
GPU_MOST = 1024  # vectors found and lists searched for a query: beyond about this, FAISS on a GPU refuses
OVERFETCH = 8  # product codes blur the order: so many times more vectors are fetched and scored anew
TRAIN_POINTS = 64  # vectors a list that k-means looks at: FAISS takes up to 256; the lists are hardly better for it
PQ_BITS = 8
# Vectors a code and rounds of learning the codes: FAISS's 256 and 25 take 13 times as long, and scores are computed anew anyway.
PQ_POINTS, PQ_ROUNDS = 64, 8
# Numbers in a batch of queries (4 of 256) from which FAISS multiplies matrices instead of comparing one by one: its own 128,000
# leave batches of fewer than 500 queries five times slower than they need be.
BLAS_FROM = 1024

faiss.cvar.distance_compute_blas_threshold = BLAS_FROM


class Table(Protocol):
    """Vectors [T, D] that are searched, each of an image; float16 in files or computed from such."""

    owner: np.ndarray  # T, row of the image

    def __len__(self) -> int: ...

    def blocks(self) -> Iterator[np.ndarray]:
        """The vectors in order, in pieces."""

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Vectors by number."""


class SentenceIndex:
    """A FAISS index over a table. Building it is deterministic and takes one pass over the table (ivf, pq: two)."""

    def __init__(self, table: Table, memory: Memory, cache: Path | None = None):
        self.table, self.kind = table, memory.index
        counts = np.bincount(table.owner)
        self.images, self.most = int(np.count_nonzero(counts)), int(counts.max(initial=1))  # most vectors of an image
        faiss.omp_set_num_threads(torch.get_num_threads())
        self.index = _cached(table, memory, cache) if cache and memory.index != "flat" else _built(table, memory)
        self.device = self.index
        if faiss.get_num_gpus() > 0:
            self.resources = faiss.StandardGpuResources()
            self.device = faiss.index_cpu_to_gpu(self.resources, 0, self.index)

    def search(self, queries: np.ndarray, depth: int, probes: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """The `depth` best images of each query, best first; an image's score is that of its best vector.

        queries float32 [Q, D]; probes: inverted lists searched, more where they hold too few images. Returns rows int64 [Q, depth]
        and scores float32 [Q, depth]. Raises ValueError if there are no `depth` images.
        """
        if depth > self.images:
            raise ValueError(f"{depth} of {self.images} images")
        faiss.omp_set_num_threads(torch.get_num_threads())
        rows, scores = np.empty((len(queries), depth), np.int64), np.empty((len(queries), depth), np.float32)
        enough = depth * self.most if depth > 1 else 2  # vectors that cannot be of fewer images than `depth`
        fetch = min(len(self.table), (enough + 6) * (OVERFETCH if self.kind == "pq" else 1))
        for start in range(0, len(queries), BLOCK):
            part = slice(start, start + BLOCK)
            these = np.ascontiguousarray(queries[part], dtype=np.float32)
            rows[part], scores[part] = self._search(these, depth, fetch, probes)
        return rows, scores

    def _search(self, queries: np.ndarray, depth: int, fetch: int, probes: int) -> tuple[np.ndarray, np.ndarray]:
        """As `search`; each query for which `fetch` vectors of `probes` lists do not do goes deeper, on its own account."""
        near, ids = self._near(queries, fetch, probes)
        rows, scores = self._images(queries, ids, depth)
        spent = ids[:, -1] < 0  # the lists that were searched hold no more
        certain = spent | (fetch == len(self.table)) | (near[:, -1] < scores[:, -1] - LOOSE) | (self.kind == "pq")
        unsure = ~certain | (rows[:, -1] < 0)
        for group, deeper in ((unsure & spent, (fetch, 2 * probes)), (unsure & ~spent, (2 * fetch, probes))):
            if group.any():
                rows[group], scores[group] = self._search(queries[group], depth, min(deeper[0], len(self.table)), deeper[1])
        return rows, scores

    def _near(self, queries: np.ndarray, fetch: int, probes: int) -> tuple[np.ndarray, np.ndarray]:
        """FAISS's scores and numbers [Q, fetch], best first; the number -1 where there are no more."""
        index = self.device if max(fetch, probes) <= GPU_MOST else self.index
        if self.kind == "flat":
            return index.search(queries, fetch)
        settings = faiss.SearchParametersIVF(nprobe=min(probes, self.index.nlist))
        return index.search(queries, fetch, params=settings)

    def _images(self, queries: np.ndarray, ids: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
        """The best images among vectors ids [Q, F]: rows and scores [Q, depth], row -1 where there are too few."""
        scores = np.empty(ids.shape)
        block = max(1, NUMBERS // (ids.shape[1] * queries.shape[1]))
        for start in range(0, len(ids), block):
            part = ids[start : start + block]
            vectors = torch.from_numpy(self.table.take(np.maximum(part, 0).ravel())).double()  # [q * F, D]
            these = torch.from_numpy(queries[start : start + block]).double()  # [q, D]
            scores[start : start + block] = (vectors.view(*part.shape, -1) @ these[:, :, None])[:, :, 0].numpy()
        scores = np.where(ids < 0, -np.inf, scores.round(DECIMALS))
        return best_images(np.where(ids < 0, -1, self.table.owner[ids]), scores, depth)


def best_images(owner: np.ndarray, scores: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Images by their best score, equal ones by row: owner, scores [Q, F] -> [Q, depth]; row -1 if there are no more."""
    order = np.lexsort((owner, -scores), axis=1)  # by score, equal ones by row
    owner, scores = np.take_along_axis(owner, order, 1), np.take_along_axis(scores, order, 1)
    order = np.argsort(owner, axis=1, kind="stable")  # by row, within a row by score: an image's first is its best
    again = np.zeros(owner.shape, bool)
    sorted_owner = np.take_along_axis(owner, order, 1)
    np.put_along_axis(again, order[:, 1:], sorted_owner[:, 1:] == sorted_owner[:, :-1], 1)
    keep = np.argsort(again | (owner < 0), axis=1, kind="stable")[:, :depth]
    gone = np.take_along_axis(again | (owner < 0), keep, 1)
    rows = np.where(gone, -1, np.take_along_axis(owner, keep, 1))
    values = np.where(gone, -np.inf, np.take_along_axis(scores, keep, 1))
    missing = max(0, depth - rows.shape[1])
    pad = ((0, 0), (0, missing))
    return np.pad(rows, pad, constant_values=-1), np.pad(values, pad, constant_values=-np.inf).astype(np.float32)


def _built(table: Table, memory: Memory) -> faiss.Index:
    first = next(iter(table.blocks()))
    index = _empty(first.shape[1], len(table), memory)
    if memory.index != "flat":
        index.train(_sample(table, TRAIN_POINTS * index.nlist))
    for block in table.blocks():
        index.add(np.ascontiguousarray(block, dtype=np.float32))
    return index


def _empty(dimension: int, total: int, memory: Memory) -> faiss.Index:
    """The untrained index. Raises InputError if it does not fit the bank."""
    if memory.index == "flat":
        return faiss.IndexFlatIP(dimension)
    lists = memory.lists or max(1, isqrt(total))
    if lists > total:
        raise InputError(f"memory.lists: {lists} inverted lists for {total} vectors; take fewer, or 0 for the square root")
    quantizer = faiss.IndexFlatIP(dimension)
    if memory.index == "ivf":
        index = faiss.IndexIVFFlat(quantizer, dimension, lists, faiss.METRIC_INNER_PRODUCT)
    else:
        if dimension % memory.code_bytes:
            raise InputError(f"memory.code_bytes: {memory.code_bytes} does not divide the {dimension} numbers of a vector")
        index = faiss.IndexIVFPQ(quantizer, dimension, lists, memory.code_bytes, PQ_BITS, faiss.METRIC_INNER_PRODUCT)
        index.pq.cp.min_points_per_centroid = 1
        index.pq.cp.max_points_per_centroid, index.pq.cp.niter = PQ_POINTS, PQ_ROUNDS
        if total < 1 << PQ_BITS:
            raise InputError(f"memory.index: pq needs {1 << PQ_BITS} vectors to learn from, the bank has {total}; take ivf or flat")
    index.cp.min_points_per_centroid = 1  # a small bank is no reason for a warning
    index.cp.max_points_per_centroid = TRAIN_POINTS
    return index


def _sample(table: Table, count: int) -> np.ndarray:
    """Evenly spaced vectors to learn the lists from, float32."""
    numbers = np.linspace(0, len(table) - 1, min(count, len(table))).astype(np.int64)
    return np.ascontiguousarray(table.take(numbers), dtype=np.float32)


def _cached(table: Table, memory: Memory, path: Path) -> faiss.Index:
    """The index whose file is `path`, or built and left there for this process and the next; one that has changed is built anew."""
    note = path.with_suffix(".json")
    if not (path.is_file() and note.is_file() and artifacts.read_json(note)["sha256"] == artifacts.sha256(path)):
        log.info("index: building %s over %d vectors", memory.index, len(table))
        index = _built(table, memory)
        with artifacts.atomic_file(path) as temporary:
            faiss.write_index(index, str(temporary))
        artifacts.write_json(note, {"sha256": artifacts.sha256(path)})
        del index
    if faiss.get_num_gpus() > 0:
        return faiss.read_index(str(path))
    index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
    faiss.downcast_InvertedLists(index.invlists).prefetch_nthread = 0  # the system reads ahead; 32 threads a search do not pay
    return index
