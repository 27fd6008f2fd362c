"""The ablations' figure: a bar a run, its deviation over seeds, and each seed's value."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memgan.report.compared import JUDGED, LOWER, Run, Scores, base_of
from memgan.report.style import COLOURS, COLUMN
from memgan.report.wide import shown

ROW = 0.19  # inches of a run
ROOM = 1.12  # of an axis beyond the largest bar
BELOW = 0.24  # of a row: the seeds' dots, so that they don't hide the whisker
OTHERS = "#b9c6ea"  # bars but for ours
NOTE = "bar, whisker: mean, deviation over seeds; dots: the seeds\ndashed: ours; dotted: real images"
UNTRAINED = 2.0  # a bar so many times the largest of the trained runs' is cut, and its value written


def bars_figure(runs: Sequence[Run], real: Scores) -> Figure:
    """One panel a metric that judges, one bar a run; the lines are `ours` and the real images."""
    base = base_of(runs)
    metrics = [metric for metric in JUDGED if base.values(metric)]
    height = ROW * len(runs) + 1.0
    figure, axes = plt.subplots(1, len(metrics), figsize=(COLUMN, height), sharey=True, squeeze=False, layout="constrained")
    for axis, metric in zip(axes[0], metrics, strict=True):
        _panel(axis, runs, base, metric, real[metric]["value"] if metric in real else None)
    axes[0][0].set_yticks(np.arange(len(runs)), [run.name for run in runs], fontsize=6)
    axes[0][0].set_ylim(len(runs) - 0.4, -0.6)
    figure.supxlabel(NOTE, fontsize=6)
    return figure


def _panel(axis: Axes, runs: Sequence[Run], base: Run, metric: str, real: float | None) -> None:
    there = [(place, run) for place, run in enumerate(runs) if run.values(metric)]
    ends = [run.spread(metric)[0] + (run.spread(metric)[1] or 0) for _, run in there]
    trained = [end for end, (_, run) in zip(ends, there, strict=True) if run.resolved["train"]["epochs"]]
    limit = ROOM * max(max(ends) if max(ends) <= UNTRAINED * max(trained) else max(trained), real or 0)
    for place, run in there:
        value, std = run.spread(metric)
        axis.barh(place, min(value, limit), color=COLOURS[0] if run is base else OTHERS, height=0.72, zorder=2)
        if value > limit:
            written = axis.text(
                0.97 * limit, place, f"{shown(metric, value)} \u2192", ha="right", va="center", fontsize=6, zorder=4
            )
            written.set_bbox({"facecolor": OTHERS, "linewidth": 0, "pad": 0.5})  # over the lines
            continue
        if std is not None:
            axis.errorbar(value, place, xerr=std, color="#222222", linewidth=0.8, capsize=1.8, capthick=0.8, zorder=4)
        values = run.values(metric)
        axis.plot(values, [place + BELOW] * len(values), "o", markersize=1.7, color=COLOURS[2], zorder=5)
    axis.axvline(base.spread(metric)[0], color=COLOURS[0], linewidth=0.8, linestyle="--", zorder=3)
    if real is not None:
        axis.axvline(real, color="#444444", linewidth=0.8, linestyle=":", zorder=3)
    axis.set_xlim(0, limit)
    axis.set_title(textwrap.fill(metric if metric in LOWER else f"{metric}, %", 15), fontsize=6.5)
    axis.set_xlabel(f"{'lower' if metric in LOWER else 'higher'} is better", fontsize=6)
    axis.tick_params(axis="x", labelsize=6)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
