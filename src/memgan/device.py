"""Where networks compute: the first GPU that torch sees, or else the CPU. The environment's MEMGAN_DEVICE names another.

Random numbers are always drawn on the CPU and then moved, so that every device gets the same ones. What is computed from them
differs in the last bits between devices, as it does between processors: tables are compared byte by byte on one machine only.
"""

import os
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor, nn

from memgan.errors import InputError

VARIABLE = "MEMGAN_DEVICE"
N = TypeVar("N", bound=nn.Module)


@cache
def device() -> torch.device:
    """This process' device. Of several processes on one machine (torchrun), each takes the next GPU, in turn if they are fewer.

    Raises InputError if MEMGAN_DEVICE names none that is there.
    """
    name, gpus = os.environ.get(VARIABLE) or ("cuda" if torch.cuda.is_available() else "cpu"), torch.cuda.device_count()
    if name == "cuda" and gpus:
        name = f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % gpus}"
    try:
        chosen = torch.device(name)
        torch.empty(0, device=chosen)
        if chosen.type == "cuda":
            torch.cuda.set_device(chosen)  # torch-fidelity takes the current one
    except (RuntimeError, AssertionError) as fault:
        reason = str(fault).partition("\n")[0]
        raise InputError(f"{VARIABLE}={name}: there is no such device here ({reason}); use cpu, cuda or cuda:<number>") from None
    return chosen


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
