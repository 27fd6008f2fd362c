"""Retrieval at COCO's scale: queries a second, recall against exhaustive search, memory. Prints a JSON object last.

python -m benchmarks.retrieval [--scale 0.1] [--threads 2]     (in the repository's root, PYTHONPATH=src)

Keys: *_qps queries a second; *_recall share of queries whose first image is that of the exhaustive search; *_own share whose
first image is the one that the query was made from; *_hard queries at cosine 0.3 instead of 0.9; a number in a key is the
number of candidates, 100 where there is none, or of lists probed; sentence_ivf_qps and _recall are those of the fewest lists
(ivf_probes) that reach a recall of 0.99; *_by_ivf word level on candidates that inverted lists hand on; pooled_recall share of
queries for which the shortlist by pooled regions changes nothing; peak_gb largest anonymous memory of the process (mapped files
counted apart, in mapped_gb); build_s indexes over the sentences, flat and ivf; seconds all of it.
"""

import json
import shutil
import threading
import time
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
from memgan.memory.retrieval import Queries, nearest
from memgan.params.memory import Memory

OUT = Path("benchmarks/.out")
Asked = tuple[Queries, np.ndarray]  # and the rows of the images that they were made from
REFERENCES, HARD = (
    50,
    14,
)  # queries of the exhaustive searches at the word level, plain and hard ones: 64 are one pass over the bank
BY_NUMPY = 5000  # queries of the plain matrix product; more only take longer
PROBES, RECALL = (2, 4, 8, 16, 32), 0.99
BASE = Memory(strategy="sentence_sentence", text_weight=0.5, candidates=100, index="flat", lists=0, probes=PROBES[0], code_bytes=32)


class PeakMemory(threading.Thread):
    """Samples this process' memory: largest anonymous and largest file-backed size, in GB."""

    def __init__(self):
        super().__init__(daemon=True)
        self.anonymous = self.mapped = 0.0

    def run(self) -> None:
        """Goes on until the process ends."""
        while True:
            lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Rss"))
            sizes = {name: int(kib) * 1024 / 1e9 for name, kib, _ in lines}
            self.anonymous = max(self.anonymous, sizes["RssAnon:"])
            self.mapped = max(self.mapped, sizes["RssFile:"])
            time.sleep(0.02)


def timed(queries: Queries, bank: MemoryBank, memory: Memory) -> tuple[np.ndarray, float]:
    """First image of each query, and queries a second; indexes are built and files are mapped before."""
    nearest(queries.first(8), bank, memory)
    start = time.perf_counter()
    rows, _ = nearest(queries, bank, memory)
    return rows[:, 0], len(rows) / (time.perf_counter() - start)


def plain_faiss(bank: MemoryBank, queries: np.ndarray) -> tuple[np.ndarray, float]:
    """IndexFlatIP over the sentences, alone."""
    index = faiss.IndexFlatIP(queries.shape[1])
    for block in bank.sentences.blocks():
        index.add(block.astype(np.float32))
    start = time.perf_counter()
    _, found = index.search(queries, 1)
    return bank.owner[found[:, 0]], len(queries) / (time.perf_counter() - start)


def plain_numpy(bank: MemoryBank, queries: np.ndarray, block: int = 256) -> tuple[np.ndarray, float]:
    """Matrix product and argmax, in blocks of queries."""
    sentences = np.concatenate([part.astype(np.float32) for part in bank.sentences.blocks()])
    start = time.perf_counter()
    found = [(queries[at : at + block] @ sentences.T).argmax(axis=1) for at in range(0, len(queries), block)]
    return bank.owner[np.concatenate(found)], len(queries) / (time.perf_counter() - start)


def sentence_level(bank: MemoryBank, queries: Queries, rows: np.ndarray) -> dict[str, float]:
    """Exact search, plain FAISS and NumPy; inverted lists, product codes."""
    figures: dict[str, float] = {}
    start = time.perf_counter()
    bank.index("texts", BASE)
    figures["build_flat_s"] = time.perf_counter() - start
    exact, figures["sentence_exact_qps"] = timed(queries, bank, BASE)
    flat, figures["faiss_flat_qps"] = plain_faiss(bank, queries.encoded.sentences)
    product, figures["numpy_qps"] = plain_numpy(bank, queries.encoded.sentences[:BY_NUMPY])
    figures |= {"sentence_exact_recall": float(np.mean(exact == flat)), "numpy_recall": float(np.mean(product == exact[:BY_NUMPY]))}
    figures["sentence_own"] = float(np.mean(exact == rows))
    figures["exact_over_faiss"] = figures["sentence_exact_qps"] / figures["faiss_flat_qps"]
    for kind in ("ivf", "pq"):
        figures |= approximate(bank, queries, exact, kind)
    figures["build_s"] = figures["build_flat_s"] + figures["build_ivf_s"]
    return figures


def approximate(bank: MemoryBank, queries: Queries, exact: np.ndarray, kind: str) -> dict[str, float]:
    """Recall and speed of an index of this kind for several numbers of lists; the headline is the fewest that reach RECALL."""
    memory = BASE.model_copy(update={"index": kind})
    start = time.perf_counter()
    bank.index("texts", memory)
    figures = {f"build_{kind}_s": time.perf_counter() - start}
    for probes in PROBES:
        found, speed = timed(queries, bank, memory.model_copy(update={"probes": probes}))
        recall = float(np.mean(found == exact))
        figures |= {f"sentence_{kind}_{probes}_qps": speed, f"sentence_{kind}_{probes}_recall": recall}
        steps.log.info("%s, %d lists probed: recall %.4f, %.0f queries/s", kind, probes, recall, speed)
        if recall >= RECALL:
            break
    return figures | {f"{kind}_probes": probes, f"sentence_{kind}_qps": speed, f"sentence_{kind}_recall": recall}


