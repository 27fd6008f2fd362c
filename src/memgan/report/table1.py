"""Step: Table 1, tidy (CSV) and in the paper's wide form (Markdown) (SPEC 13).

python -m memgan.report.table1 --published published_table1.csv --out table1.csv --wide table1.md real.json ... metrics.json ...
"""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from memgan import steps
from memgan.artifacts import write_text
from memgan.errors import InputError
from memgan.report.rows import measured_rows, published_rows, to_csv
from memgan.report.wide import wide


def main(
    scores: Annotated[list[Path], Argument(help="real.json of each data set, metrics.json of each run, in the order of the rows")],
    published: Annotated[Path, Option(help="the paper's numbers, CSV")],
    out: Annotated[Path, Option(help="tidy table, CSV")],
    wide_form: Annotated[Path, Option("--wide", help="the same in the paper's form, Markdown")],
) -> None:
    """Writes Table 1."""
    theirs, ours = published_rows(published), measured_rows(scores)
    refuse_doubles(ours)
    write_text(wide_form, wide(theirs, ours))
    write_text(out, to_csv([*theirs, *ours]))
    steps.log.info("table 1: %d published and %d measured numbers", len(theirs), len(ours))


def refuse_doubles(rows: list[dict[str, str]]) -> None:
    """Raises InputError if two runs would share a row."""
    seen = set()
    for row in rows:
        key = (row["method"], row["dataset"], row["seed"], row["metric"])
        if key in seen:
            where = f"{row['dataset']}, seed {row['seed']}"
            raise InputError(f"table 1: two runs are called {row['method']!r} on {where}; give them other names under `runs`")
        seen.add(key)


if __name__ == "__main__":
    steps.run(main)
