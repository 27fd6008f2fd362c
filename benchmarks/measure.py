"""What the timings share: this machine's roofline, counted operations, and the itemised ones that an algorithm needs."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from memgan.device import device

Clock = Callable[[], float]
SIZES = ((64, 128), (128, 64), (256, 32), (512, 16))  # channels and side of the roofline's 3x3 convolutions


def facts() -> dict[str, Any]:
    """What the numbers were measured on. `load` is the number of processes that wanted a core in the last minute."""
    return {
        "cpu": _cpu(),
        "device": torch.cuda.get_device_name(device()) if device().type == "cuda" else "cpu",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "load": round(os.getloadavg()[0], 2),
    }


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@torch.no_grad()
def roofline(batch: int, clock: Clock = time.perf_counter, repeats: int = 3) -> dict[str, float]:
    """GFLOP/s of 3x3 convolutions, forward, channels_last, B x C x H x H -> the same: by size, and `all` of them together.

    The best of `repeats` each, since anything else that runs here can only slow them down.
    """
    figures, flops, seconds = {}, 0.0, 0.0
    for channels, side in SIZES:
        image, weight = (
            torch.randn(shape).to(device(), memory_format=torch.channels_last)
            for shape in ((batch, channels, side, side), (channels, channels, 3, 3))
        )
        flop = 2.0 * batch * channels * channels * 9 * side * side
        conv2d(image, weight, padding=1)
        best = min(seconds_of(lambda i=image, w=weight: conv2d(i, w, padding=1), clock) for _ in range(repeats))
        figures[f"{channels}x{side}"] = round(flop / best / 1e9, 1)
        flops, seconds = flops + flop, seconds + best
    return figures | {"all": round(flops / seconds / 1e9, 1)}


def seconds_of(work: Callable[[], Any], clock: Clock = time.perf_counter) -> float:
    """Time of one call, until a GPU has done it as well."""
    began = clock()
    work()
    if device().type == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def counted(work: Callable[[], Any]) -> float:
    """GFLOP of one call, by torch's counter (a multiply-add is two)."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = Untracked()  # its own tracks modules by hooks, which R1's gradient of a gradient cannot bear
    with counter:
        work()
    return counter.get_total_flops() / 1e9


class Untracked:
    """Stands in for the counter's tracker of modules: everything counts for the whole."""

    parents = ("Global",)

    def __enter__(self) -> None:
        """Nothing to hook in."""

    def __exit__(self, *_: object) -> None:
        """Nothing to take out."""


class Needed:
    """The operations that an algorithm needs, item by item, from the shapes that pass its layers: GFLOP a call.

    A layer (convolution or linear map) costs the same three times: forward, for the gradient of its weights, and for the gradient
    of its input. Elementwise work, normalisation, pooling and LSTMs are left out, since torch's counter does not see them: the text
    encoder is 0.01 % of a training step at the paper's scale.
    """

    def __init__(self) -> None:
        self.items: dict[str, float] = {}

    def add(self, item: str, gflop: float) -> None:
        """Adds to an item."""
        self.items[item] = self.items.get(item, 0.0) + gflop

    @property
    def total(self) -> float:
        """Sum of all items."""
        return sum(self.items.values())

    def table(self) -> dict[str, float]:
        """The items and their sum, rounded."""
        return {name: round(value, 3) for name, value in [*self.items.items(), ("total", self.total)]}


@contextmanager
def layers_of(*networks: nn.Module):
    """Collects [(module, GFLOP forward, the input wants a gradient)] of every convolution and linear map that runs inside."""
    found: list[tuple[nn.Module, float, bool]] = []

    def note(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        taps = getattr(module, "taps", module.weight[0, 0].numel())
        each = taps * module.weight.shape[1]  # multiply-adds for one number of the output
        found.append((module, 2.0 * made.numel() * each / 1e9, given[0].requires_grad))

    hooks = [
        module.register_forward_hook(note)
        for network in networks
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def median_seconds(work: Callable[[int], Any], count: int, clock: Clock = time.perf_counter) -> float:
    """Median time of work(0), work(1), ..., work(count - 1)."""
    return statistics.median(seconds_of(lambda k=k: work(k), clock) for k in range(count))
