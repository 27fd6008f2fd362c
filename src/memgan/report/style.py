"""How figures look, and how they reach the disk: vector and PNG, the same bytes for the same content."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

# Inches; figures are drawn at the size at which they are read.
WIDTH = 7.2  # the text of a page
COLUMN = 3.5  # one of its two columns
SMALLEST = 6  # points of the smallest type
DPI = 200
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#a463f2", "#9c6b4e")
SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "legend.frameon": False,
    "legend.fontsize": 6.5,
    "figure.dpi": DPI,
    "pdf.fonttype": 42,
    "svg.hashsalt": "memgan",
}


@contextmanager
def styled() -> Iterator[None]:
    """Figures made in this block look like ours; other settings are left alone."""
    with matplotlib.rc_context(SETTINGS):
        yield


def save(figure: Figure, folder: Path, name: str) -> None:
    """Writes `<name>.pdf` and `<name>.png` without a date."""
    figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
    figure.savefig(folder / f"{name}.png", dpi=DPI)
    plt.close(figure)
