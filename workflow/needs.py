"""What a rule depends on besides its data: entries of params.yaml and files of the package. Both engines get the same."""

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from memgan.errors import InputError
from memgan.imports import SOURCE, code_of
from memgan.params.gan import Train
from memgan.params.load import Settings, read_yaml
from memgan.params.schema import PAPER, check

PARAMS = Path("params.yaml")
FOLDER = Path("src")


class Entries:
    """Entries of params.yaml by dotted key."""

    def __init__(self, keys: Iterable[str]):
        self.keys = tuple(keys)

    def __call__(self, wildcards: Mapping[str, str]) -> dict[str, Any]:
        """Their values, for a job with these wildcards: what Snakemake compares."""
        return {key: lookup(read_yaml(PARAMS), key) for key in self.of(wildcards)}

    def of(self, wildcards: Mapping[str, str]) -> list[str]:
        """The keys with wildcards filled in, in alphabetical order: what DVC compares."""
        return sorted({key.format_map(dict(wildcards.items())) for key in self.keys})


def needs(*keys: str) -> Entries:
    """Declares entries of params.yaml, wildcards allowed: `needs("seed", "runs.{run}", *blocks("gan"))`."""
    return Entries(keys)


def blocks(*names: str, dataset: str = "{dataset}") -> list[str]:
    """Keys of blocks and of what the data set changes of them."""
    return [key for name in names for key in (name, f"data.{dataset}.{name}")]


def methods(config: Mapping[str, Any]) -> dict[str, Any]:
    """The methods under `methods` whose data set the table is about."""
    return {name: entry for name, entry in config["methods"].items() if entry["dataset"] in config["datasets"]}


def lookup(tree: Mapping[str, Any], key: str) -> Any:
    """The entry at a dotted key. Raises InputError if there is none."""
    node: Any = tree
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            raise InputError(f"{PARAMS}: a rule needs the entry `{key}`, which is not there; add it, or mend the rule's needs()")
        node = node[part]
    return node


def code(module: str) -> list[str]:
    """Files of the package that the module runs, relative to the root. Raises InputError if there is no such module."""
    files = [str(FOLDER / path) for path in code_of(module)]
    if f"{FOLDER}/{module.replace('.', '/')}.py" not in files:
        raise InputError(f"{FOLDER}: a rule runs `{module}`, and {SOURCE} holds no such module")
    return files


def one_of(names: Iterable[str]) -> str:
    """A regular expression for a wildcard that takes one of these values."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


def rendered(config: Mapping[str, Any]) -> list[str]:
    """Data sets that are rendered instead of downloaded."""
    return [name for name, entry in config["data"].items() if entry["source"].get("world")]


def composed(config: Mapping[str, Any]) -> list[str]:
    """Data sets that are composed of another's pictures."""
    return [name for name, entry in config["data"].items() if entry["source"].get("scenes")]


def drawn(config: Mapping[str, Any]) -> list[str]:
    """Data sets that this project draws itself, rendered or composed: a few thousand small images."""
    return [*rendered(config), *composed(config)]


def sharing(config: Mapping[str, Any]) -> list[str]:
    """Runs that only sample in another way: trained on own neighbours, their generator is that of `ours`."""
    trainings = [config["train"], *({**config["train"], **entry["train"]} for entry in config["data"].values())]
    if any(training["neighbours"] != "own" for training in trainings):
        return []
    return [name for name, changes in config["runs"].items() if name != PAPER and set(changes) <= {"memory", "sampling"}]


def processes(wildcards: Mapping[str, str]) -> int:
    """On how many processes a run trains on a data set."""
    return Settings(wildcards["dataset"], wildcards["run"]).block("train", Train).processes


def made(*rules: Any) -> list[Iterable[str]]:
    """The outputs of those rules whose outputs and inputs are all there."""
    return [rule.output for rule in rules if all(Path(path).exists() for path in [*rule.output, *rule.input])]


def refuse_faults() -> None:
    """Ends the program with one line if params.yaml is faulty."""
    try:
        check(PARAMS)
    except InputError as fault:
        sys.exit(f"error: {' '.join(str(fault).split())}")


def refuse_overrides(config: Mapping[str, Any]) -> None:
    """Ends the program with one line if the command line changes an entry of params.yaml: DVC would not know."""
    tree = read_yaml(PARAMS)
    for key in sorted(tree.keys() | config.keys()):
        if key not in tree:
            sys.exit(f"error: --config: {PARAMS} has no entry `{key}`; leave it out")
        if tree[key] != config.get(key):
            sys.exit(
                f"error: --config: `{key}` is {config.get(key)!r}, but {PARAMS} says {tree[key]!r}; "
                f"edit {PARAMS}, or `dvc exp run -S {key}=...`; if DVC said it, run `make dvc`"
            )
