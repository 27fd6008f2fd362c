"""The sentence level as the bank grows: 1, 4 and 16 times COCO's images. Prints a JSON object last, and draws it log-log.

python -m benchmarks.growth [--scale 0.1] [--threads 2] [--keep]     (in the repository's root, PYTHONPATH=src)

Each kind of index is built in a process of its own and searched in another, which finds it in its file, so that each figure is
that of one index alone. In `points`: build_s and build_gb (largest anonymous memory of the building process, above that of the bare
process), then ms a query, gb (the same of the searching process) and mapped_gb (files that it has mapped and looked at), recall@1
against `flat`. In `slopes`: exponents of the images' number in time and memory, from the first to the last point.
Sentences and indexes, 13 GB, are removed at the end, unless --keep is given.
"""

import json
import shutil
import subprocess
import sys
import time
from math import log
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import typer
from matplotlib.axes import Axes
from torch.nn.functional import normalize
from typer import Option

from benchmarks.retrieval import BASE, PeakMemory
from benchmarks.synthetic_bank import ROWS, SyntheticBank
from memgan import steps
from memgan.artifacts import read_json
from memgan.memory.index import SentenceIndex
from memgan.memory.shards import SHARD_BYTES, Part, Shards, build
from memgan.report.style import WIDTH, save, styled

OUT = Path("benchmarks/.out/growth")
COCO, CAPTIONS, DIMENSION = 82783, 5, 256
TIMES = (1, 4, 16)
KINDS = {"flat": 300, "ivf": 3000, "pq": 3000}  # and queries
PROBES = 16  # lists, at every size
DRAWN = 50  # times ROWS images are a shard: 102 MB
PANELS = {"ms": "ms a query", "gb": "GB of memory while searching", "build_s": "s to build the index"}


class Sentences:
    """The sentences of the first `images` images, memory-mapped."""

    def __init__(self, folder: Path, images: int):
        self.rows = Shards(folder).array("text", "sentences")
        self.owner = np.repeat(np.arange(images), CAPTIONS)

    def __len__(self) -> int:
        return len(self.owner)

    def blocks(self):
        """Shard by shard, the last one cut."""
        for start, block in zip(self.rows.starts, self.rows.blocks(), strict=False):
            if start < len(self):
                yield block[: len(self) - start]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """By caption number."""
        return self.rows.take(rows)


