"""Rows of the tidy tables (SPEC 13): one number each, with where it comes from."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from memgan.artifacts import read_json
from memgan.errors import InputError
from memgan.methods.ours import label

COLUMNS = ("method", "dataset", "metric", "value", "std", "n", "source", "extractor", "seed", "uses", "note")
PUBLISHED, MEASURED = "published", "measured"
REAL, READER = "Real Images", "Ideal reader of the captions"
CHANCE, BLIND = "Chance", "Best guess without the caption"
GUESS = {"blind": "none: most frequent in training", "chance": "none: chance"}
DECIMALS = 6
Row = dict[str, str]


def published_rows(path: Path) -> list[Row]:
    """The paper's numbers, written as the paper writes them. Raises InputError if the file has other columns."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; it belongs to the repository: `git checkout -- {path}`") from None
    needed = {"method", "dataset", "metric", "value", "uses", "note"}
    if not found or set(found[0]) != needed:
        raise InputError(f"{path}: its columns are not {', '.join(sorted(needed))}; `git checkout -- {path}`")
    return [_row(**row, source=PUBLISHED) for row in found]


def measured_rows(files: Iterable[Path]) -> list[Row]:
    """Rows of metrics.json and real.json files, in the order given; real images, ceilings and chance before the methods."""
    first, rest = [], []
    for path in files:
        content = read_json(path)
        if not isinstance(content, dict) or not {"resolved", "metrics"} <= set(content):
            raise InputError(f"{path}: this holds no scores; delete it and run again")
        resolved = content["resolved"]
        whose = {"method": label(resolved), "dataset": resolved["dataset"], "seed": _plain(resolved.get("seed"))}
        whose["uses"] = resolved.get("uses", "")
        rows = [_measured(whose, name, found) for name, found in content["metrics"].items()]
        if whose["method"] == REAL:
            first += rows + _limits(whose, content)
        else:
            rest += rows
    return first + rest


def _limits(whose: Row, content: Mapping[str, Any]) -> list[Row]:
    """What an ideal reader reaches, and what guessing does."""
    ceilings = content.get("ceilings", {})
    rows = [_measured(whose | {"method": READER}, name, found) for name, found in ceilings.items()]
    for method, key, scores in ((BLIND, "blind", ceilings), (CHANCE, "chance", content["metrics"])):
        known = whose | {"method": method, "extractor": GUESS[key], "source": MEASURED}
        for name, found in scores.items():
            if key in found:
                rows.append(_row(**known, metric=name, value=number(found[key]), n=str(found["n"])))
    return rows


def _measured(whose: Row, metric: str, found: Mapping[str, Any]) -> Row:
    said = {"n_real": "against {} real test images", "negatives": "{:g} wrong captions", "splits": "{} splits"}
    said |= {"subset": "subsets of {}", "neighbours": "k {}", "categories": "{} categories", "classes": "{} classes"}
    said |= {"groups": "{} groups", "captions": "{} captions", "images": "{} images"}
    if whose["method"] == REAL:
        said["n_real"] = "training images against {} real test images"
    note = "; ".join(words.format(found[key]) for key, words in said.items() if key in found)
    std = "" if found["std"] is None else number(found["std"])
    values = {"value": number(found["value"]), "std": std, "n": str(found["n"]), "extractor": found["extractor"]}
    return _row(**whose, **values, metric=metric, source=MEASURED, note=note)


def number(value: float) -> str:
    """Fixed notation, so that the same value has the same bytes."""
    return f"{value:.{DECIMALS}f}"


def _plain(value: Any) -> str:
    return "" if value is None else str(value)


def _row(**known: str) -> Row:
    return {column: known.get(column, "") for column in COLUMNS}


def to_csv(rows: Sequence[Row]) -> str:
    """The tidy table as CSV text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
