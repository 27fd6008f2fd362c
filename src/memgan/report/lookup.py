"""A caption in, training images out: what `memgan retrieve` does."""

import json
from pathlib import Path
from typing import Any, get_args

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from memgan.artifacts import atomic_file, seed_of
from memgan.data.shards import ImageFolder
from memgan.encoders.matched import load_damsm
from memgan.encoders.vocabulary import UNKNOWN, Vocabulary, words_of
from memgan.errors import InputError
from memgan.memory.bank import MemoryBank
from memgan.memory.retrieval import CaptionEncoder, retrieve
from memgan.params.data import Images
from memgan.params.encoders import Damsm
from memgan.params.load import Settings
from memgan.params.memory import Memory, Strategy
from memgan.report.pictures import HEAD, LINE, MARGIN, Sheet, shortened, slug
from memgan.report.style import DPI, WIDTH, styled
from memgan.steps import log, set_threads

NEEDED = ("images", "vocabulary.json", "damsm.safetensors", "bank")
COLUMNS = 5  # neighbours a row of the sheet
LINES = 4  # of a neighbour's text
LETTERS = 27  # of a line
SHOWN = 60  # letters of a neighbour's caption on the terminal


class Finder:
    """Encoder and bank of one data set. Raises InputError, with the command that makes it, if something is missing."""

    def __init__(self, dataset: str, strategy: str | None):
        settings, root = Settings(dataset), Path("results") / dataset
        missing = [root / name for name in NEEDED if not (root / name).exists()]
        if missing:
            raise InputError(f"{missing[0]}: not there yet; make it with `snakemake --cores all {root / 'bank'}`")
        set_threads(settings.value("threads"))
        self.memory, self.seed = settings.block("memory", Memory), settings.value("seed")
        if strategy is not None:
            if strategy not in get_args(Strategy):
                raise InputError(f"--strategy: there is no strategy `{strategy}`; known: {', '.join(get_args(Strategy))}")
            self.memory = self.memory.model_copy(update={"strategy": strategy})
        geometry, params = settings.block("images", Images), settings.block("damsm", Damsm)
        self.words, self.size = Vocabulary.load(root / "vocabulary.json"), geometry.size
        text, _ = load_damsm(root / "damsm.safetensors", params, geometry, self.words)
        self.encoder, self.bank = CaptionEncoder(self.words, text, params.words), MemoryBank(root / "bank")
        self.folder = ImageFolder(root / "images", "train")
        if self.bank.ids != [row["id"] for row in self.folder.rows]:
            raise InputError(
                f"{root / 'bank'}: holds other images than {root / 'images'}; make both again: `snakemake --cores all`"
            )

    def find(self, captions: list[str], k: int, exclude: list[str]) -> list[dict[str, Any]]:
        """What each caption finds: {"caption", "unknown", "strategy", "neighbours": [{"row", "id", "score", "captions"}]}.

        exclude: ids of images that none is to find.
        """
        apart = np.tile(self.bank.rows_of(list(dict.fromkeys(exclude))), (len(captions), 1))
        rows, scores = retrieve(captions, self.bank, self.encoder, self.memory, k, apart, seed=self.seed)
        return [
            {
                "caption": caption,
                "unknown": [word for word in words_of(caption) if self.words.tokens(word) == [UNKNOWN]],
                "strategy": self.memory.strategy,
                "neighbours": [
                    {"row": row, "id": self.bank.ids[row], "score": round(score, 6), "captions": self.folder.rows[row]["captions"]}
                    for row, score in zip(mine, values, strict=True)
                ],
            }
            for caption, mine, values in zip(captions, rows.tolist(), scores.tolist(), strict=True)
        ]


def retrieve_captions(
    captions: list[str], dataset: str, k: int, strategy: str | None, exclude: list[str], out: Path, as_json: bool
) -> str:
    """Finds the k nearest training images of each caption and writes a contact sheet each into `out`; returns what is to say."""
    finder = Finder(dataset, strategy)
    found = finder.find(captions, k, exclude)
    for one in found:
        name = f"{slug(one['caption'])}-{seed_of(dataset, one['strategy'], k, *exclude, one['caption']) % 10**6:06d}.png"
        with styled():
            figure = contact_sheet(one, finder)
            with atomic_file(out / name) as temporary:
                figure.savefig(temporary, dpi=DPI, format="png")
            plt.close(figure)
        one["sheet"] = str(out / name)
        if one["unknown"]:
            log.info("%s: not in the training captions and passed over: %s", one["caption"], ", ".join(one["unknown"]))
    return json.dumps(found, indent=1, ensure_ascii=False) if as_json else "\n\n".join(listing(one) for one in found)


def listing(found: dict[str, Any]) -> str:
    """A caption's neighbours, a line each: rank, score, id and its first caption."""
    width = max(len(one["id"]) for one in found["neighbours"])
    lines = [
        f"{rank:4d}  {one['score']:6.3f}  {one['id']:{width}}  {shortened(one['captions'][0], SHOWN, 1)}"
        for rank, one in enumerate(found["neighbours"], start=1)
    ]
    return "\n".join([f"{found['caption']} ({found['strategy']})", *lines, f"      {found['sheet']}"])


def contact_sheet(found: dict[str, Any], finder: Finder) -> Figure:
    """The neighbours in rows, best first: rank and score, id, and the first of its captions."""
    many = len(found["neighbours"])
    columns = min(COLUMNS, many)
    cell = WIDTH / COLUMNS
    side, height = cell - 2 * MARGIN, cell + (LINES + 0.8) * LINE
    heading = shortened(found["caption"], 90, 2)
    top = HEAD + LINE * (1 + heading.count("\n"))
    sheet = Sheet(top + height * -(-many // COLUMNS), f"{heading}\n{found['strategy']}", WIDTH)
    shift = (WIDTH - columns * cell) / 2
    for place, one in enumerate(found["neighbours"]):
        row, column = divmod(place, COLUMNS)
        x, y = shift + column * cell + MARGIN, top + row * height
        sheet.picture(x, y, side, finder.folder.centre(one["row"], finder.size))
        words = f"{place + 1}: {one['score']:.3f}\n{shortened(one['captions'][0], LETTERS, LINES - 1)}"
        sheet.text(x + side / 2, y + side + 0.4 * LINE, words, 6)
    return sheet.done()
