"""Step: how well each retrieval strategy does on one data set (SPEC 4), and examples for the figure.

python -m memgan.metrics.retrieval --dataset D --images ... --vocabulary ... --damsm ... --bank ... --out retrieval.json

Agreement is measured with one test caption an image, whose own image is not in the bank; recall of the own image with one training
caption an image, which is in the bank itself. All strategies get the same captions. What `out` holds is the same on every run; how
long a query took is not, and goes to a file of its own, `times`.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from typer import Option

from memgan import steps
from memgan.artifacts import manifest, seed_of, write_json
from memgan.data.shards import ImageFolder
from memgan.data.worlds.readers import READERS
from memgan.encoders.matched import load_damsm
from memgan.encoders.vocabulary import Vocabulary
from memgan.errors import InputError
from memgan.memory.bank import MemoryBank
from memgan.memory.retrieval import STRATEGIES, CaptionEncoder, Queries, nearest
from memgan.metrics import agreement
from memgan.params.data import Images
from memgan.params.encoders import Damsm
from memgan.params.load import Settings
from memgan.params.memory import Memory

STEP = "memgan.metrics.retrieval"
QUERIES = 1000  # images of a split, each with one of its captions, drawn by seed [ours]: standard errors below 1.6 %
DEPTH = 5  # neighbours in the figure and in recall@5
READER = "ideal reader"  # no strategy: chooses by the known attributes
SHOWN = 5  # test captions in the figure
WARM = 8  # queries before the clock starts: indexes are built, shards are checked and mapped


class Asked(NamedTuple):
    """Captions that look for images, one an image."""

    rows: list[int]  # of their own images in the split
    captions: list[str]
    queries: Queries


class Found(NamedTuple):
    """What one strategy finds."""

    tested: np.ndarray  # [Q, k], rows of the bank; of the test split with `oracle`
    scores: np.ndarray  # [Q, k]
    trained: np.ndarray  # [Q', k] for training captions
    apart: np.ndarray | None  # [Q', 1], the same when their own images are left out; not with `oracle`
    seconds: float  # a query


class Judge:
    """Encoder, bank and images of one data set."""

    def __init__(self, settings: Settings, images: Path, vocabulary: Path, damsm: Path, bank: Path):
        self.seed, self.memory = settings.value("seed"), settings.block("memory", Memory)
        params, geometry = settings.block("damsm", Damsm), settings.block("images", Images)
        world = settings.source().world
        self.world = READERS[world.name] if world else None
        self.train, self.test = ImageFolder(images, "train"), ImageFolder(images, "test")
        words = Vocabulary.load(vocabulary)
        self.encoder = CaptionEncoder(words, load_damsm(damsm, params, geometry, words)[0], params.words)
        self.bank = MemoryBank(bank)
        if self.bank.encoder != self.encoder.fingerprint:
            raise InputError(f"{bank}: made with another text encoder; make it again: `snakemake --cores all {bank}`")
        if self.bank.ids != [row["id"] for row in self.train.rows]:
            raise InputError(f"{bank}: holds other images than {images}; make it again: `snakemake --cores all {bank}`")
        self.classes = {row["label"] for row in self.train.rows} - {None}

    def draw(self, folder: ImageFolder) -> Asked:
        """Images and captions of a split, by seed. Raises InputError if there is no image."""
        order = np.random.default_rng(seed_of(self.seed, "retrieval", folder.split)).permutation(len(folder))
        rows = sorted(order[:QUERIES].tolist())
        if not rows:
            raise InputError(f"{folder.folder}: the split {folder.split!r} has no image; choose another `split` in params.yaml")
        entries = [folder.rows[row] for row in rows]
        picks = [seed_of(self.seed, "retrieval", entry["id"]) % len(entry["captions"]) for entry in entries]
        captions = [entry["captions"][pick] for entry, pick in zip(entries, picks, strict=True)]
        return Asked(rows, captions, Queries(captions, self.encoder.encode(captions), np.array(rows), self.seed))

    def find(self, strategy: str, tested: Asked, trained: Asked) -> Found:
        """Asks one strategy for the neighbours of all captions."""
        memory = self.memory.model_copy(update={"strategy": strategy})
        k = 1 if strategy == "oracle" else min(DEPTH, len(self.bank) - 1)
        nearest(tested.queries.first(WARM), self.bank, memory, k)
        start = time.perf_counter()
        rows, scores = nearest(tested.queries, self.bank, memory, k)
        seconds = (time.perf_counter() - start) / len(rows)
        again, _ = nearest(trained.queries, self.bank, memory, k)
        own, apart = np.array(trained.rows)[:, None], None
        if self.classes and strategy != "oracle":
            apart, _ = nearest(trained.queries, self.bank, memory, 1, exclude=own)
        return Found(rows, scores, again, apart, seconds)

    def score(self, strategy: str, found: Found, tested: Asked, trained: Asked) -> list[dict[str, Any]]:
        """All figures of one strategy."""
        own = [self.test.rows[row] for row in tested.rows]
        retrieved = [self._entry(strategy, row) for row in found.tested[:, 0].tolist()]
        figures = agreement.of_categories(own, retrieved) | agreement.of_class(own, retrieved, self.classes)
        if self.world:
            figures |= agreement.of_attributes(tested.captions, own, retrieved, self.world)
        scores = agreement.summary(figures, "test")
        if found.apart is not None:
            own = [self.train.rows[row] for row in trained.rows]
            others = [self.train.rows[row] for row in found.apart[:, 0].tolist()]
            alike = agreement.of_class(own, others, self.classes)
            scores += agreement.summary({"class, own image left out": alike["class"]}, "training")
        return scores + agreement.summary(agreement.of_own(np.array(trained.rows), found.trained), "training")

    def examples(self, tested: Asked, found: dict[str, Found]) -> list[dict[str, Any]]:
        """Test captions spread over all, and the neighbours that each strategy finds.

        On a world with `said`, how many attributes the caption mentions, and `holds`, how many of them are true of the neighbour.
        """
        picks = [i * len(tested.rows) // SHOWN for i in range(min(SHOWN, len(tested.rows)))]
        return [
            {
                "caption": tested.captions[i],
                "row": tested.rows[i],
                "neighbours": {name: self._neighbours(name, tested.captions[i], each, i) for name, each in found.items()},
            }
            for i in picks
        ]

    def _neighbours(self, strategy: str, caption: str, found: Found, query: int) -> list[dict[str, Any]]:
        entries = [self._entry(strategy, row) for row in found.tested[query].tolist()]
        pairs = zip(found.tested[query].tolist(), found.scores[query].tolist(), entries, strict=True)
        listed: list[dict[str, Any]] = [{"row": row, "id": entry["id"], "score": round(score, 6)} for row, score, entry in pairs]
        if self.world:
            counts = agreement.mentioned([caption] * len(entries), entries, self.world)
            for one, holds, said in zip(listed, *(count.tolist() for count in counts), strict=True):
                one |= {"holds": holds, "said": said}
        return listed

    def _entry(self, strategy: str, row: int) -> dict[str, Any]:
        """What is known of a retrieved image: the oracle's is of the test split."""
        return (self.test if strategy == "oracle" else self.train).rows[row]


