"""Step: the figure of queries with the neighbours that each retrieval strategy finds (SPEC 13).

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
from memgan.report.style import COLOURS, WIDTH, save, styled

HEAD, FOOT = 0.42, 0.05  # inches
OWN = 1.15  # inches, the query's own image and the lines under it
PICTURE, GAP = 0.52, 0.035  # inches
COLUMNS = 2  # of strategies beside the own image
FRAME, WIDE = COLOURS[3], 1.8  # where all that the caption says is true of the image; points
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
    out: Annotated[Path, Option(help="folder of the figure")],
) -> None:
    """Draws test captions with the neighbours that each strategy finds."""
    size, content = Settings(dataset).block("images", Images).size, read_json(scores)
    if not isinstance(content, dict) or "examples" not in content:
        raise InputError(f"{scores}: this holds no examples; delete it and run again")
    with styled(), atomic_folder(out) as folder:
        figure = examples_figure(content["examples"], ImageFolder(images, "train"), ImageFolder(images, "test"), size)
        save(figure, folder, "neighbours")
    steps.log.info("examples: %d queries in %s", len(content["examples"]), out)


def examples_figure(examples: list[dict[str, Any]], train: ImageFolder, test: ImageFolder, size: int) -> Figure:
    """One block a query: its caption and own image, and the neighbours of each strategy, framed by whether the caption holds."""
    strategies = [name for name in (examples[0]["neighbours"] if examples else {}) if name != "oracle"]
    height = _block_height(len(strategies))
    judged = any("said" in one for example in examples for found in example["neighbours"].values() for one in found)
    lines = [
        "first: the image that the caption describes, which is not in the memory; others: the nearest in the memory, with scores"
    ]
    lines += ["in brackets: how many of the attributes that the caption mentions are true; frame: all are"] if judged else []
    sheet = Sheet(HEAD + len(examples) * height + FOOT, "\n".join(lines))
    for place, example in enumerate(examples):
        top = HEAD + place * height
        sheet.picture(MARGIN, top + 1.3 * LINE, OWN, test.centre(example["row"], size))
        sheet.text(MARGIN + OWN / 2, top + 1.3 * LINE + OWN + 0.4 * LINE, shortened(example["caption"], 24, 5), 6)
        for number, strategy in enumerate(strategies):
            row, column = divmod(number, COLUMNS)
            x = MARGIN + OWN + 0.25 + column * (WIDTH - OWN - 0.25) / COLUMNS
            _strategy(sheet, x, top + row * _row_height(), strategy, example["neighbours"][strategy], train, size)
    return sheet.done()


def _row_height() -> float:
    return PICTURE + 3.1 * LINE


def _block_height(strategies: int) -> float:
    """Of a query: its strategies in rows, or its own image with the caption, whichever is higher."""
    return max(-(-strategies // COLUMNS) * _row_height(), OWN + 7 * LINE) + 0.12


def _strategy(sheet: Sheet, x: float, y: float, name: str, found: list[dict[str, Any]], train: ImageFolder, size: int) -> None:
    """A strategy's name, and under it its neighbours, best first."""
    sheet.axes.text(x, y, SAID.get(name, name), ha="left", va="top", fontsize=6.5, fontweight="bold")
    for rank, one in enumerate(found):
        left, top = x + rank * (PICTURE + GAP), y + 1.3 * LINE
        sheet.picture(left, top, PICTURE, train.centre(one["row"], size))
        if one.get("said") and one["holds"] == one["said"]:
            sheet.axes.add_patch(Rectangle((left, top), PICTURE, PICTURE, fill=False, edgecolor=FRAME, linewidth=WIDE))
        words = [] if name == "random" else [f"{one['score']:.2f}"]
        words += [f"({one['holds']}/{one['said']})"] if "said" in one else []
        sheet.text(left + PICTURE / 2, top + PICTURE + 0.4 * LINE, " ".join(words), 5)


if __name__ == "__main__":
    steps.run(main)
