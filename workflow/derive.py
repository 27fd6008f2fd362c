"""Writes what DVC reads, from the rules of Snakemake.

python -m workflow.derive                     dvc.yaml: the stages of Table 1
python -m workflow.derive --ablations         ablations/dvc.yaml as well: those of `make ablations`
python -m workflow.derive --runs untrained    the same for other runs, for all data sets and seeds of Table 1
python -m workflow.derive --check             exit code 1, and a line, if what there is differs from the rules
"""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import yaml
from snakemake.exceptions import RuleException, WorkflowError

from memgan.artifacts import write_text
from memgan.errors import InputError
from memgan.params.load import Settings
from workflow.record import books, pipelines


def main() -> None:
    """Command line."""
    parser = ArgumentParser(prog="python -m workflow.derive", description="Writes what DVC reads, from the rules of Snakemake.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a file is not up to date")
    parser.add_argument("--runs", nargs="+", default=[], metavar="RUN", help="other runs, for ablations/dvc.yaml")
    parser.add_argument("--ablations", action="store_true", help="the ablations, for ablations/dvc.yaml")
    asked = parser.parse_args()
    books.close()
    try:
        wanted = derived(asked.runs, asked.ablations)
    except (InputError, RuleException, WorkflowError) as fault:
        sys.exit(f"error: {' '.join(str(fault).split())}")
    for path, pipeline in wanted.items():
        content = pipelines.text(pipeline)
        if path.exists() and path.read_text(encoding="utf-8") == content:
            continue
        if asked.check:
            if books.read(path).get("stages") == yaml.safe_load(content)["stages"]:
                continue  # what is plotted, and in which order, changes no result
            sys.exit(f"error: {path} is not what the rules and params.yaml say; run `make dvc`")
        write_text(path, content)


def derived(runs: list[str], ablations: bool) -> dict[Path, dict[str, Any]]:
    """What each file should hold. Raises what Snakemake does, where a rule lacks an input, and InputError for an unknown run."""
    for run in runs:
        Settings(run=run)
    wanted = {books.TABLE1: pipelines.table1()}
    targets, listed = pipelines.targets(runs, ablations), books.read(books.ABLATIONS)
    if targets or listed:
        wanted[books.ABLATIONS] = pipelines.others(targets, listed)
    return wanted


if __name__ == "__main__":
    main()
