"""What the engines cost when there is nothing to do, and what the record costs of a run.

python -m benchmarks.orchestration                 where Table 1 has been made
python -m benchmarks.orchestration --stand-ins     in a temporary clone: the same graph, whose steps are stand-ins
python -m benchmarks.orchestration --ablations     the graph of all ablations as well; also with --stand-ins

Prints a JSON object last: seconds of wall time and of processor time (the machine may be busy), of Snakemake also when it looks a
second time; and the record's share of the run, whose jobs' times are taken from Snakemake's benchmark files: not with stand-ins,
which take no time.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

TABLE, ABLATIONS = "results/table1.csv", "results/ablations.csv"
LOOK = Path(".snakemake/look.json")  # the last look at the record


def main() -> None:
    """Measures, and prints the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orchestration", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--stand-ins", action="store_true", help="in a temporary clone, in which stand-ins make everything")
    parser.add_argument("--ablations", action="store_true", help="the graph of the ablations as well")
    asked = parser.parse_args()
    targets, repro = ([TABLE, ABLATIONS], ["repro", "--all-pipelines"]) if asked.ablations else ([TABLE], ["repro"])
    if asked.stand_ins:
        with tempfile.TemporaryDirectory() as folder:
            make_by_stand_ins(Path(folder) / "clone", targets)
            figures = nothing_to_do(targets, *repro) | {"jobs": jobs_of(targets)}
    else:
        figures = nothing_to_do(targets, *repro) | price_of_the_record()
    print(json.dumps({f"{'ablations_' * asked.ablations}{name}": value for name, value in figures.items()}))


def nothing_to_do(targets: Sequence[str], *repro: str) -> dict[str, Any]:
    """Seconds of each engine where everything is up to date."""
    LOOK.unlink(missing_ok=True)
    commands = {name: ["snakemake", "--cores", "all", "--", *targets] for name in ("snakemake_noop", "snakemake_noop_again")}
    taken = {name: timed(command) for name, command in (commands | {"dvc_noop": ["dvc", *repro]}).items()}
    return {f"{name}_{key}": value for name, took in taken.items() for key, value in took.items()}


def price_of_the_record() -> dict[str, float]:
    """Seconds of asking and entering all stages, beside those of the jobs on all cores."""
    bulk = [sys.executable, "-P", "workflow/record/bulk.py"]
    status = timed([*bulk, "status"])
    commit = timed([*bulk, "commit", *yaml.safe_load(Path("dvc.lock").read_text())["stages"]])
    jobs, record = seconds_of_jobs(), status["s"] + commit["s"]
    share = record / (record + jobs / (os.cpu_count() or 1))
    return {"record_s": round(record, 2), "jobs_s": round(jobs, 1), "record_share": round(share, 4)}


def timed(command: list[str]) -> dict[str, float]:
    """Wall and processor time of a command that must succeed, in seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"error: {' '.join(command[:3])} failed; make {TABLE} first\n{done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"s": round(wall, 2), "cpu_s": round(cpu, 2)}


def seconds_of_jobs() -> float:
    """Sum of the wall times of all jobs whose benchmark files are there."""
    rows = [row for path in Path("logs").rglob("*.tsv") for row in csv.DictReader(path.open(), delimiter="\t")]
    return sum(float(row["s"]) for row in rows)


def make_by_stand_ins(path: Path, targets: Sequence[str]) -> None:
    """Makes the targets in a clone at `path`, and enters it."""
    from tests.workflow.clones import make

    clone = make(path, stand_ins=True, nano=False)
    clone.run(f"python -m workflow.derive {'--ablations' * (ABLATIONS in targets)}", PYTHONPATH="src")
    clone.commit()
    os.environ.clear()
    os.environ.update(clone.env)
    os.chdir(path)
    timed(["snakemake", "--cores", "all", "--resources", "cpu_percent=1000", "--", *targets])


def jobs_of(targets: Sequence[str]) -> int:
    """How many jobs the graph has."""
    said = subprocess.run(["snakemake", "-n", "--forceall", "--quiet", "rules", "--", *targets], capture_output=True, text=True)
    return int(next(line.split()[1] for line in said.stdout.splitlines() if line.startswith("total")))


if __name__ == "__main__":
    main()
