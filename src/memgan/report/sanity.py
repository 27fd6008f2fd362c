"""Step: whether the scores tell good from bad: real test images, our samples, samples of an untrained generator, chance.

python -m memgan.report.sanity --out sanity.csv --wide sanity.md --page sanity.html real.json ... metrics.json ...
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from typer import Argument, Option

from memgan import steps
from memgan.artifacts import read_json, write_text
from memgan.errors import InputError
from memgan.methods.ours import at
from memgan.report.compared import BASE, LOWER
from memgan.report.markdown import page, table
from memgan.report.rows import REAL, number
from memgan.report.wide import shown

METRICS = ("FID", "KID", "R-precision", "SOA-C", "SOA-I", "attribute accuracy")
COLUMNS = ("dataset", "seed", "metric", "real", "ours", "untrained", "ratio", "chance", "in order", "extractor", "n")
ABOUT = (
    "Scores must tell good from bad: real test images before our samples, and those before the samples of a generator that was "
    "never trained. `ratio` is untrained over ours for FID and KID, ours over untrained for the others: above 1 if training helped."
    " R-precision's judge is the DAMSM that our generator was trained to please, as in the paper, so that ours may stand above "
    "real images there; attribute accuracy and SOA ask an evaluator that it never met."
)


class Check(NamedTuple):
    """One metric on one data set and seed."""

    dataset: str
    seed: int
    metric: str
    real: dict[str, Any]
    ours: dict[str, Any]
    untrained: dict[str, Any]

    @property
    def ratio(self) -> float | None:
        """How many times better training made it; None where that is no finite number."""
        good, bad = self.ours["value"], self.untrained["value"]
        over, under = (bad, good) if self.metric in LOWER else (good, bad)
        return over / under if under else None

    @property
    def in_order(self) -> bool:
        """Real images before ours before untrained."""
        values = [part["value"] for part in (self.real, self.ours, self.untrained)]
        return values == sorted(values, reverse=self.metric not in LOWER) and values[1] != values[2]


def main(
    scores: Annotated[list[Path], Argument(help="real.json of each data set; metrics.json of `ours` and of an untrained run")],
    out: Annotated[Path, Option(help="tidy table, CSV")],
    wide: Annotated[Path, Option(help="to read, Markdown")],
    html: Annotated[Path, Option("--page", help="the same, HTML")],
) -> None:
    """Writes the checks."""
    found = checks([read_json(path) for path in scores])
    text = markdown(found)
    write_text(html, page(text))
    write_text(wide, text)
    write_text(out, to_csv(found))
    for check in (check for check in found if not check.in_order):
        values = (shown(check.metric, part["value"]) for part in (check.real, check.ours, check.untrained))
        said = "sanity: %s, seed %d: %s is out of order: real images %s, ours %s, untrained %s"
        steps.log.warning(said, check.dataset, check.seed, check.metric, *values)
    steps.log.info("sanity: %d of %d checks in order", sum(check.in_order for check in found), len(found))


def checks(contents: Sequence[Mapping[str, Any]]) -> list[Check]:
    """One a data set, seed and metric. Raises InputError if a data set has no real images, or a seed no untrained run."""
    real = {c["resolved"]["dataset"]: c["metrics"] for c in contents if c["resolved"].get("method") == REAL}
    runs = [c for c in contents if "run" in c["resolved"]]
    empty = {_key(c): c["metrics"] for c in runs if at(c["resolved"], "train.epochs") == 0}
    found = []
    for content in runs:
        if content["resolved"]["run"] != BASE:
            continue
        dataset, seed = key = _key(content)
        if dataset not in real or key not in empty:
            raise InputError(f"sanity: {dataset}, seed {seed}: no scores of real images or of an untrained run; give both")
        three = (real[dataset], content["metrics"], empty[key])
        found += [Check(dataset, seed, name, *(m[name] for m in three)) for name in METRICS if all(name in m for m in three)]
    return found


def _key(content: Mapping[str, Any]) -> tuple[str, int]:
    return content["resolved"]["dataset"], content["resolved"]["seed"]


def to_csv(found: Sequence[Check]) -> str:
    """As CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for check in found:
        values = [number(part["value"]) for part in (check.real, check.ours, check.untrained)]
        ratio = "" if check.ratio is None else number(check.ratio)
        chance = number(check.ours["chance"]) if "chance" in check.ours else ""
        said = ["yes" if check.in_order else "no", check.ours["extractor"], check.ours["n"]]
        writer.writerow([check.dataset, check.seed, check.metric, *values, ratio, chance, *said])
    return text.getvalue()


def markdown(found: Sequence[Check]) -> str:
    """To read."""
    lines = []
    for check in found:
        values = [shown(check.metric, part["value"]) for part in (check.real, check.ours, check.untrained)]
        ratio = "-" if check.ratio is None else f"{check.ratio:.1f}"
        chance = shown(check.metric, check.ours["chance"]) if "chance" in check.ours else "-"
        order = "yes" if check.in_order else "**no**"
        lines.append([check.dataset, check.metric, check.ours["extractor"], str(check.seed), *values, ratio, chance, order])
    head = ["Data set", "Metric", "Extractor", "Seed", REAL, "Ours", "Untrained", "Ratio", "Chance", "In order"]
    return "\n".join(["# Do the scores tell good from bad?", "", ABOUT, "", *table(head, lines, left=3)]) + "\n"


if __name__ == "__main__":
    steps.run(main)
