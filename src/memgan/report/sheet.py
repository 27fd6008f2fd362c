"""A caption in, pictures out: what `memgan generate` does (the paper's red box in Fig. 2: retrieve, then generate)."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from memgan.artifacts import atomic_folder, seed_of, write_text
from memgan.data.shards import ImageFolder
from memgan.errors import InputError
from memgan.gan.sample import Painter
from memgan.params.data import Images
from memgan.params.load import Settings
from memgan.report.pictures import slug
from memgan.report.style import DPI, WIDTH, styled
from memgan.steps import set_threads

COLUMNS = 8  # variations a row
NEEDED = ("vocabulary.json", "damsm.safetensors", "vgg.safetensors", "features", "bank", "images")


def generate(captions: list[str], dataset: str, run: str, trained: int | None, count: int, seed: int, out: Path) -> Iterator[str]:
    """Draws `count` variations of each caption into a folder of its own under `out`, with a contact sheet; yields what is to say.

    `trained` is the seed of the trained generator (None: the first of params.yaml), `seed` that of the noise.
    """
    settings = Settings(dataset, run)
    set_threads(settings.value("threads"))
    root = Path("results") / dataset
    home = root / run / str(settings.value("seeds")[0] if trained is None else trained)
    generator = home / "generator.safetensors"
    missing = [path for path in (generator, *(root / name for name in NEEDED)) if not path.exists()]
    if missing:
        raise InputError(f"{missing[0]}: not there yet; make it with `snakemake --cores all {generator}`")
    paths = {Path(name).stem: root / name for name in NEEDED} | {"generator": generator}
    painter, folder = Painter(settings, paths, seed), ImageFolder(root / "images", "train")
    size = settings.block("images", Images).size
    found, scores = painter.neighbours(captions, strict=True)
    for caption, (row,), (score,) in zip(captions, found.tolist(), scores.tolist(), strict=True):
        seeds = [seed_of(seed, "generate", caption, k) for k in range(count)]
        feature = painter.store.v(np.full(count, row))
        parts = [slice(at, at + painter.batch) for at in range(0, count, painter.batch)]
        made = [painter.paint([caption] * len(seeds[part]), seeds[part], feature[part]) for part in parts]
        stages = [np.concatenate(images) for images in zip(*made, strict=True)]
        place = out / f"{slug(caption)}-{seed_of(dataset, run, home.name, seed, caption) % 10**6:06d}"
        note = f"neighbour: {painter.bank.ids[row]}, score {score:.3f}"
        write_pictures(place, contact_sheet(caption, note, folder.centre(row, size), stages), stages[-1])
        write_text(place / "caption.txt", f"{caption}\n{note}\n")
        yield f"{caption}: {place / 'sheet.png'} and {count} pictures"


def write_pictures(place: Path, sheet: Figure, pictures: np.ndarray) -> None:
    """The sheet and each picture (uint8, N x p x p x 3) as PNG, all or nothing."""
    with atomic_folder(place) as temporary:
        sheet.savefig(temporary / "sheet.png", dpi=DPI)
        plt.close(sheet)
        for index, picture in enumerate(pictures):
            Image.fromarray(picture).save(temporary / f"{index}.png")


@styled()
def contact_sheet(caption: str, note: str, neighbour: np.ndarray, stages: list[np.ndarray]) -> Figure:
    """First row: the neighbour and the stages of the first variation; below: all variations' last stage."""
    count = len(stages[0])
    rows = 1 + -(-count // COLUMNS)
    figure = plt.figure(figsize=(WIDTH, 1.08 * rows + 0.6), layout="constrained")
    figure.suptitle("\n".join(textwrap.wrap(caption, 80)), fontsize=10)
    grid = figure.add_gridspec(rows, COLUMNS)
    _show(figure.add_subplot(grid[0, 0]), neighbour, "neighbour")
    for k, images in enumerate(stages[: COLUMNS - 1]):
        side = images.shape[1]
        _show(figure.add_subplot(grid[0, 1 + k]), images[0], f"stage {k + 1}, {side} px")
    for k in range(count):
        _show(figure.add_subplot(grid[1 + k // COLUMNS, k % COLUMNS]), stages[-1][k], f"z {k + 1}")
    figure.supxlabel(note, fontsize=6)
    return figure


def _show(axis: Axes, image: np.ndarray, title: str) -> None:
    axis.imshow(image, interpolation="nearest")
    axis.set_title(title, fontsize=6, pad=2)
    axis.axis("off")
