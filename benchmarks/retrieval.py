"""Retrieval at COCO's scale: queries a second, recall against exhaustive search, memory. Prints a JSON object last.

python -m benchmarks.retrieval [--scale 0.1] [--threads 2] [--keep]     (in the repository's root, PYTHONPATH=src)

Keys: *_qps queries a second; *_cpu_ms processor time a query, which other programs change less; *_recall share of queries whose
first image is that of the exhaustive search; *_own share whose first image is the one that the query was made from; *_hard queries
at cosine 0.3 instead of 0.9; a number in a key is the number of candidates, 100 where there is none, or of lists probed;
sentence_ivf_qps and _recall are those of the fewest lists (ivf_probes) that reach a recall of 0.99; *_by_ivf word level on
candidates that inverted lists hand on; pooled_recall share of queries for which the shortlist by pooled regions changes nothing;
peak_gb largest anonymous memory of the process (mapped files counted apart, in mapped_gb); build_s indexes over the sentences, flat
and ivf; load processes that wanted a core, before and after; seconds all of it.

Ours and the plain FAISS search take turns, so that what else the machine does hits both. The headlines (sentence_exact,
sentence_ivf, words, words_image) are timed on all queries, the plain searches and other settings on fewer, which is rougher. The
bank is 16 GB on disk; without --keep it is removed at the end.
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import faiss
import numpy as np
import torch
import typer
from typer import Option

from benchmarks.synthetic_bank import SyntheticBank
from memgan import steps
from memgan.memory import words
from memgan.memory.bank import MemoryBank
from memgan.memory.captions import Encoded
from memgan.memory.retrieval import Queries, nearest
from memgan.params.memory import Memory

OUT = Path("benchmarks/.out")
Asked = tuple[Queries, np.ndarray]  # and the rows of the images that they were made from
REFERENCES = {"words_words": (50, 14), "words_image": (50, 6)}  # queries of the exhaustive searches, plain and hard ones
TURN = 5000  # queries that ours and the plain search take in turn
BY_NUMPY = 2000  # queries of the plain matrix product; more only take longer
BY_CODES = 6000  # and of the product codes
PROBES, RECALL = (2, 4, 8, 16, 32), 0.99
BASE = Memory(strategy="sentence_sentence", text_weight=0.5, candidates=100, index="flat", lists=0, probes=PROBES[0], code_bytes=32)


class PeakMemory(threading.Thread):
    """Samples this process' memory: largest anonymous and largest file-backed size, in GB."""

    def __init__(self):
        super().__init__(daemon=True)
        self.anonymous = self.mapped = 0.0
        self.over = threading.Event()

    def run(self) -> None:
        """Goes on until `over` is set or the process ends."""
        while not self.over.wait(0.02):
            lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Rss"))
            sizes = {name: int(kib) * 1024 / 1e9 for name, kib, _ in lines}
            self.anonymous = max(self.anonymous, sizes["RssAnon:"])
            self.mapped = max(self.mapped, sizes["RssFile:"])


def part_of(queries: Queries, start: int, stop: int) -> Queries:
    """Some of the queries."""
    e, some = queries.encoded, slice(start, stop)
    return Queries(queries.captions[some], Encoded(e.sentences[some], e.words[some], e.lengths[some]))


class Clock:
    """Adds up real and processor time of several calls."""

    def __init__(self) -> None:
        self.seconds = self.cpu = self.queries = 0.0

    def run(self, work: Callable[[], np.ndarray]) -> np.ndarray:
        """Calls it; it gives a row a query."""
        start, cpu = time.perf_counter(), time.process_time()
        found = work()
        self.seconds += time.perf_counter() - start
        self.cpu += time.process_time() - cpu
        self.queries += len(found)
        return found

    def figures(self, name: str) -> dict[str, float]:
        """Queries a second, and ms of processor time a query."""
        return {f"{name}_qps": self.queries / self.seconds, f"{name}_cpu_ms": 1000 * self.cpu / self.queries}


def timed(queries: Queries, bank: MemoryBank, memory: Memory, name: str) -> tuple[np.ndarray, dict[str, float]]:
    """First image of each query, and the speed; indexes are built and files are mapped before."""
    nearest(queries.first(8), bank, memory)
    clock = Clock()
    return clock.run(lambda: nearest(queries, bank, memory)[0][:, 0]), clock.figures(name)


