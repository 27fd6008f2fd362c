"""Step: the figures of one run: samples beside their retrieved images, training curves, diversity (SPEC 13).

python -m memgan.report.figures --images ... --curves ... [--metrics ...] [--variations ...] --out figures samples/0.tar ...
"""

import re
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from typer import Argument, Option

from memgan import steps
from memgan.artifacts import atomic_folder, read_json
from memgan.data.shards import ImageFolder
from memgan.errors import InputError
from memgan.metrics.samples import Samples, made_with
from memgan.report.pictures import Neighbour, diversity_figure, samples_figure
from memgan.report.style import COLUMN, save, styled

PANELS = {  # title -> which columns of the curves
    "generator, adversarial": r"g\d+",
    "discriminators": r"d\d+",
    "R1 penalty (before its weight)": r"r1_\d+",
    "DAMSM and KL": r"damsm|kl",
    "diversity": r"diversity",
}
OPTIONAL = "diversity"  # a panel that is left out where nothing belongs into it; the others say so
NAMES = {"damsm": "DAMSM", "kl": "KL", "diversity": "diversity"}
LOGARITHMIC = ("R1", "DAMSM")  # kinds whose terms lie orders of magnitude apart
WINDOW = 9  # points of the running mean, fewer where there are few


def main(
    samples: Annotated[list[Path], Argument(help="all shards of the samples, tar; their JSON lies beside them")],
    images: Annotated[Path, Option(help="preprocessed images")],
    curves: Annotated[Path, Option(help="losses by step, CSV")],
    out: Annotated[Path, Option(help="folder of the figures")],
    metrics: Annotated[Path | None, Option(help="scores of the run, JSON; for the copy check's figure")] = None,
    variations: Annotated[Path | None, Option(help="few captions with many z, tar; for the diversity figure")] = None,
) -> None:
    """Draws the figures of one run."""
    found = Samples(samples)
    neighbour = retrieved(images, samples, found.image(0).shape[0])
    with styled(), atomic_folder(out) as folder:
        save(samples_figure(found, neighbour), folder, "samples")
        save(curves_figure(curves), folder, "curves")
        scored = read_json(metrics) if metrics else {}
        if bars := scored.get("histograms", {}).get("copy check"):
            save(copy_figure(bars, scored["metrics"]["copy ratio"]["extractor"]), folder, "copy")
        if variations:
            save(diversity_figure(Samples([variations]), neighbour), folder, "diversity")
    steps.log.info("figures: %s", ", ".join(sorted(path.name for path in out.iterdir())))


def retrieved(images: Path, samples: list[Path], size: int) -> Neighbour:
    """What shows a sample's retrieved image: of the training images, or with the strategy `oracle` the test image itself."""
    strategy = made_with(samples)["memory"]["strategy"]
    folder = ImageFolder(images, "test" if strategy == "oracle" else "train")

    def show(record: dict[str, Any]) -> np.ndarray:
        return folder.centre(record["neighbour"], size)

    return show


def curves_figure(path: Path) -> Figure:
    """Losses over the steps, one panel a kind, raw and as a running mean. Raises InputError if the file holds no curves."""
    table = read_curves(path)
    panels = {title: [name for name in table.columns if re.fullmatch(pattern, name)] for title, pattern in PANELS.items()}
    panels = {title: names for title, names in panels.items() if names or title != OPTIONAL}
    figure, axes = plt.subplots(len(panels), figsize=(COLUMN, 1.5 * len(panels)), layout="constrained", sharex=True)
    for axis, (title, names) in zip(axes, panels.items(), strict=True):
        axis.set_title(title)
        for name in names:
            points = table[["step", name]].dropna()
            (line,) = axis.plot(points["step"], points[name], alpha=0.25, linewidth=0.6)
            window = min(WINDOW, 1 + len(points) // 40)
            mean = points[name].rolling(window, center=True, min_periods=1).mean()
            looks = {"color": line.get_color(), "marker": "o" if len(points) == 1 else None, "markersize": 3}
            axis.plot(points["step"], mean, label=NAMES.get(name) or f"stage {int(name[-1]) + 1}", **looks)
        if axis.lines:
            axis.set(ylabel="loss", yscale="log" if title.startswith(LOGARITHMIC) else "linear")
            axis.legend(ncols=3)
        else:
            axis.text(0.5, 0.5, "no step was trained" if table.empty else "not in use", ha="center", transform=axis.transAxes)
    axes[-1].set_xlabel("step")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def copy_figure(bars: dict[str, Any], extractor: str) -> Figure:
    """How far samples are from their retrieved images, beside how far they are from random ones."""
    edges = np.array(bars["edges"])
    figure, axis = plt.subplots(figsize=(COLUMN, 2.2), layout="constrained")
    for name, words in (("retrieved", "to the retrieved image"), ("random", "to a random image of the bank")):
        share = np.array(bars[name]) / max(1, sum(bars[name]))
        axis.stairs(100 * share, edges, fill=True, alpha=0.5, label=words)
    axis.set(xlabel=f"distance of a sample in the features of {extractor}", ylabel="% of samples", xlim=_filled(bars))
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=6)
    return figure


def _filled(bars: dict[str, Any]) -> tuple[float, float]:
    """From zero to the farthest bin that holds anything, and a little more."""
    counts = np.array(bars["retrieved"]) + np.array(bars["random"])
    last = int(np.flatnonzero(counts).max(initial=0)) + 2
    return 0.0, bars["edges"][min(last, len(counts))]


def read_curves(path: Path) -> pd.DataFrame:
    """The training's CSV. Raises InputError if it is missing or has no column `step`."""
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; make it with `snakemake --cores all {path}`") from None
    except (ValueError, UnicodeDecodeError) as fault:
        raise InputError(f"{path}: this is not CSV ({fault}); delete it and train again") from None
    if "step" not in table.columns:
        raise InputError(f"{path}: there is no column `step`; delete it and train again")
    return table


if __name__ == "__main__":
    steps.run(main)
