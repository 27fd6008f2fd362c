"""What the training steps of the encoders share: randomness of a step, spans of steps, and reading a network back."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memgan import artifacts
from memgan.errors import InputError


def reseed(seed: int, *what: int | str) -> None:
    """Sets torch's generator from the seed and the name of what comes next.

    Done before building a network and before every step, so that a step depends on (seed, step) and not on the steps before.
    """
    torch.manual_seed(artifacts.seed_of(seed, *what))


def spans(epochs: float, steps_per_epoch: int) -> Iterator[tuple[int, int, int]]:
    """(epoch, first step, step after the last) for each epoch; the last one is short if `epochs` is no whole number."""
    total = round(epochs * steps_per_epoch)
    for epoch in range(math.ceil(total / steps_per_epoch)):
        yield epoch, epoch * steps_per_epoch, min(total, (epoch + 1) * steps_per_epoch)


def cosine_lr(lr: float, step: int, total: int) -> float:
    """Learning rate of a step: half a cosine from `lr` down to almost 0 [ours]."""
    return lr * 0.5 * (1 + math.cos(math.pi * step / total))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def checked(loss: float, what: str, step: int) -> float:
    """The loss. Raises InputError if it is no finite number: what follows would learn nothing and say so nowhere."""
    if not math.isfinite(loss):
        raise InputError(f"{what}: at step {step} the loss is {loss}; nothing is written; lower `{what}.lr` in params.yaml")
    return loss


def read_network(path: Path, step: str, expected: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and manifest of a network that `step` (a module's name) wrote.

    `expected` holds what it must have been made with, by dotted key. Raises InputError naming the first entry that differs.
    """
    tensors, manifest = artifacts.load_tensors(path)
    if manifest.get("step") != step:
        raise InputError(f"{path}: written by {manifest.get('step', 'another program')}, not by {step}; give that step's file")
    for key, value in expected.items():
        block, _, field = key.partition(".")
        found = manifest["params"].get(block, {}).get(field)
        if found != value:
            raise InputError(f"{path}: made with {key} = {found}, wanted is {value}; make it again: `snakemake --cores all {path}`")
    return tensors, manifest


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict with `prefix.` before each name."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of a state dict under `prefix.`, without it."""
    return {name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}
