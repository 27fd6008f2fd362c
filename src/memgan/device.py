"""Where networks compute: the first GPU that torch sees, or else the CPU. The environment's MEMGAN_DEVICE names another.

Random numbers are always drawn on the CPU and then moved, so that every device gets the same ones. What is computed from them
differs in the last bits between devices, as it does between processors: tables are compared byte by byte on one machine only.
"""

import fcntl
import os
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TextIO, TypeVar

import torch
from torch import Tensor, nn

from memgan.errors import InputError

VARIABLE = "MEMGAN_DEVICE"
N = TypeVar("N", bound=nn.Module)
_HELD: list[TextIO] = []  # locks of GPUs; the system frees them with the process


@cache
def device() -> torch.device:
    """This process' device. Each process of this user takes a GPU that none of them has. If none is left, it shares: several
    processes of one training (torchrun) go round the GPUs in turn, any other takes the first.

    Raises InputError if MEMGAN_DEVICE names none that is there.
    """
    name, gpus = os.environ.get(VARIABLE) or ("cuda" if torch.cuda.is_available() else "cpu"), torch.cuda.device_count()
    if name == "cuda" and gpus:
        name = f"cuda:{untaken(gpus, int(os.environ.get('LOCAL_RANK', 0)) % gpus)}"
    try:
        chosen = torch.device(name)
        if chosen.type not in ("cpu", "cuda"):
            raise RuntimeError("neither a CPU nor a CUDA GPU")
        torch.empty(0, device=chosen)
        if chosen.type == "cuda":
            torch.cuda.set_device(chosen)  # torch-fidelity takes the current one
    except (RuntimeError, AssertionError) as fault:
        reason = str(fault).partition("\n")[0]
        raise InputError(f"{VARIABLE}={name}: there is no such device here ({reason}); use cpu, cuda or cuda:<number>") from None
    return chosen


def untaken(gpus: int, shared: int = 0) -> int:
    """The number of the first GPU that no other process holds, `shared` if all are; held from now on until this process ends.

    Engines count GPUs and do not say which: of the jobs that `--resources gpu=4` lets run side by side, each takes its own here.
    """
    for number in range(gpus if gpus > 1 else 0):
        name = str(torch.cuda.get_device_properties(number).uuid)
        lock = (Path(tempfile.gettempdir()) / f"memgan-{os.getuid()}-gpu-{name}.lock").open("w")
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _HELD.append(lock)
            return number
        lock.close()
    return shared


def placed(network: N) -> N:
    """The network on this process' device."""
    return network.to(device())


def beside(network: nn.Module, tensor: Tensor) -> Tensor:
    """The tensor on the device of the network's parameters; where it is, if there are none."""
    one = next(network.parameters(), tensor)
    return tensor.to(one.device, non_blocking=True)


def memory() -> float:
    """GB of the GPU that tensors have filled at most in this process; 0 on the CPU."""
    return torch.cuda.max_memory_allocated() / 1e9 if device().type == "cuda" else 0.0
