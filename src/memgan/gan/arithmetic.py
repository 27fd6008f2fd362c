"""How the numbers are computed, for speed: precision and compilation. Entries of `train`, since all of them change sums."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from memgan.errors import InputError
from memgan.params.gan import Train

F = TypeVar("F", bound=Callable[..., Any])
GRAPHS = 64  # of one function: a discriminator's pass has three for each stage, and torch gives up after eight
SMALLEST = 1e-4  # a scale below this has seen nothing but infinite gradients


class Arithmetic:
    """What `train.precision`, `train.compile`, `train.channels_last` and `train.fused` ask for."""

    def __init__(self, train: Train, device: str = "cpu"):
        self.train, self.device = train, device
        self.dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(train.precision)
        self.scaler = torch.amp.GradScaler(device, enabled=train.precision == "float16")
        if train.precision == "tf32":
            if device == "cpu":
                raise InputError("params.yaml: train.precision: tf32 needs a GPU; use float32")
            for kind in (torch.backends.cuda.matmul, torch.backends.cudnn.conv):
                kind.fp32_precision = "tf32"

    def cast(self, exact: bool = False) -> AbstractContextManager:
        """Where convolutions and matrix products run in the lower precision, unless they must be `exact`."""
        return nullcontext() if exact or self.dtype is None else torch.autocast(self.device, self.dtype)

    def fast(self, function: F) -> F:
        """The function, compiled if asked for."""
        if not self.train.compile:
            return function
        torch._dynamo.config.recompile_limit = GRAPHS
        return torch.compile(function)

    def laid_out(self, network: nn.Module) -> nn.Module:
        """The network with its convolutions' weights as `channels_last` says."""
        return network.to(memory_format=torch.channels_last if self.train.channels_last else torch.contiguous_format)

    def backward(self, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        """Gradients of the loss, scaled in float16 until `gradient_norm`."""
        optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()

    def gradient_norm(self, optimiser: torch.optim.Optimizer) -> float:
        """Norm of all gradients together."""
        self.scaler.unscale_(optimiser)
        return get_total_norm([p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]).item()

    def update(self, optimiser: torch.optim.Optimizer) -> None:
        """One step; in float16 left out, and the scale halved, if a gradient is infinite."""
        self.scaler.step(optimiser)
        self.scaler.update()

    def forgives(self) -> bool:
        """Whether an infinite gradient is float16's, which the next scale mends."""
        return self.scaler.is_enabled() and self.scaler.get_scale() > SMALLEST

    def state(self) -> dict[str, Any]:
        """What outlives a step."""
        return self.scaler.state_dict()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state` gave."""
        if state:
            self.scaler.load_state_dict(dict(state))


def widened(tensor: Tensor) -> Tensor:
    """The tensor in float32 at least: losses are never taken in half precision. float64 stays."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
