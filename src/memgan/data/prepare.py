"""Records cut, scaled and encoded on as many processes as there are cores to use, in order: the same bytes on any number."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import forkserver, get_context
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Self

from memgan import steps
from memgan.allocator import keep_pages
from memgan.data.images import Cut, UnusableError, encode, geometry, inside, resized, shown
from memgan.data.readers.records import Record
from memgan.params.data import Images

CHUNK = 8  # records that a process is given at a time
LITTLE = 2**22  # bytes of raw data for which it is not worth to start processes
AHEAD = 4  # chunks that wait for each process
# What the step imports, but for the step itself: each process takes it for its main module and would say that it is there already.
IMPORTED = ("memgan.data.prepare", "memgan.data.readers", "memgan.data.source", "memgan.data.writer", "memgan.params.load")
CORES = "OMP_NUM_THREADS"  # what Snakemake, Slurm scripts and people say how many cores a job may use


@dataclass(frozen=True)
class Prepared:
    """A picture as it is stored, and where its objects are in it; `faults` are objects that had to be left out."""

    data: bytes
    size: tuple[int, int]
    objects: list[dict[str, Any]]
    faults: list[str]


Outcome = Prepared | str  # or why the record cannot be used


def cores() -> int:
    """Cores that this job may use: OMP_NUM_THREADS if it is set, else all that the process is allowed to run on."""
    told = os.environ.get(CORES, "")
    return int(told) if told.isdigit() and int(told) else steps.cores()


def prepared(record: Record, images: Images) -> Prepared:
    """Cut, scale and encode one record: a pure function. Raises UnusableError if the picture cannot be used."""
    sizes: list[tuple[int, int]] = []

    def cut_of(width: int, height: int) -> Cut:
        sizes.append((width, height))
        if record.size and record.size != (width, height):
            raise UnusableError("is {} x {} px but annotated as {} x {}".format(width, height, *record.size))
        return geometry(width, height, images.short_side, record.box, images.box_crop)

    image, cut, factor = shown(record.image, cut_of)
    objects, faults = [], []
    for each in record.objects:
        if not inside(each.box, *sizes[0]):
            faults.append("the box {:g}, {:g}, {:g}, {:g} has no area inside the picture".format(*each.box))
        elif box := cut.relative(each.box):
            objects.append({"category": each.category, "box": box, "attributes": each.attributes})
    return Prepared(encode(resized(image, cut, factor), images.format), (cut.width, cut.height), objects, faults)


def outcome(record: Record, images: Images) -> Outcome:
    """What becomes of a record."""
    if not record.captions:
        return f"has no caption in {record.texts}"
    try:
        return prepared(record, images)
    except UnusableError as fault:
        return str(fault)


def outcomes(records: list[Record], images: Images) -> list[Outcome]:
    """The same of several: what a process does."""
    return [outcome(record, images) for record in records]


def useful(files: Mapping[str, Path], processes: int) -> int:
    """How many processes are worth their start for raw data: one for a little of it. A folder counts as much."""
    return processes if any(path.is_dir() or path.stat().st_size >= LITTLE for path in files.values()) else 1


class Workers:
    """Processes that prepare records, a context; of one, the work is done here.

    What they import is imported while the caller reads the texts, which only it can do.
    """

    def __init__(self, processes: int):
        self._pool = ProcessPoolExecutor(processes, forks(), keep_pages) if processes > 1 else None
        self._processes = processes

    def __enter__(self) -> Self:
        if self._pool:
            forkserver.ensure_running()
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def in_order(self, records: Iterable[Record], images: Images) -> Iterator[tuple[Record, Outcome]]:
        """Each record (without its picture) with its outcome, in the order given.

        Records are read here and worked on elsewhere; only as many are held as keep the processes busy.
        """
        if self._pool is None:
            for record in records:
                yield bare(record), outcome(record, images)
            return
        waiting: deque[tuple[list[Record], Future[list[Outcome]]]] = deque()
        for part in chunks(iter(records)):
            waiting.append(([bare(record) for record in part], self._pool.submit(outcomes, part, images)))
            if len(waiting) > AHEAD * self._processes:
                yield from finished(*waiting.popleft())
        while waiting:
            yield from finished(*waiting.popleft())


def forks() -> BaseContext:
    """Processes are forked by a server, which imports once what all of them need.

    It has no threads; a fork of this process would inherit locks that another of its threads may hold.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    return context


def finished(records: list[Record], future: Future[list[Outcome]]) -> Iterator[tuple[Record, Outcome]]:
    """One chunk's records with their outcomes."""
    return zip(records, future.result(), strict=True)


def bare(record: Record) -> Record:
    """The record without its picture."""
    return replace(record, image=b"")


def chunks(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Lists of at most CHUNK."""
    while part := list(islice(records, CHUNK)):
        yield part
