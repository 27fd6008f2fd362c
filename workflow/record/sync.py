"""Before Snakemake looks: what the record says of every output becomes what Snakemake believes."""

from typing import Any

from workflow.record import books
from workflow.record.engine import Output, renew_benchmarks


def sync() -> set[str]:
    """Returns the stages that are owed: this Snakemake made their outputs, and was killed before it could enter them."""
    changed = books.status()
    if changed is None:
        return set()
    recorded = books.recorded()
    trusted, owed = [], set()
    for address in sorted(recorded.keys() | changed.keys()):
        if address in changed:
            owed |= {address} if _left_to_snakemake(recorded.get(address, {}), changed[address]) else set()
        else:
            trusted += _trust(recorded[address])
    _order(trusted)
    renew_benchmarks()
    return owed


def _trust(stage: dict[str, Any]) -> list[tuple[Output, list[Output]]]:
    """The record vouches for this stage: its outputs are up to date. Returns them with their inputs."""
    outputs = [output for out in stage["outs"] if (output := Output(out["path"])).exists()]
    for output in outputs:
        output.trust()
    return [(output, [Output(dep["path"]) for dep in stage.get("deps", [])]) for output in outputs]


def _left_to_snakemake(stage: dict[str, Any], why: dict[str, Any]) -> bool:
    """Something about this stage has changed since it was recorded, or it never was: its outputs are made again.

    Except where this Snakemake made what has changed, from what is still there: then that is newer than the record.
    """
    altered = why.get("changed outs", {})
    inputs = [Output(path) for path in why.get("changed deps", {})]
    outputs = [Output(path) for path in dict.fromkeys([*(out["path"] for out in stage.get("outs", [])), *altered])]
    doubtful = [output for output in outputs if output.exists() and not (altered and output.made_from(inputs))]
    for output in doubtful:
        output.distrust()
    return bool(altered) and not doubtful and any(output.exists() for output in outputs)


def _order(trusted: list[tuple[Output, list[Output]]]) -> None:
    """Moves each output's time behind its inputs' until all are in order: Snakemake believes in times."""
    moved = True
    while moved:
        moved = False
        for output, deps in trusted:
            newest = max((dep.time_as_input() for dep in deps if dep.exists()), default=0)
            moved |= output.move_after(newest)
