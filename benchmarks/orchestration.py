"""What the engines cost when there is nothing to do, and what the record costs of a run.

python -m benchmarks.orchestration                 where Table 1 has been made
python -m benchmarks.orchestration --stand-ins 12  in a temporary clone: params.yaml's graph and 12 more runs, made by stand-ins

Prints a JSON object last: seconds of wall time and of processor time (the machine may be busy), and the record's share of the run,
whose jobs' times are taken from Snakemake's benchmark files; stand-ins take no time, so that with them there is no share.
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
from itertools import product
from pathlib import Path
from typing import Any

import yaml

TABLE = "results/table1.csv"


def main() -> None:
    """Measures, and prints the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orchestration", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--stand-ins", type=int, metavar="RUNS", help="in a temporary clone, with so many ablations")
    runs = parser.parse_args().stand_ins
    if runs is None:
        figures = nothing_to_do([TABLE], "repro") | price_of_the_record()
    else:
        with tempfile.TemporaryDirectory() as folder:
            targets = made_by_stand_ins(Path(folder) / "clone", runs)
            figures = nothing_to_do(targets, "repro", *(["--all-pipelines"] if runs else [])) | {"jobs": jobs_of(targets)}
    print(json.dumps(figures))


def nothing_to_do(targets: Sequence[str], *repro: str) -> dict[str, Any]:
    """Seconds of each engine where everything is up to date."""
    snakemake = timed(["snakemake", "--cores", "all", "--", *targets])
    dvc = timed(["dvc", *repro])
    return {f"{name}_noop_{key}": value for name, took in (("snakemake", snakemake), ("dvc", dvc)) for key, value in took.items()}


def price_of_the_record() -> dict[str, float]:
    """Seconds of asking and entering all stages, beside those of the jobs on all cores."""
    status = timed(["dvc", "status", "--quiet"])
    commit = timed([sys.executable, "-P", "workflow/record/commit.py", *yaml.safe_load(Path("dvc.lock").read_text())["stages"]])
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


def made_by_stand_ins(path: Path, runs: int) -> list[str]:
    """Makes Table 1 and `runs` ablations (three seeds if there are any) in a clone at `path`; enters it, returns the targets."""
    from tests.workflow.clones import make

    names = [f"synthetic{number}" for number in range(runs)]
    entries = "".join(f"  {name}: {{train: {{ema: 0.{900 + number}}}}}\n" for number, name in enumerate(names))
    edits = [("seeds: [0]", "seeds: [0, 1, 2]"), ("runs:\n  ours: {}\n", f"runs:\n  ours: {{}}\n{entries}")] if runs else []
    clone = make(path, *edits, stand_ins=True, nano=False)
    clone.run(f"python -m workflow.derive {'--runs ' * bool(runs)}{' '.join(names)}", PYTHONPATH="src")
    clone.commit()
    os.environ.clear()
    os.environ.update(clone.env)
    os.chdir(path)
    params = yaml.safe_load(Path("params.yaml").read_text())
    targets = [TABLE, *(f"results/{d}/{r}/{s}/metrics.json" for d, r, s in product(params["datasets"], names, params["seeds"]))]
    timed(["snakemake", "--cores", "all", "--resources", "cpu_percent=1000", "--", *targets])
    return targets


def jobs_of(targets: Sequence[str]) -> int:
    """How many jobs the graph has."""
    said = subprocess.run(["snakemake", "-n", "--forceall", "--quiet", "rules", "--", *targets], capture_output=True, text=True)
    return int(next(line.split()[1] for line in said.stdout.splitlines() if line.startswith("total")))


if __name__ == "__main__":
    main()
