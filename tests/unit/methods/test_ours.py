"""Rows are named by what made them."""

import copy
from typing import Any

import pytest

from memgan.methods.ours import CHOICES, label
from tests.factory import PARAMS

PAPER = {name: PARAMS[name] for name in ("pooling", "gan", "train", "memory")} | {"run": "ours", "dataset": "birdworld", "seed": 0}


def changed(key: str, value: Any, run: str = "ours") -> dict[str, Any]:
    resolved = copy.deepcopy(PAPER) | {"run": run}
    *path, last = key.split(".")
    node = resolved
    for part in path:
        node = node[part]
    node[last] = value
    return resolved


def paper() -> dict[str, Any]:
    resolved = copy.deepcopy(PAPER)
    for key, (choice, _) in CHOICES.items():
        block, _, field = key.rpartition(".")
        (resolved[block] if block else resolved)[field] = choice
    return resolved


def test_the_papers_choices_are_ours() -> None:
    assert label(paper()) == "Ours"


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("pooling", "max", "Ours (pooling max)"),
        ("gan.stages", 2, "Ours (2 stages)"),
        ("gan.image_features", False, "Ours (no regional v)"),
        ("gan.global_feature", False, "Ours (no v_G)"),
        ("gan.content", False, "Ours (no content features)"),
        ("train.neighbours", "retrieved", "Ours (trained on retrieved v)"),
        ("train.augment", "diffaugment", "Ours (diffaugment)"),
        ("memory.strategy", "random", "Ours (retrieval random)"),
        ("train.epochs", 0, "Ours (untrained)"),
    ],
)
def test_a_departure_is_named(key: str, value: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PAPER", paper())
    assert label(changed(key, value)) == name


def test_another_run_carries_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PAPER", paper())
    assert label(changed("train.epochs", 0, "untrained")) == "Ours, untrained"
    assert label(changed("train.lr_g", 0.1, "fast")) == "Ours, fast"
    assert label(changed("pooling", "max", "content")) == "Ours, content (pooling max)"


def test_other_methods_bring_their_name() -> None:
    assert label({"method": "AttnGAN", "dataset": "cub"}) == "AttnGAN"
