"""What the training steps of the encoders share: randomness of a step, spans of steps, states, and reading a network back."""

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from memgan import artifacts
from memgan.device import device
from memgan.errors import InputError
from memgan.signals import Stop
from memgan.state import TrainingState
from memgan.steps import log


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


class Kept:
    """How a training of encoders loses nothing when it is killed or told to end.

    `parts` is what its steps change, `losses` are those of the epoch at work. `spans` gives the steps that are left; `after` is
    called after each, with whatever else has to be `known` to go on. Without a `state`, nothing is kept.
    """

    def __init__(self, state: TrainingState | None, **parts: nn.Module | torch.optim.Optimizer):
        self.state, self.parts = state, parts
        saved = state.load() if state else None
        for name, part in parts.items() if saved else ():
            part.load_state_dict(saved["parts"][name])
        self.first, self.losses, self.known = (saved["step"], saved["losses"], saved["known"]) if saved else (0, [], {})

    def spans(self, epochs: float, steps_per_epoch: int) -> Iterator[tuple[int, int, int]]:
        """(epoch, first step, step after the last) of what is left; an epoch that only lacks what follows its steps has none."""
        for epoch, start, stop in spans(epochs, steps_per_epoch):
            if stop >= self.first:
                yield epoch, max(start, self.first), stop
                self.losses = []

    def after(self, step: int, stop: Stop | None = None, **known: Any) -> None:
        """Saves if it is time. If a signal has come, saves in any case and ends the program, with exit code 0."""
        told = stop.name if stop else ""
        if not self.state or not (self.state.due() or told):
            return
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        self.state.save({"step": step + 1, "parts": parts, "losses": self.losses, "known": known})
        if told:
            log.info("stopped by %s after step %d: its state is saved; the same command goes on", told, step + 1)
            sys.exit(0)


@contextmanager
def resumed(out: Path, manifest: Mapping[str, Any]) -> Iterator[tuple[TrainingState, Stop]]:
    """The state of the training that writes `out`, and whether a signal has come."""
    with TrainingState(out, {**manifest, "device": device().type}) as state, Stop() as stop:
        yield state, stop


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
