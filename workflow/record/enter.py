"""After a run: what it made, and nothing that is in doubt, is entered into the record."""

import re
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from memgan.artifacts import write_text
from memgan.errors import InputError
from workflow.needs import PARAMS, lookup
from workflow.record import books, engine, pipelines, stages, watch

SOURCES = ("src/", "workflow/")  # inputs that no rule makes: code, and the published table
ASIDE = {"figures", "retrieval", "examples", "retrieval_table"}  # rules that Table 1 does not need: their results are not recorded


class Run:
    """A run of Snakemake, with the state of the code before its jobs read it."""

    def __init__(self, workflow: Any):
        self.dag, self.config = workflow.dag, engine.settings(workflow)
        inputs = {str(path) for job in self.dag.jobs for path in job.input}
        self.code = {path: _version(path) for path in inputs if path.startswith(SOURCES)}
        self._began = time.monotonic()

    def lasted(self) -> float:
        """Seconds since the jobs started."""
        return time.monotonic() - self._began

    def good(self) -> dict[str, list[Any]]:
        """By name of the stage, its jobs, if Snakemake ran or found good all of them."""
        found = defaultdict(list)
        for job in self.dag.jobs:
            if job.output:
                found[stages.name(job)].append(job)
        return {
            name: jobs
            for name, jobs in found.items()
            if len(jobs) == self._parts(jobs[0]) and all(engine.is_good(self.dag, job) for job in jobs)
        }

    def changed(self, job: Any, now: dict[str, Any]) -> bool:
        """Whether code or params.yaml, of which `now` is what it says now, no longer say what the job read."""
        code = (path for path in map(str, job.input) if path in self.code)
        return self._differs(job, now) or any(_version(path) != self.code[path] for path in code)

    def misread(self, job: Any) -> bool:
        """Whether params.yaml, while the job ran, said anything else of what it read than when the rules were read."""
        period = engine.Output(str(job.output[0])).period()
        return bool(period) and any(self._differs(job, tree) for tree in watch.said(*period))

    def _parts(self, job: Any) -> int:
        return self.config["shards"] if stages.SCATTER & set(job.wildcards_dict) else 1

    def _differs(self, job: Any, tree: dict[str, Any]) -> bool:
        keys = [key for entry in job.rule.params for key in entry.of(job.wildcards_dict)]
        try:
            return any(lookup(tree, key) != lookup(self.config, key) for key in keys)
        except InputError:  # the entry is gone
            return True


def enter(run: Run, owed: set[str]) -> None:
    """Enters the stages that this run finished, and those that an earlier one owes, unless something about them is in doubt."""
    known = books.read(books.TABLE1).get("stages", {})
    good = run.good()
    made = {name for name, jobs in good.items() if name in owed or any(map(run.dag.finished, jobs))}
    good = _undisturbed(run, good, made)
    fresh = {name: jobs[0] for name, jobs in good.items() if name in made}
    listed = books.listed(run.config)
    table1 = {name: job for name, job in fresh.items() if name in listed}
    rules = {job.rule.name: job for job in table1.values()}
    outdated = {rule for rule, job in rules.items() if not _current(run, job, known)}
    stale = {name for name, job in table1.items() if job.rule.name in outdated}
    others = {name: jobs[0] for name, jobs in good.items() if pipelines.is_apart(jobs[0]) and _is_listed(jobs[0], run.config)}
    unknown = {name for name, job in fresh.items() if job.rule.name not in ASIDE} - table1.keys() - others.keys()
    apart = {name for name in unknown if not _is_listed(fresh[name], run.config)}
    if apart:
        books.say(f"not recorded, since params.yaml does not list their data set or seed: {', '.join(sorted(apart))}")
    if unsaid := outdated | unknown - apart:
        books.say(
            f"dvc.yaml does not say what the rules and params.yaml say of {', '.join(sorted(unsaid))}; "
            "not recorded: run `make dvc`, then snakemake"
        )
    if entered := sorted(table1.keys() - stale) + _derived(run, others, fresh):
        books.commit(entered)


def _undisturbed(run: Run, good: dict[str, list[Any]], made: set[str]) -> dict[str, list[Any]]:
    """Without the stages that an edit during the run puts in doubt. What may have read what was then put back is made again."""
    now = books.read(PARAMS)
    changed = {name for name, jobs in good.items() if any(run.changed(job, now) for job in jobs)}
    misread = {name for name in made if any(map(run.misread, good[name]))}
    for path in (path for name in misread for job in good[name] for path in job.output):
        engine.Output(str(path)).distrust()
    if doubtful := sorted(misread | changed & made):
        books.say(f"params.yaml or code was edited while they were made: {', '.join(doubtful)}; not recorded: run again")
    return {name: jobs for name, jobs in good.items() if name not in changed | misread}


def _current(run: Run, job: Any, known: dict[str, Any]) -> bool:
    """Whether dvc.yaml says what the job's rule says."""
    written = {key: value for key, value in known[job.rule.name].items() if key != "matrix"}
    return stages.definition(run.dag, job.rule, [job], run.config) == written


def _derived(run: Run, others: dict[str, Any], fresh: dict[str, Any]) -> list[str]:
    """Adds stages that Table 1 does not need to ablations/dvc.yaml as they are made; returns their addresses."""
    recorded = books.recorded() if others else {}
    new = sorted(name for name in others if name in fresh or f"{books.ABLATIONS}:{name}" not in recorded)
    if new:
        old = _still_valid(run, books.read(books.ABLATIONS) or {"stages": {}})
        write_text(books.ABLATIONS, pipelines.text(pipelines.merged(old, pipelines.apart(run.dag, [others[name] for name in new]))))
    return [f"{books.ABLATIONS}:{name}" for name in new]


def _still_valid(run: Run, pipeline: dict[str, Any]) -> dict[str, Any]:
    """Without stages that their rule makes no longer: another rule may have taken over the same files."""
    rules = {rule.name: rule for rule in run.dag.workflow.rules}
    kept = {}
    for name, stage in pipeline["stages"].items():
        allowed = rules[name].wildcard_constraints if name in rules else {}
        items = {
            key: item
            for key, item in stage.get("foreach", {}).items()
            if all(re.fullmatch(allowed.get(wildcard, ".*"), value) for wildcard, value in item.items())
        }
        if name in rules and (items or "foreach" not in stage):
            kept[name] = stage | ({"foreach": items} if items else {})
    return {"stages": kept}


def _is_listed(job: Any, config: dict[str, Any]) -> bool:
    """Whether params.yaml lists the job's data set and seed, so that what it reads is in the record too."""
    item, apart = stages.item(job), config["ablations"]
    for datasets, seeds in ((config["datasets"], config["seeds"]), ([apart["dataset"]], apart["seeds"])):
        if item.get("dataset", datasets[0]) in datasets and item.get("seed", str(seeds[0])) in map(str, seeds):
            return True
    return False


def _version(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size
