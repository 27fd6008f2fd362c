"""What the engines cost when there is nothing to do, and what the record costs of a run. Run it where Table 1 has been made.

python -m benchmarks.orchestration

Prints a JSON object last: seconds of wall time and of processor time (the machine may be busy), and the record's share of the run,
whose jobs' times are taken from Snakemake's benchmark files.
"""

import csv
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import yaml

TABLE = "results/table1.csv"


def main() -> None:
    """Measures, and prints the figures."""
    snakemake = timed(["snakemake", "--cores", "all", TABLE])
    dvc = timed(["dvc", "repro"])
    status = timed(["dvc", "status", "--quiet"])
    commit = timed([sys.executable, "-P", "workflow/record/commit.py", *yaml.safe_load(Path("dvc.lock").read_text())["stages"]])
    jobs = seconds_of_jobs()
    run = jobs / (os.cpu_count() or 1)
    record = status["wall_s"] + commit["wall_s"]
    print(
        json.dumps(
            {
                "snakemake_noop_s": snakemake["wall_s"],
                "snakemake_noop_cpu_s": snakemake["cpu_s"],
                "dvc_noop_s": dvc["wall_s"],
                "dvc_noop_cpu_s": dvc["cpu_s"],
                "record_s": round(record, 2),
                "jobs_s": round(jobs, 1),
                "record_share": round(record / (record + run), 4),
            }
        )
    )


def timed(command: list[str]) -> dict[str, float]:
    """Wall and processor time of a command that must succeed, in seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"error: {' '.join(command[:3])} failed; make {TABLE} first\n{done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(wall, 2), "cpu_s": round(cpu, 2)}


def seconds_of_jobs() -> float:
    """Sum of the wall times of all jobs whose benchmark files are there."""
    rows = [row for path in Path("logs").rglob("*.tsv") for row in csv.DictReader(path.open(), delimiter="\t")]
    return sum(float(row["s"]) for row in rows)


if __name__ == "__main__":
    main()