def in_turn(bank: MemoryBank, queries: Queries) -> tuple[np.ndarray, dict[str, float]]:
    """Our exact search and FAISS's IndexFlatIP, alone: the first TURN queries by ours and plain, the second by ours, and so on."""
    index = faiss.IndexFlatIP(queries.encoded.sentences.shape[1])
    for block in bank.sentences.blocks():
        index.add(block.astype(np.float32))
    ours, plain, exact, same = Clock(), Clock(), [], []
    nearest(queries.first(8), bank, BASE)
    for turn, start in enumerate(range(0, len(queries.encoded), TURN)):
        some = part_of(queries, start, start + TURN)
        exact.append(ours.run(lambda some=some: nearest(some, bank, BASE)[0][:, 0]))
        if turn % 2 == 0:
            numbers = plain.run(lambda some=some: index.search(some.encoded.sentences, 1)[1][:, 0])
            same.append(bank.owner[numbers] == exact[-1])
    figures = ours.figures("sentence_exact") | plain.figures("faiss_flat")
    figures["exact_over_faiss"] = figures["sentence_exact_qps"] / figures["faiss_flat_qps"]
    return np.concatenate(exact), figures | {"sentence_exact_recall": float(np.mean(np.concatenate(same)))}


def plain_numpy(bank: MemoryBank, queries: np.ndarray, clock: Clock, block: int = 256) -> np.ndarray:
    """Matrix product and argmax, in blocks of queries."""
    sentences = np.concatenate([part.astype(np.float32) for part in bank.sentences.blocks()])
    starts = range(0, len(queries), block)
    found = clock.run(lambda: np.concatenate([(queries[at : at + block] @ sentences.T).argmax(axis=1) for at in starts]))
    return bank.owner[found]


def sentence_level(bank: MemoryBank, queries: Queries, rows: np.ndarray) -> dict[str, float]:
    """Exact search, plain FAISS and NumPy; inverted lists, product codes."""
    start, by_numpy = time.perf_counter(), Clock()
    bank.index("texts", BASE)
    figures = {"build_flat_s": time.perf_counter() - start}
    exact, found = in_turn(bank, queries)
    product = plain_numpy(bank, queries.encoded.sentences[:BY_NUMPY], by_numpy)
    figures |= found | by_numpy.figures("numpy") | {"numpy_recall": float(np.mean(product == exact[:BY_NUMPY]))}
    figures["sentence_own"] = float(np.mean(exact == rows))
    figures |= approximate(bank, queries, exact, "ivf") | approximate(bank, queries.first(BY_CODES), exact[:BY_CODES], "pq")
    figures["build_s"] = figures["build_flat_s"] + figures["build_ivf_s"]
    return figures


def approximate(bank: MemoryBank, queries: Queries, exact: np.ndarray, kind: str) -> dict[str, float]:
    """Recall and speed of an index of this kind for several numbers of lists; the headline is the fewest that reach RECALL."""
    memory, name = BASE.model_copy(update={"index": kind}), f"sentence_{kind}"
    start = time.perf_counter()
    bank.index("texts", memory)
    figures = {f"build_{kind}_s": time.perf_counter() - start}
    for probes in PROBES:
        found, speed = timed(queries, bank, memory.model_copy(update={"probes": probes}), name)
        recall = float(np.mean(found == exact))
        figures |= {f"{name}_{probes}_qps": speed[f"{name}_qps"], f"{name}_{probes}_recall": recall}
        steps.log.info("%s, %d lists probed: recall %.4f, %.0f queries/s", kind, probes, recall, speed[f"{name}_qps"])
        if recall >= RECALL:
            break
    return figures | speed | {f"{kind}_probes": probes, f"{name}_recall": recall}


def word_level(bank: MemoryBank, asked: Asked, hard: Asked, strategy: str, name: str, probes: int) -> dict[str, float]:
    """Candidates against all images, for several numbers of candidates: recall@1 of plain and of hard queries, and speed."""
    memory = BASE.model_copy(update={"strategy": strategy, "candidates": "all"})
    figures, best, few = {}, {}, {}
    for kind, (queries, rows), count in zip(("", "_hard"), (asked, hard), REFERENCES[strategy], strict=True):
        few[kind], clock = queries.first(count), Clock()
        best[kind] = clock.run(lambda these=few[kind]: nearest(these, bank, memory)[0][:, 0])
        figures |= clock.figures(f"{name}{kind}_all") | {f"{name}{kind}_all_own": float(np.mean(best[kind] == rows[:count]))}
        steps.log.info("%s, all images: %d%s queries in %.0f s", strategy, count, kind.replace("_", " "), clock.seconds)
    by_ivf = {"index": "ivf", "probes": probes}
    for candidates, changes, at in (
        (30, {}, "_30"),
        (100, {}, ""),
        (100, by_ivf, "_by_ivf"),
        (300, {}, "_300"),
        (1000, {}, "_1000"),
    ):
        some = memory.model_copy(update={"candidates": candidates} | changes)
        found, speed = timed(asked[0] if at == "" else few[""], bank, some, f"{name}{at}")
        figures |= speed | {f"{name}{at}_recall": float(np.mean(found[: len(best[""])] == best[""]))}
        found, _ = timed(few["_hard"], bank, some, "")
        figures[f"{name}_hard{at}_recall"] = float(np.mean(found == best["_hard"]))
        said = [figures[key] for key in (f"{name}{at}_recall", f"{name}_hard{at}_recall", f"{name}{at}_qps")]
        whose = f"{candidates} candidates{' by ivf' if changes else ''}"
        steps.log.info("%s, %s: recall %.2f, hard %.2f, %.0f queries/s", strategy, whose, *said)
    return figures