def write(images: int, seed: int) -> Path:
    """The sentences of all images, generated once."""
    folder, shape = OUT / f"sentences-{images}", [images, CAPTIONS, DIMENSION, seed]
    if not (folder / "manifest.json").exists() or read_json(folder / "manifest.json")["manifest"] != {"shape": shape}:
        synthetic = SyntheticBank(images, CAPTIONS, words=12, side=17, dimension=DIMENSION, seed=seed)

        def sentences(start: int, stop: int) -> dict[str, torch.Tensor]:
            drawn = [synthetic.sentences(at, min(at + ROWS, stop))["sentences"] for at in range(start, stop, ROWS)]
            return {"sentences": torch.cat(drawn)}

        build(folder, [Part("text", images, SHARD_BYTES // (DRAWN * ROWS), sentences)], {}, {"shape": shape})
    return folder


def queries(table: Sentences, count: int) -> np.ndarray:
    """Captions of the table, each with noise at cosine 0.9."""
    rng = torch.Generator().manual_seed(1)
    source = torch.from_numpy(table.take(torch.randint(len(table), (count,), generator=rng).numpy())).float()
    return normalize(0.9 * source + (1 - 0.9**2) ** 0.5 * normalize(torch.randn(source.shape, generator=rng)), dim=1).numpy()


def one(folder: Path, images: int, kind: str, threads: int, built: bool) -> dict[str, Any]:
    """One index: built, or, once it is, searched. In a process of its own."""
    steps.set_threads(threads)
    memory = PeakMemory()
    memory.start()
    time.sleep(0.1)  # until it has looked
    bare, table, start = memory.anonymous, Sentences(folder, images), time.perf_counter()
    index = SentenceIndex(table, BASE.model_copy(update={"index": kind}), OUT / f"{kind}-{images}.faiss")
    seconds = time.perf_counter() - start
    if not built:
        return {"build_s": seconds, "build_gb": memory.anonymous - bare}
    asked = queries(table, KINDS[kind])
    index.search(asked[:8], 1, PROBES)
    start = time.perf_counter()
    rows, _ = index.search(asked, 1, PROBES)
    found = {"ms": 1000 * (time.perf_counter() - start) / len(rows), "gb": memory.anonymous - bare, "mapped_gb": memory.mapped}
    return found | {"rows": rows[: min(KINDS.values()), 0].tolist()}


def apart(folder: Path, images: int, kind: str, threads: int, built: bool) -> dict[str, Any]:
    """`one` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.growth", "--part", json.dumps([str(folder), images, kind, threads, built])]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def measure(folder: Path, images: int, kind: str, threads: int) -> dict[str, Any]:
    """Builds an index anew and searches it."""
    for old in OUT.glob(f"{kind}-{images}.*"):
        old.unlink()
    found = {"kind": kind, "images": images, "sentences": images * CAPTIONS}
    found |= apart(folder, images, kind, threads, built=False) | apart(folder, images, kind, threads, built=True)
    said = f"{kind}, {images} images: {found['ms']:.3f} ms a query, {found['gb']:.2f} GB, built in {found['build_s']:.1f} s"
    steps.log.info("%s", said)
    return found


def slopes(points: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Exponent of the number of images in each figure, by kind: from the first point to the last."""
    found: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        mine = [point for point in points if point["kind"] == kind]
        grown = log(mine[-1]["images"] / mine[0]["images"])
        found[kind] = {name: round(log(mine[-1][name] / mine[0][name]) / grown, 2) for name in PANELS}
    return found


def draw(points: list[dict[str, Any]]) -> None:
    """Time and memory over the number of images, log-log."""
    with styled():
        figure, axes = plt.subplots(1, len(PANELS), figsize=(WIDTH, 2.5), layout="constrained")
        for axis, (name, title) in zip(axes, PANELS.items(), strict=True):
            _panel(axis, points, name, title)
        axes[0].legend()
        save(figure, OUT, "growth")


def _panel(axis: Axes, points: list[dict[str, Any]], name: str, title: str) -> None:
    for kind in KINDS:
        mine = [point for point in points if point["kind"] == kind]
        axis.loglog([point["images"] for point in mine], [point[name] for point in mine], marker="o", markersize=3, label=kind)
    sizes = sorted({point["images"] for point in points})
    axis.set_xticks(sizes, [f"{size / 1e6:.2g} M" for size in sizes])
    axis.minorticks_off()
    axis.set(title=title, xlabel="images")


def main(
    scale: Annotated[float, Option(help="share of COCO's 82,783 images at 1x")] = 1.0,
    threads: Annotated[int, Option(help="of FAISS and torch")] = 2,
    seed: Annotated[int, Option(help="of all that is drawn")] = 0,
    keep: Annotated[bool, Option(help="leave sentences and indexes")] = False,
    part: Annotated[str, Option(help="one measurement, as JSON; for this script's own use", hidden=True)] = "",
) -> None:
    """Times the sentence level as the bank grows."""
    if part:
        folder, *rest = json.loads(part)
        print(json.dumps(one(Path(folder), *rest)))
        return
    sizes = [round(COCO * scale) * times for times in TIMES]
    folder, points = write(sizes[-1], seed), []
    for images in sizes:
        mine = [measure(folder, images, kind, threads) for kind in KINDS]
        exact = mine[0]["rows"]
        points += [point | {"recall": float(np.mean(np.array(point.pop("rows")) == exact))} for point in mine]
    draw(points)
    if not keep:
        shutil.rmtree(folder)
        for old in OUT.glob("*-*.faiss"):
            old.unlink()
    print(json.dumps({"threads": threads, "probes": PROBES, "slopes": slopes(points), "points": points}))


if __name__ == "__main__":
    steps.start_log(None)
    torch.set_grad_enabled(False)
    typer.run(main)
