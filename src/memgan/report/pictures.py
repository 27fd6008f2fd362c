"""Figures that show images: samples beside their retrieved images (paper, Fig. 3), and many z for one caption (Fig. 5)."""

import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from memgan.metrics.samples import Samples
from memgan.report.style import COLUMN, SMALLEST, WIDTH

COUNT, COLUMNS = 64, 4  # pairs of sample and retrieved image
LETTERS, LINES = 36, 3  # a caption under a pair
ROWS, SHOWN = 8, 5  # captions of the diversity figure, and samples of each
ACROSS = 72  # letters of a line as wide as a column
MARGIN, LINE = 0.06, 0.105  # inches: between pictures, from one line of text to the next
CRISP = 128  # px to which a smaller picture is enlarged
HEAD = 0.24  # inches of a figure's heading
Neighbour = Callable[[dict[str, Any]], np.ndarray]  # a sample's record -> its retrieved image, uint8 [H, W, 3]


class Sheet:
    """A page in inches from its upper left corner, on which pictures and lines of text are laid. One axes: many are slow."""

    def __init__(self, height: float, heading: str, width: float = COLUMN):
        self.figure = plt.figure(figsize=(width, height))
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.text(width / 2, MARGIN, heading, 7)

    def picture(self, x: float, y: float, side: float, image: np.ndarray) -> None:
        """A square picture whose upper left corner is (x, y); small ones are enlarged here, since PDF viewers would blur them."""
        times = max(1, CRISP // image.shape[0])
        enlarged = image.repeat(times, axis=0).repeat(times, axis=1)
        self.axes.imshow(enlarged, interpolation="none", extent=(x, x + side, y + side, y), aspect="auto")

    def text(self, x: float, y: float, text: str, size: float = SMALLEST) -> None:
        """Centred lines whose upper edge is y."""
        self.axes.text(x, y, text, ha="center", va="top", fontsize=size, linespacing=1.15)

    def done(self) -> Figure:
        """The figure, nothing but what was laid on it."""
        width, height = self.figure.get_size_inches()
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        self.axes.axis("off")
        return self.figure


def spread(captions: Sequence[str], count: int = COUNT) -> list[int]:
    """Indices of samples, spread evenly over all, so that all classes are seen; no caption comes twice."""
    first: dict[str, int] = {}
    for index, caption in enumerate(captions):
        first.setdefault(caption, index)
    indices = list(first.values())
    return [indices[i * len(indices) // count] for i in range(count)] if len(indices) > count else indices


def samples_figure(samples: Samples, neighbour: Neighbour) -> Figure:
    """Pairs of a sample (left) and the image that was retrieved for its caption (right), the caption below.

    A sheet to look through: as wide as a page, but with many samples higher than one.
    """
    chosen = spread([record["caption"] for record in samples.records])
    cell = WIDTH / COLUMNS
    side = (cell - 3 * MARGIN) / 2
    height = side + (LINES + 0.8) * LINE + MARGIN
    sheet = Sheet(HEAD + height * -(-len(chosen) // COLUMNS), "left: sample; right: image retrieved for its caption", WIDTH)
    for place, index in enumerate(chosen):
        row, column = divmod(place, COLUMNS)
        x, y, record = column * cell + MARGIN, HEAD + row * height, samples.records[index]
        sheet.picture(x, y, side, samples.image(index))
        sheet.picture(x + side + MARGIN / 2, y, side, neighbour(record))
        sheet.text(x + side + MARGIN / 4, y + side + 0.3 * LINE, shortened(record["caption"]))
    return sheet.done()


def shortened(caption: str, letters: int = LETTERS, lines: int = LINES) -> str:
    """The caption on at most so many lines of so many letters."""
    return "\n".join(textwrap.wrap(caption, letters, max_lines=lines, placeholder=" ..."))


def slug(caption: str) -> str:
    """The caption as a folder's name: its first words, letters and digits only."""
    return "-".join(re.findall(r"[a-z0-9]+", caption.lower())[:8]) or "caption"


def diversity_figure(samples: Samples, neighbour: Neighbour) -> Figure:
    """One row a caption: the retrieved image, then samples that differ in their noise alone."""
    groups: dict[str, list[int]] = {}
    for index, record in enumerate(samples.records):
        groups.setdefault(record["caption_id"], []).append(index)
    chosen = [list(groups.values())[i] for i in spread([samples.records[group[0]]["caption"] for group in groups.values()], ROWS)]
    side = (COLUMN - 4 * MARGIN) / (SHOWN + 1) - MARGIN
    height = side + 3 * LINE + MARGIN
    top = HEAD + LINE
    sheet = Sheet(top + height * len(chosen), "first: image retrieved for the caption;\nothers: samples, only the noise differs")
    for row, members in enumerate(chosen):
        _row(sheet, top + row * height, side, members, samples, neighbour)
    return sheet.done()


def _row(sheet: Sheet, y: float, side: float, members: Sequence[int], samples: Samples, neighbour: Neighbour) -> None:
    record = samples.records[members[0]]
    sheet.picture(MARGIN, y, side, neighbour(record))
    for place, index in enumerate(members[:SHOWN], start=1):
        sheet.picture(3 * MARGIN + place * (side + MARGIN), y, side, samples.image(index))
    sheet.text(COLUMN / 2, y + side + 0.3 * LINE, shortened(record["caption"], ACROSS, 2))
