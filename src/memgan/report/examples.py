"""Step: figures of queries with the neighbours that each retrieval strategy finds (SPEC 13).

python -m memgan.report.examples --dataset D --images ... --scores retrieval.json --out retrieval
"""

from pathlib import Path
from typing import Annotated, Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from typer import Option

from memgan import steps
from memgan.artifacts import atomic_folder, read_json
from memgan.data.shards import ImageFolder
from memgan.errors import InputError
from memgan.params.data import Images
from memgan.params.load import Settings
from memgan.report.pictures import LINE, MARGIN, Sheet, shortened
from memgan.report.style import COLOURS, SMALLEST, save, styled

PER_FIGURE = 2  # queries, as many as fit a page
HEAD, FOOT = 0.48, 0.05  # inches
OWN = 0.62  # inches of the query's own image, which its caption stands beside
PICTURE, GAP = 0.4, 0.13  # inches
NAME = 0.78  # inches of a strategy's name, to the left of its neighbours
FRAME, WIDE = COLOURS[3], 1.6  # where all that the caption says is true of the image; points
SAID = {
    "sentence_sentence": "sentence with sentences",
    "words_words": "words with words",
    "sentence_image": "sentence with images",
    "words_image": "words with regions",
    "both": "sentence with sentences and images",
    "random": "at random (control)",
}


def main(
    dataset: Annotated[str, Option(help="entry under `data` of params.yaml")],
    images: Annotated[Path, Option(help="preprocessed images, a folder")],
    scores: Annotated[Path, Option(help="what the strategies found, JSON")],
    out: Annotated[Path, Option(help="folder of the figures")],
) -> None:
    """Draws test captions with the neighbours that each strategy finds."""
    size, content = Settings(dataset).block("images", Images).size, read_json(scores)
    if not isinstance(content, dict) or "examples" not in content:
        raise InputError(f"{scores}: this holds no examples; delete it and run again")
    train, test, found = ImageFolder(images, "train"), ImageFolder(images, "test"), content["examples"]
    with styled(), atomic_folder(out) as folder:
        for number, start in enumerate(range(0, len(found), PER_FIGURE), start=1):
            save(examples_figure(found[start : start + PER_FIGURE], train, test, size), folder, f"neighbours_{number}")
    steps.log.info("examples: %d queries in %s", len(found), out)


def examples_figure(examples: list[dict[str, Any]], train: ImageFolder, test: ImageFolder, size: int) -> Figure:
    """One block a query: its caption and own image, and a row of neighbours a strategy, framed where all of the caption holds."""
    strategies = [name for name in examples[0]["neighbours"] if name != "oracle"]
    height = OWN + 1.5 * LINE + len(strategies) * _row_height() + 0.08
    judged = any("said" in one for example in examples for found in example["neighbours"].values() for one in found)
    lines = ["on top: the image described, which is not in the memory", "rows: the nearest in the memory, with their scores"]
    lines += ["in brackets: mentioned attributes that are true; frame: all are"] if judged else []
    sheet = Sheet(HEAD + len(examples) * height + FOOT, "\n".join(lines))
    for place, example in enumerate(examples):
        top = HEAD + place * height
        sheet.picture(MARGIN, top, OWN, test.centre(example["row"], size))
        caption = shortened(example["caption"], 56, 4)
        sheet.axes.text(2 * MARGIN + OWN, top + OWN / 2, caption, ha="left", va="center", fontsize=7, style="italic")
        for row, strategy in enumerate(strategies):
            y = top + OWN + LINE + row * _row_height()
            _strategy(sheet, y, strategy, example["neighbours"][strategy], train, size)
    return sheet.done()


def _row_height() -> float:
    return PICTURE + 1.6 * LINE


def _strategy(sheet: Sheet, y: float, name: str, found: list[dict[str, Any]], train: ImageFolder, size: int) -> None:
    """A strategy's name, and beside it its neighbours, best first."""
    said = shortened(SAID.get(name, name), 14, 4)
    sheet.axes.text(MARGIN, y + PICTURE / 2, said, ha="left", va="center", fontsize=SMALLEST, fontweight="bold")
    for rank, one in enumerate(found):
        left = MARGIN + NAME + rank * (PICTURE + GAP)
        sheet.picture(left, y, PICTURE, train.centre(one["row"], size))
        if one.get("said") and one["holds"] == one["said"]:
            sheet.axes.add_patch(Rectangle((left, y), PICTURE, PICTURE, fill=False, edgecolor=FRAME, linewidth=WIDE))
        words = [] if name == "random" else [f"{one['score']:.2f}"]
        words += [f"({one['holds']}/{one['said']})"] if "said" in one else []
        sheet.text(left + PICTURE / 2, y + PICTURE + 0.3 * LINE, " ".join(words))


if __name__ == "__main__":
    steps.run(main)
