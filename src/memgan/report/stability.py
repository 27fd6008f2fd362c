"""docs/STABILITY.md: what augmentation and spectral normalisation do to a training on little data (`make stability`).

python -m memgan.report.stability results/birdworld_few/ours/0 results/birdworld_few/ours/1 ...
"""

import statistics
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from typer import Argument, Option

from memgan import steps
from memgan.artifacts import read_json
from memgan.errors import InputError
from memgan.report import markdown
from memgan.report.figures import read_curves
from memgan.report.fill import put
from memgan.report.style import COLOURS, COLUMN, save, styled

SCORES = ("FID", "KID", "precision", "recall", "R-precision")  # shown where they were measured
LATE = 0.25  # the last part of a training, over which losses are averaged
NAMES = {
    "ours": "as in the paper: neither",
    "diffaugment": "augmentation (`train.augment: diffaugment`)",
    "spectral": "spectral norm (`gan.spectral_norm: true`)",
    "diffaugment_spectral": "both",
}
TEXT = """Measured on `{dataset}`: {seeds} seeds, {epochs} passes over {images} training images, {samples} samples each.

{table}

Scores are means over the seeds, with the standard deviation over them; FID, KID, precision and recall in the features of
{extractor}. The losses are means over the last quarter of the training, at the last stage: a discriminator
that wins (a small `D` beside a large `G`) no longer teaches. The curves, one line a seed, are above."""


def main(
    runs: Annotated[list[Path], Argument(help="folders results/<dataset>/<run>/<seed>")],
    out: Annotated[Path, Option(help="the page, with marks for results; its figure lies beside it")] = Path("docs/STABILITY.md"),
) -> None:
    """Puts table and figure between the page's marks."""
    found: dict[str, list[dict[str, Any]]] = {}
    for folder in runs:
        scores, curves = read_json(folder / "metrics.json"), read_curves(folder / "curves.csv")
        found.setdefault(folder.parts[-2], []).append({"scores": scores, "curves": curves})
    if len({folder.parts[-3] for folder in runs}) != 1 or len({len(members) for members in found.values()}) != 1:
        raise InputError(f"{runs[0].parent.parent}: give runs of one data set, each with as many seeds")
    first = runs[0]
    train = read_json(first / "samples/0.json")["manifest"]["params"]
    scores = next(iter(found.values()))[0]["scores"]["metrics"]
    text = TEXT.format(
        seeds=len(next(iter(found.values()))),
        dataset=first.parts[-3],
        epochs=f"{train['training']['train']['epochs']:g}",
        images=len(read_json(first.parents[1] / "images/index.json")["train"]),
        samples=train["sampling"]["samples"],
        table=table(found),
        extractor=scores.get("FID", {}).get("extractor", "the evaluator"),
    )
    with styled(), TemporaryDirectory() as folder:
        save(figure(found), Path(folder), "stability")
        put(out, text, Path(folder) / "stability.png")
    steps.log.info("%s: %d runs", out, len(runs))


def table(found: Mapping[str, list[dict[str, Any]]]) -> str:
    """One line a combination, in Markdown."""
    measured = next(iter(found.values()))[0]["scores"]["metrics"]
    shown = [name for name in SCORES if name in measured]
    lines = []
    for run, members in found.items():
        scores = [spread([m["scores"]["metrics"][name]["value"] for m in members]) for name in shown]
        losses = [spread([late(m["curves"], kind) for m in members]) for kind in "dg"]
        lines.append([NAMES.get(run, run), *scores, *losses])
    return "\n".join(markdown.table(["run", *shown, "D", "G"], lines))


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    mean = statistics.fmean(values)
    return f"{mean:.4g} ± {statistics.stdev(values):.2g}" if len(values) > 1 else f"{mean:.4g}"


def last_stage(curves: pd.DataFrame, kind: str) -> str:
    """The column of the last stage's loss: d2 of d0, d1, d2."""
    return max(name for name in curves.columns if name[0] == kind and name[1:].isdigit())


def late(curves: pd.DataFrame, kind: str) -> float:
    """Mean of the last stage's loss over the last part of the training."""
    return float(curves[last_stage(curves, kind)].iloc[-max(1, int(LATE * len(curves))) :].mean())


def figure(found: Mapping[str, list[dict[str, Any]]]) -> Figure:
    """Losses of the last stage over the steps, running means, a panel for D and one for G."""
    drawn, axes = plt.subplots(2, figsize=(COLUMN, 3.8), layout="constrained", sharex=True)
    for axis, kind, title in zip(axes, "dg", ("discriminator of the last stage", "generator, last stage"), strict=True):
        for (run, members), colour in zip(found.items(), COLOURS, strict=False):
            for number, member in enumerate(members):
                curves = member["curves"]
                mean = curves[last_stage(curves, kind)].rolling(25, center=True, min_periods=1).mean()
                label = NAMES.get(run, run).partition(" (")[0] if number == 0 else None
                axis.plot(curves["step"], mean, color=colour, linewidth=0.8, label=label)
        axis.set(title=title, ylabel="loss")
    axes[1].set_xlabel("step")
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return drawn


if __name__ == "__main__":
    steps.run(main)
