"""How a rule of Snakemake looks as a stage of DVC."""

import subprocess
from collections.abc import Iterable, Mapping
from shlex import quote
from typing import Any

from memgan.errors import InputError
from workflow.lists import listed
from workflow.record import engine

SCATTER = {"shard"}  # wildcards whose jobs share one stage
GATHERED = ("datasets", "seeds", "runs", "methods", "ablations")  # entries that say what a rule gathers the results of
LISTS = {"dataset": "datasets", "seed": "seeds"}  # wildcards whose values params.yaml lists
CURVES = "/curves.csv"
LOSSES = {"generator": "g{}", "discriminators": "d{}", "DAMSM": "damsm"}  # title -> column of a stage

# What gathers results of many stages names them one by one; if params.yaml has come to list others, it must not run.
CHECK = "python workflow/lists.py"


def item(job: Any) -> dict[str, str]:
    """The job's wildcards that tell stages of one rule apart."""
    return {name: value for name, value in job.wildcards_dict.items() if name not in SCATTER}


def name(job: Any) -> str:
    """The stage's name, as DVC makes it of a matrix: rule@dataset-run-seed."""
    values = "-".join(item(job).values())
    return f"{job.rule.name}@{values}" if values else job.rule.name


def definition(dag: Any, rule: Any, jobs: Iterable[Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The stage of a rule, for all of its `jobs`, without the axes of its matrix. DVC fills in `${item.<wildcard>}`."""
    first = next(iter(jobs))
    placeholders = {wildcard: f"${{item.{wildcard}}}" for wildcard in item(first)}
    scattered = [{"shard": str(shard)} for shard in range(config["shards"])] if "shard" in first.wildcards_dict else [{}]
    templates = [engine.filled(dag, rule, placeholders | shard) for shard in scattered]
    outs = [out for template in templates for out in template.output]
    in_git = not_ignored([str(out) for out in first.output])
    kinds: dict[str, list[Any]] = {"outs": [], "metrics": []}
    for at, out in enumerate(outs):
        kept = str(first.output[at % len(first.output)]) in in_git
        kind = "metrics" if kept and not placeholders and str(out).endswith(".json") else "outs"
        kinds[kind].append({str(out): {"cache": False}} if kept else str(out))
    params = sorted({key for entry in rule.params for key in entry.of(placeholders)})
    command = _command(rule, templates, outs, config)
    return {
        "cmd": [_check(gathered, config), command] if (gathered := [key for key in params if key in GATHERED]) else command,
        "deps": list(dict.fromkeys(str(path) for template in templates for path in template.input)),
        **({"params": params} if params else {}),
        **{kind: listed for kind, listed in kinds.items() if listed},
    }


def _check(keys: Iterable[str], config: Mapping[str, Any]) -> str:
    """Refuses to gather what params.yaml has come to list otherwise."""
    return " ".join([CHECK, *(quote(f"{key}={listed(config[key])}") for key in keys)])


def _command(rule: Any, templates: list[Any], outs: list[Any], config: Mapping[str, Any]) -> str:
    """The rule's shell line. A scattered rule is made by Snakemake, so that its jobs run side by side.

    `--config shards=` makes that Snakemake refuse if params.yaml has come to say another number than the stage was derived for.
    """
    if len(templates) == 1 and not SCATTER & set(templates[0].wildcards_dict):
        return engine.command(templates[0])
    paths = " ".join(map(str, outs))
    line = " ".join(rule.shellcmd.split())
    return f"snakemake --cores all --allowed-rules {rule.name} --config shards={config['shards']} -- {paths}  # {line}"


def matrix(rule: Any, jobs: Iterable[Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The axes that the jobs span: `${datasets}` where the list in params.yaml is meant, so that a new entry needs no derivation.

    Raises ValueError if the jobs are not a full product of their wildcards.
    """
    combinations = {tuple(item(job).items()) for job in jobs}
    axes: dict[str, Any] = {}
    product = 1
    for wildcard in dict(next(iter(combinations))):
        values = {dict(combination)[wildcard] for combination in combinations}
        product *= len(values)
        listed = [str(value) for value in config.get(LISTS.get(wildcard, ""), [])]
        free = wildcard not in rule.wildcard_constraints
        axes[wildcard] = f"${{{LISTS[wildcard]}}}" if free and values == set(listed) else sorted(values)
    if product != len(combinations):
        raise ValueError(f"rule {rule.name}: its jobs are no full product of its wildcards, which a stage cannot express")
    return axes


def plots(jobs: Iterable[Any], config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What `dvc plots` shows: the losses of each training by its steps, those of the stages that params.yaml gives its data set."""
    files = sorted((str(out), job.wildcards_dict["dataset"]) for job in jobs for out in job.output if str(out).endswith(CURVES))
    shown = []
    for title, template in LOSSES.items():
        columns = {}
        for path, dataset in files:
            count = {**config["gan"], **config["data"][dataset]["gan"]}["stages"]
            columns[path] = list(dict.fromkeys(template.format(stage) for stage in range(count)))
        shown.append({title: {"x": "step", "y": columns, "y_label": title}})
    return shown


def not_ignored(paths: list[str]) -> set[str]:
    """Paths that .gitignore lets through: small results, which belong to git and not to DVC's cache."""
    command = ["git", "-c", "core.excludesFile=", "check-ignore", "--no-index", "--stdin"]
    answer = subprocess.run(command, input="\n".join(paths), capture_output=True, text=True, check=False)
    if answer.returncode not in (0, 1):
        said = answer.stderr.strip().removeprefix("fatal: ")
        raise InputError(f"git cannot say which results belong to it ({said}); DVC works in a git clone")
    return set(paths) - set(answer.stdout.splitlines())