def main(
    dataset: Annotated[str, Option(help="entry under `data` of params.yaml")],
    images: Annotated[Path, Option(help="preprocessed images, a folder")],
    vocabulary: Annotated[Path, Option(help="words of the training captions")],
    damsm: Annotated[Path, Option(help="text and image encoder")],
    bank: Annotated[Path, Option(help="keys of the training images")],
    out: Annotated[Path, Option(help="scores of every strategy, JSON")],
    times: Annotated[Path, Option(help="how long a query took, JSON; differs from run to run")],
) -> None:
    """Measures every retrieval strategy on one data set."""
    settings = Settings(dataset)
    threads = settings.value("threads")
    steps.set_threads(threads)
    judge = Judge(settings, images, vocabulary, damsm, bank)
    tested, trained = judge.draw(judge.test), judge.draw(judge.train)
    found, scores = {}, []
    for strategy in STRATEGIES:
        found[strategy] = judge.find(strategy, tested, trained)
        scores += [{"strategy": strategy} | row for row in judge.score(strategy, found[strategy], tested, trained)]
        steps.log.info("%s", said(strategy, scores, found[strategy].seconds))
    if judge.world:
        ceiling = agreement.best_of_bank(tested.captions, judge.train.rows, judge.world)
        scores += [{"strategy": READER} | row for row in agreement.summary(ceiling, "test")]
    inputs = {"images": images, "vocabulary": vocabulary, "damsm": damsm, "bank": bank}
    written = manifest(STEP, {"memory": judge.memory.model_dump(), "threads": threads}, inputs, judge.seed)
    resolved = {"dataset": dataset, "seed": judge.seed, "encoder": f"damsm:{dataset}", "memory": judge.memory.model_dump()}
    resolved |= {"images": len(judge.bank), "texts": len(judge.bank.owner)}
    write_json(out, {"scores": scores, "examples": judge.examples(tested, found), "resolved": resolved, "manifest": written})
    milliseconds = {name: round(1000 * each.seconds, 4) for name, each in found.items()}
    write_json(times, {"dataset": dataset, "threads": threads, "queries": len(tested.rows), "ms_per_query": milliseconds})


def said(strategy: str, scores: Sequence[dict[str, Any]], seconds: float) -> str:
    """A strategy's figures in one line."""
    mine = [f"{row['metric']} {row['value']:.1f} %" for row in scores if row["strategy"] == strategy]
    return f"{strategy}: {', '.join(mine)}; {1000 * seconds:.2f} ms a query"


if __name__ == "__main__":
    steps.run(main)
