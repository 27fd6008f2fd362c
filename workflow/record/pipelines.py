"""The files that DVC reads: dvc.yaml with the stages of Table 1, ablations/dvc.yaml with those of other runs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from workflow.record import books, engine, stages

TARGET = "results/table1.csv"
PAPER = "ours"  # the run that Table 1 shows
LIVE = {"dvclive": {"x": "step"}}  # curves and sheets of trainings, while they run and after
HEAD = "# Derived from the rules by `make dvc`; edit those instead.\n"


def table1() -> dict[str, Any]:
    """The stages of Table 1, in the order in which data flows."""
    dag = engine.graph([TARGET])
    config = engine.settings(dag.workflow)
    found = {}
    for rule, jobs in _by_rule(dag, dag.jobs).items():
        axes = stages.matrix(rule, jobs, config)
        found[rule.name] = ({"matrix": axes} if axes else {}) | stages.definition(dag, rule, jobs, config)
    return {"plots": [LIVE], "stages": found}


def of_runs(runs: Iterable[str]) -> dict[str, Any]:
    """The stages of other runs, for all data sets and seeds of params.yaml."""
    config = books.read(Path("params.yaml"))
    dag = engine.graph(f"results/{d}/{run}/{s}/metrics.json" for d, run, s in product(config["datasets"], runs, config["seeds"]))
    return ablations(dag, [job for job in dag.jobs if is_ablation(job)])


def ablations(dag: Any, jobs: Iterable[Any]) -> dict[str, Any]:
    """The stages of these jobs, one by one: other runs need not be a full product."""
    config = engine.settings(dag.workflow)
    found = {}
    for rule, members in _by_rule(dag, jobs).items():
        items = {stages.name(job).partition("@")[2]: stages.item(job) for job in members}
        definition = {"wdir": ".."} | stages.definition(dag, rule, members, config)
        found[rule.name] = {"foreach": dict(sorted(items.items())), "do": definition}
    return {"stages": found}


def is_ablation(job: Any) -> bool:
    """Whether a job belongs to a run that Table 1 does not show."""
    return job.wildcards_dict.get("run", PAPER) != PAPER


def text(pipeline: Mapping[str, Any]) -> str:
    """As YAML."""
    return HEAD + yaml.safe_dump(dict(pipeline), sort_keys=False, width=130)


def runs_in(pipeline: Mapping[str, Any]) -> set[str]:
    """The runs that an ablations/dvc.yaml names."""
    return {item["run"] for stage in pipeline.get("stages", {}).values() for item in stage["foreach"].values()}


def _by_rule(dag: Any, jobs: Iterable[Any]) -> dict[Any, list[Any]]:
    found = defaultdict(list)
    for job in jobs:
        if job.output:
            found[job.rule].append(job)
    order = engine.order(dag)
    return {rule: found[rule] for rule in sorted(found, key=lambda rule: order.index(rule.name))}