def word_level(bank: MemoryBank, asked: Asked, hard: Asked, strategy: str, name: str, probes: int) -> dict[str, float]:
    """Candidates against all images, for several numbers of candidates: recall@1 of plain and of hard queries, and speed."""
    memory = BASE.model_copy(update={"strategy": strategy, "candidates": "all"})
    figures, best = {}, {}
    for kind, (queries, rows) in {"": asked, "_hard": hard}.items():
        start = time.perf_counter()
        best[kind] = nearest(queries.first(REFERENCES), bank, memory)[0][:, 0]
        figures[f"{name}{kind}_all_qps"] = len(best[kind]) / (time.perf_counter() - start)
        figures[f"{name}{kind}_all_own"] = float(np.mean(best[kind] == rows[:REFERENCES]))
    by_ivf = {"index": "ivf", "probes": probes}
    for candidates, changes, at in (
        (30, {}, "_30"),
        (100, {}, ""),
        (100, by_ivf, "_by_ivf"),
        (300, {}, "_300"),
        (1000, {}, "_1000"),
    ):
        some = memory.model_copy(update={"candidates": candidates} | changes)
        found, figures[f"{name}{at}_qps"] = timed(asked[0], bank, some)
        figures[f"{name}{at}_recall"] = float(np.mean(found[:REFERENCES] == best[""]))
        found, _ = timed(hard[0], bank, some)
        figures[f"{name}_hard{at}_recall"] = float(np.mean(found == best["_hard"]))
        said = [figures[key] for key in (f"{name}{at}_recall", f"{name}_hard{at}_recall", f"{name}{at}_qps")]
        whose = f"{candidates} candidates{' by ivf' if changes else ''}"
        steps.log.info("%s, %s: recall %.2f, hard %.2f, %.0f queries/s", strategy, whose, *said)
    return figures


def without_pooling(bank: MemoryBank, asked: Asked, hard: Asked) -> dict[str, float]:
    """What the shortlist by pooled regions costs and saves: `words_image` on 1000 candidates, all of whose regions are read."""
    memory = BASE.model_copy(update={"strategy": "words_image", "candidates": 1000})
    found = [timed(queries.first(REFERENCES), bank, memory)[0] for queries, _ in (asked, hard)]
    shortlist, words.SHORTLIST = words.SHORTLIST, 1000
    exact = [timed(queries.first(REFERENCES), bank, memory) for queries, _ in (asked, hard)]
    words.SHORTLIST = shortlist
    same = [float(np.mean(a == b)) for a, (b, _) in zip(found, exact, strict=True)]
    return {"unpooled_1000_qps": exact[0][1], "pooled_recall": same[0], "pooled_hard_recall": same[1]}


def main(
    scale: Annotated[float, Option(help="share of COCO's 82,783 images")] = 1.0,
    queries: Annotated[int, Option(help="at the sentence level")] = 30000,
    word_queries: Annotated[int, Option(help="at the word level")] = 500,
    threads: Annotated[int, Option(help="of FAISS and torch")] = 2,
    seed: Annotated[int, Option(help="of all that is drawn")] = 0,
) -> None:
    """Times the retrieval strategies on a synthetic bank."""
    steps.set_threads(threads)
    memory = PeakMemory()
    memory.start()
    begun, images = time.perf_counter(), round(82783 * scale)
    shutil.rmtree(OUT / "state" / "index", ignore_errors=True)  # else indexes would be read, not built
    synthetic = SyntheticBank(images, captions=5, words=12, side=17, dimension=256, seed=seed)
    start = time.perf_counter()
    bank = synthetic.write(OUT / f"bank-{images}")
    figures: dict[str, float] = {
        "images": images,
        "threads": threads,
        "queries": queries,
        "bank_write_s": time.perf_counter() - start,
    }
    start = time.perf_counter()
    bank.verify()
    figures["verify_s"] = time.perf_counter() - start
    figures |= sentence_level(bank, *synthetic.queries(bank, queries, words=False))
    asked = synthetic.queries(bank, word_queries, words=True)
    hard = synthetic.queries(bank, HARD, words=True, cosine=0.3)
    figures |= word_level(bank, asked, hard, "words_words", "words", int(figures["ivf_probes"]))
    figures |= word_level(bank, asked, hard, "words_image", "words_image", int(figures["ivf_probes"]))
    figures |= without_pooling(bank, asked, hard)
    for name in ("sentences", "words", "globals", "regions", "pooled"):
        figures[f"{name}_gb"] = 2 * float(np.prod(getattr(bank, name).shape)) / 1e9
    figures |= {"peak_gb": memory.anonymous, "mapped_gb": memory.mapped}
    figures["seconds"] = time.perf_counter() - begun
    print(json.dumps({name: float(f"{value:.4g}") for name, value in figures.items()}))


if __name__ == "__main__":
    steps.start_log(None)
    torch.set_grad_enabled(False)
    typer.run(main)