def without_pooling(bank: MemoryBank, asked: Asked, hard: Asked) -> dict[str, float]:
    """What the shortlist by pooled regions costs and saves: `words_image` on 1000 candidates, all of whose regions are read."""
    memory = BASE.model_copy(update={"strategy": "words_image", "candidates": 1000})
    few = [queries.first(count) for (queries, _), count in zip((asked, hard), REFERENCES["words_image"], strict=True)]
    found = [nearest(queries, bank, memory)[0][:, 0] for queries in few]
    shortlist, words.SHORTLIST = words.SHORTLIST, 1000
    exact = [timed(queries, bank, memory, "unpooled_1000") for queries in few]
    words.SHORTLIST = shortlist
    same = [float(np.mean(a == b)) for a, (b, _) in zip(found, exact, strict=True)]
    return exact[0][1] | {"pooled_recall": same[0], "pooled_hard_recall": same[1]}


def measured(bank: MemoryBank, synthetic: SyntheticBank, queries: int, word_queries: int) -> dict[str, float]:
    """All strategies, level by level."""
    figures = sentence_level(bank, *synthetic.queries(bank, queries, words=False))
    asked = synthetic.queries(bank, word_queries, words=True)
    hard = synthetic.queries(bank, max(count for _, count in REFERENCES.values()), words=True, cosine=0.3)
    for strategy, name in (("words_words", "words"), ("words_image", "words_image")):
        figures |= word_level(bank, asked, hard, strategy, name, int(figures["ivf_probes"]))
    return figures | without_pooling(bank, asked, hard)


def main(
    scale: Annotated[float, Option(help="share of COCO's 82,783 images")] = 1.0,
    queries: Annotated[int, Option(help="at the sentence level")] = 30000,
    word_queries: Annotated[int, Option(help="at the word level")] = 500,
    threads: Annotated[int, Option(help="of FAISS and torch")] = 2,
    seed: Annotated[int, Option(help="of all that is drawn")] = 0,
    keep: Annotated[bool, Option(help="leave the bank for the next time")] = False,
) -> None:
    """Times the retrieval strategies on a synthetic bank."""
    steps.set_threads(threads)
    memory = PeakMemory()
    memory.start()
    begun, images = time.perf_counter(), round(82783 * scale)
    figures = {"images": images, "threads": threads, "queries": queries, "load_before": os.getloadavg()[0]}
    shutil.rmtree(OUT / "state" / "index", ignore_errors=True)  # else indexes would be read, not built
    synthetic = SyntheticBank(images, captions=5, words=12, side=17, dimension=256, seed=seed)
    bank = synthetic.write(OUT / f"bank-{images}")
    figures["bank_write_s"] = time.perf_counter() - begun
    start = time.perf_counter()
    bank.verify()
    figures["verify_s"] = time.perf_counter() - start
    figures |= measured(bank, synthetic, queries, word_queries)
    for name in ("sentences", "words", "globals", "regions", "pooled"):
        figures[f"{name}_gb"] = 2 * float(np.prod(getattr(bank, name).shape)) / 1e9
    figures |= {"peak_gb": memory.anonymous, "mapped_gb": memory.mapped, "load_after": os.getloadavg()[0]}
    memory.over.set()
    if not keep:
        shutil.rmtree(bank.folder)
    figures["seconds"] = time.perf_counter() - begun
    print(json.dumps({name: float(f"{value:.4g}") for name, value in figures.items()}))


if __name__ == "__main__":
    steps.start_log(None)
    torch.set_grad_enabled(False)
    typer.run(main)
