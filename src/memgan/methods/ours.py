"""Our runs in the tables: a row is named by what made its samples, so that no variant passes for the paper's method."""

from collections.abc import Mapping
from typing import Any

NAME = "Ours"
# what the paper states of its method -> (its choice, how another one is written in the row's name)
CHOICES: dict[str, tuple[Any, str]] = {
    "pooling": ("avg", "pooling {}"),
    "gan.stages": (3, "{} stages"),
    "gan.image_features": (True, "no regional v"),
    "gan.global_feature": (True, "no v_G"),
    "gan.content": (True, "no content features"),
    "gan.spectral_norm": (False, "spectral norm"),
    "train.neighbours": ("own", "trained on {} v"),
    "train.augment": ("none", "{}"),
    "memory.strategy": ("both", "retrieval {}"),  # the paper has three ways and prefers none [ours]
}


def label(resolved: Mapping[str, Any]) -> str:
    """The row's name: `Ours`, the run's name if it is another one, and in brackets where it departs from the paper.

    `resolved` is the entry of that name in metrics.json; methods that are not ours bring their own name as `method`.
    """
    if "method" in resolved:
        return str(resolved["method"])
    run = resolved["run"]
    name = NAME if run == "ours" else f"{NAME}, {run}"
    departures = [words for words in departs(resolved, {key: choice for key, (choice, _) in CHOICES.items()}) if words != run]
    return f"{name} ({', '.join(departures)})" if departures else name


def departs(resolved: Mapping[str, Any], choices: Mapping[str, Any]) -> list[str]:
    """In words, where a run departs from `choices` (dotted key -> value), those of the paper or of another run."""
    found = [CHOICES[key][1].format(at(resolved, key)) for key, choice in choices.items() if at(resolved, key) != choice]
    found = ["1 stage" if words == "1 stages" else words for words in found]
    return found + (["untrained"] if at(resolved, "train.epochs") == 0 else [])


def at(tree: Mapping[str, Any], key: str) -> Any:
    """The entry at a dotted key."""
    for part in key.split("."):
        tree = tree[part]
    return tree
