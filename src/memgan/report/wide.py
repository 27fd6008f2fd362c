"""The tidy rows in the paper's wide form: one line a method, published and measured numbers in tables of their own."""

from collections.abc import Iterable, Sequence
from statistics import mean, stdev

from memgan.report.markdown import table
from memgan.report.rows import BLIND, CHANCE, READER, REAL, Row

MAIN = ("IS", "FID", "R-precision", "SOA-C", "SOA-I")
DATASETS = {"cub": "CUB", "coco": "COCO"}  # as the paper has them
DECIMALS = {"KID": 4, "precision": 3, "recall": 3, "diversity": 3, "copy ratio": 3}  # else 2
DECIMALS |= {"distance to retrieved": 3, "distance to random": 3}
PERCENT = (
    "R-precision, SOA and attribute accuracy are in per cent. Lower is better for FID and KID, higher for all others; distances "
    "and the copy ratio (distance to the retrieved image over that to a random one) describe and do not rank."
)
NOT_COMPARABLE = (
    "Values of different extractors can't be compared. Those called `evaluator:` or `damsm:` were trained here on the data set "
    "that they judge: no value of theirs stands beside one of another data set, or a published one."
)
OF_REAL = (
    f"{REAL}: FID, KID, precision and recall are those of the training images, which are of other classes than the test images "
    "where the split keeps classes apart; all other scores are the test images' own. R-precision is judged by the DAMSM that the "
    "generator was trained to please, as in the paper, so that generated images may stand above real ones; no generator has met "
    "the evaluator."
)
LIMITS = (READER, BLIND, CHANCE)
EXPLAINED = (
    f"{READER}: sees every attribute of the picture, takes the most telling of the captions that hold of it, and guesses what the "
    f"caption leaves open as what is most frequent in training. {BLIND}: always the value most frequent in training."
)


def wide(published: Sequence[Row], measured: Sequence[Row]) -> str:
    """Both tables as Markdown."""
    parts = ["# Table 1", "", PERCENT, "", "## Published (copied from the paper, nothing measured here)", ""]
    parts += _published(published)
    for dataset in dict.fromkeys(row["dataset"] for row in measured):
        rows = [row for row in measured if row["dataset"] == dataset]
        parts += ["", f"## Measured: {dataset}", "", *_measured(rows)]
    if measured:
        parts += ["", NOT_COMPARABLE]
    return "\n".join(parts) + "\n"


def _published(rows: Sequence[Row]) -> list[str]:
    columns = [(d, m) for d in DATASETS for m in MAIN if any(r["dataset"] == d and r["metric"] == m for r in rows)]
    uses = {row["method"]: row["uses"] for row in rows}
    notes: list[str] = []
    lines = []
    for method in uses:
        cells = [f"{method} ({uses[method]})" if uses[method] else method]
        for dataset, metric in columns:
            row = _find(rows, method=method, dataset=dataset, metric=metric)
            cells.append(_noted(row, notes) if row else "-")
        lines.append(cells)
    head = ["Method", *(f"{DATASETS[dataset]} {metric}" for dataset, metric in columns)]
    return [*table(head, lines), "", *(f"{i}. {note}" for i, note in enumerate(notes, start=1))]


def _noted(row: Row, notes: list[str]) -> str:
    """The value as published, with the number of its note."""
    if not row["note"]:
        return row["value"]
    notes.append(f"{row['method']}, {DATASETS[row['dataset']]} {row['metric']}: {row['note']}")
    return f"{row['value']} <sup>{len(notes)}</sup>"


def _measured(rows: Sequence[Row]) -> list[str]:
    """The paper's columns, all other metrics, and under what protocol."""
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    main, further = [m for m in MAIN if m in metrics], [m for m in metrics if m not in MAIN]
    lines = _lines(rows, main)
    if further:
        lines += ["", "Further scores:", "", *_lines(rows, further)]
    return [*lines, "", *_protocol(rows, [*main, *further])]


def _lines(rows: Sequence[Row], metrics: Sequence[str]) -> list[str]:
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        seeds = list(dict.fromkeys(row["seed"] for row in rows if row["method"] == method))
        found = [[_find(rows, method=method, seed=seed, metric=metric) for metric in metrics] for seed in seeds]
        for seed, cells in zip(seeds, found, strict=True):
            if any(cells):
                lines.append([method, seed, *(_cell(cell) for cell in cells)])
        if len(seeds) > 1:
            over = [_over_seeds([row for row in column if row]) for column in zip(*found, strict=True)]
            lines.append([f"{method}: mean ± std", f"{len(seeds)} seeds", *over])
    return table(["Method", "Seed", *metrics], lines)


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    value = shown(row["metric"], float(row["value"]))
    return f"{value} ± {shown(row['metric'], float(row['std']))}" if row["std"] else value


def _over_seeds(rows: Sequence[Row]) -> str:
    values = [float(row["value"]) for row in rows]
    if len(values) < 2:
        return "-"
    metric = rows[0]["metric"]
    return f"{shown(metric, mean(values))} ± {shown(metric, stdev(values))}"


def shown(metric: str, value: float) -> str:
    """A value at the digits that are worth reading."""
    return f"{value:.{DECIMALS.get(metric, 2)}f}"


def _protocol(rows: Sequence[Row], metrics: Iterable[str]) -> list[str]:
    """For each metric: whose features judged, how many images or pairs, and what else was fixed."""
    lines = []
    for metric in metrics:
        scored = [row for row in rows if row["metric"] == metric and row["method"] not in LIMITS]
        real, rest = [row for row in scored if row["method"] == REAL], [row for row in scored if row["method"] != REAL]
        theirs, ours = _distinct(real, "note"), _distinct(rest, "note")
        of_real = "the same" if theirs == ours and real else theirs
        lines.append([metric, _distinct(scored, "extractor"), ours, of_real, _distinct(rest, "n"), _distinct(real, "n")])
    head = ["Metric", "Extractor", "Protocol", f"Protocol of {REAL}", "n", f"n of {REAL}"]
    return [
        "Protocol:",
        "",
        *table(head, lines, left=4),
        "",
        OF_REAL,
        *(["", EXPLAINED] if any(row["method"] == READER for row in rows) else []),
    ]


def _distinct(rows: Sequence[Row], key: str) -> str:
    return " or ".join(dict.fromkeys(row[key] for row in rows if row[key])) or "-"


def _find(rows: Iterable[Row], **wanted: str) -> Row | None:
    return next((row for row in rows if all(row[key] == value for key, value in wanted.items())), None)
