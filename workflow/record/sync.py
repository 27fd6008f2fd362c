"""Before Snakemake looks: what the record says of every output becomes what Snakemake believes."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from workflow.record.books import Stages
from workflow.record.engine import Output, renew_benchmarks


def sync(stages: Stages) -> set[str]:
    """Acts on what a look has seen.

    Returns the stages that are owed: this Snakemake made their outputs, and was killed before it could enter them.
    """
    trusted, owed = [], set()
    known = cache(Output)  # stages share most of their inputs
    for address, stage in sorted(stages.items()):
        if not stage["changed"]:
            trusted += _trust(stage, known)
        elif _left_to_snakemake(stage):
            owed.add(address)
    if stages:
        _order(trusted)
        renew_benchmarks()
    return owed


def _trust(stage: dict[str, Any], known: Callable[[str], Output]) -> list[tuple[Output, list[Output]]]:
    """The record vouches for this stage: its outputs are up to date. Returns them with their inputs."""
    outputs = [output for out in stage["outs"] if (output := known(out)).exists()]
    for output in outputs:
        output.trust()
    deps = [known(dep) for dep in stage["deps"]]
    return [(output, deps) for output in outputs]


def _left_to_snakemake(stage: dict[str, Any]) -> bool:
    """Something about this stage has changed since it was recorded, or it never was: its outputs are made again.

    Except where this Snakemake made what has changed, from what is still there: then that is newer than the record.
    """
    altered = stage["changed"].get("changed outs", {})
    inputs = [Output(path) for path in stage["changed"].get("changed deps", {})]
    outputs = [Output(path) for path in dict.fromkeys([*stage["outs"], *altered])]
    doubtful = [output for output in outputs if output.exists() and not (altered and output.made_from(inputs))]
    for output in doubtful:
        output.distrust()
    return bool(altered) and not doubtful and any(output.exists() for output in outputs)


def _order(trusted: list[tuple[Output, list[Output]]]) -> None:
    """Moves each output's time behind its inputs' until all are in order: Snakemake believes in times."""
    times: dict[Path, int] = {}
    moved = True
    while moved:
        moved = False
        for output, deps in trusted:
            for dep in deps:
                if dep.path not in times:
                    times[dep.path] = dep.time_as_input() if dep.exists() else 0
            if output.move_after(max((times[dep.path] for dep in deps), default=0)):
                times.pop(output.path, None)
                moved = True
