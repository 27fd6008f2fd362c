"""Step: Table 1, tidy (CSV) and in the paper's wide form (Markdown, HTML), and its main scores for DVC (SPEC 13).

python -m memgan.report.table1 --published published_table1.csv --out table1.csv --wide table1.md --page table1.html
--summary table1.json real.json ... metrics.json ...
"""

from pathlib import Path
from statistics import mean
from typing import Annotated

from typer import Argument, Option

from memgan import steps
from memgan.artifacts import write_json, write_text
from memgan.errors import InputError
from memgan.methods.ours import NAME
from memgan.params.load import Settings
from memgan.report.markdown import page
from memgan.report.rows import DECIMALS, measured_rows, published_rows, to_csv
from memgan.report.wide import MAIN, wide

SUMMARISED = (*MAIN, "attribute accuracy")


def main(
    scores: Annotated[list[Path], Argument(help="real.json of each data set, metrics.json of each run, in the order of the rows")],
    published: Annotated[Path, Option(help="the paper's numbers, CSV")],
    out: Annotated[Path, Option(help="tidy table, CSV")],
    wide_form: Annotated[Path, Option("--wide", help="the same in the paper's form, Markdown")],
    html: Annotated[Path, Option("--page", help="the same in the paper's form, HTML")],
    summary: Annotated[Path, Option(help="our main scores by data set, means over seeds, JSON; `dvc metrics` shows them")],
) -> None:
    """Writes Table 1."""
    theirs, ours = published_rows(published), measured_rows(scores)
    refuse_doubles(ours)
    for method, dataset in left_out(Settings()):
        steps.log.info("table 1: `methods.%s` has no row: its data set %s is not in `datasets`", method, dataset)
    text = wide(theirs, ours)
    write_text(wide_form, text)
    write_text(html, page(text))
    write_json(summary, summarised(ours))
    write_text(out, to_csv([*theirs, *ours]))
    steps.log.info("table 1: %d published and %d measured numbers", len(theirs), len(ours))


def summarised(rows: list[dict[str, str]]) -> dict[str, dict[str, float]]:
    """data set -> metric -> our value, mean over seeds."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row["method"].startswith(NAME) and row["metric"] in SUMMARISED:
            found.setdefault(row["dataset"], {}).setdefault(row["metric"], []).append(float(row["value"]))
    return {name: {metric: round(mean(values), DECIMALS) for metric, values in of.items()} for name, of in found.items()}


def left_out(settings: Settings) -> list[tuple[str, str]]:
    """Methods in params.yaml, with their data sets, that the table is not about."""
    methods, datasets = settings.tree.get("methods", {}), settings.value("datasets")
    return [(name, entry["dataset"]) for name, entry in methods.items() if entry["dataset"] not in datasets]


def refuse_doubles(rows: list[dict[str, str]]) -> None:
    """Raises InputError if two runs would share a row."""
    seen = set()
    for row in rows:
        key = (row["method"], row["dataset"], row["seed"], row["metric"])
        if key in seen:
            where = f"{row['dataset']}, seed {row['seed']}"
            raise InputError(
                f"table 1: two runs are called {row['method']!r} on {where}; give them other names under `runs` or `methods`"
            )
        seen.add(key)


if __name__ == "__main__":
    steps.run(main)
