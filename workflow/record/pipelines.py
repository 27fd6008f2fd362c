"""The files that DVC reads: dvc.yaml with the stages of Table 1, ablations/dvc.yaml with all others that were asked for."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import yaml

from workflow.needs import PAPER, PARAMS
from workflow.record import books, engine, stages

TARGET = "results/table1.csv"
ABLATIONS = "results/ablations.csv"
SANITY = "results/sanity.csv"
APART = {"ablations": ABLATIONS, "sanity": SANITY}  # rules without wildcards that Table 1 does not need
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
    return {"stages": found, "plots": [*stages.plots(dag.jobs, config), LIVE]}


def targets(runs: Iterable[str], ablations: bool) -> list[str]:
    """What is asked for by name: other runs on the data sets and seeds of Table 1; the table of the ablations."""
    config = books.read(PARAMS)
    asked = [f"results/{d}/{run}/{s}/metrics.json" for d, run, s in product(config["datasets"], runs, config["seeds"])]
    return asked + ([ABLATIONS] if ablations else [])


def others(asked: list[str], listed: Mapping[str, Any]) -> dict[str, Any]:
    """The stages that `asked` needs besides those of Table 1, and, derived anew, those that ablations/dvc.yaml lists already."""
    found: dict[str, Any] = {"stages": {}}
    names = names_in(listed)
    for files, wanted in ((_files_of(listed), names), (asked, None)):
        if files:
            dag = engine.graph(files)
            jobs = [job for job in dag.jobs if is_apart(job) and (wanted is None or stages.name(job) in wanted)]
            found = merged(found, apart(dag, jobs))
    return found


def apart(dag: Any, jobs: Iterable[Any]) -> dict[str, Any]:
    """The stages of these jobs, one by one: what is asked for besides Table 1 need not be a full product."""
    config = engine.settings(dag.workflow)
    found = {}
    for rule, members in _by_rule(dag, jobs).items():
        items = {key: stages.item(job) for job in members if (key := stages.name(job).partition("@")[2])}
        definition = {"wdir": ".."} | stages.definition(dag, rule, members, config)
        found[rule.name] = {"foreach": dict(sorted(items.items())), "do": definition} if items else definition
    return {"stages": found}


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The stages of both, by name; where both say how a rule looks, the other one's word holds."""
    found = dict(one["stages"])
    for rule, stage in other["stages"].items():
        items = found.get(rule, {}).get("foreach", {}) | stage.get("foreach", {})
        found[rule] = stage | {"foreach": dict(sorted(items.items()))} if items else stage
    return {"stages": dict(sorted(found.items()))}


def is_apart(job: Any) -> bool:
    """Whether a job is none of Table 1's: of another run, data set or seed, or a table of its own."""
    config = engine.settings(job.dag.workflow)
    own = {"run": [PAPER]} | {wildcard: list(map(str, config[name])) for wildcard, name in stages.LISTS.items()}
    wildcards = job.wildcards_dict
    return job.rule.name in APART or any(wildcards[name] not in values for name, values in own.items() if name in wildcards)


def text(pipeline: Mapping[str, Any]) -> str:
    """As YAML."""
    return HEAD + yaml.safe_dump(dict(pipeline), sort_keys=False, width=130)


def names_in(pipeline: Mapping[str, Any]) -> set[str]:
    """Names of the stages of an ablations/dvc.yaml: rule@dataset-run-seed, or the rule's alone."""
    found = pipeline.get("stages", {}).items()
    return {f"{rule}@{key}" if key else rule for rule, stage in found for key in stage.get("foreach", {"": {}})}


def _files_of(pipeline: Mapping[str, Any]) -> list[str]:
    """Results whose graph holds all stages of an ablations/dvc.yaml, as far as params.yaml still knows their names."""
    config, files = books.read(PARAMS), set()
    for rule, stage in pipeline.get("stages", {}).items():
        for item in stage.get("foreach", {"": {}}).values():
            if item.get("dataset", None) in config["data"] and item.get("run", PAPER) in config["runs"]:
                whose = f"{item['run']}/{item['seed']}/metrics" if "run" in item else "real"
                files.add(f"results/{item['dataset']}/{whose}.json")
            elif not item and rule in APART:
                files.add(APART[rule])
    return sorted(files)


def _by_rule(dag: Any, jobs: Iterable[Any]) -> dict[Any, list[Any]]:
    found = defaultdict(list)
    for job in jobs:
        if job.output:
            found[job.rule].append(job)
    order = engine.order(dag)
    return {rule: found[rule] for rule in sorted(found, key=lambda rule: order.index(rule.name))}
