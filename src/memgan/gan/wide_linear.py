"""A linear layer with thousands of outputs for a few images, as products of blocks of its weights.

The generator's first layer is one: at 12,288 outputs, 372 inputs and 16 images torch's library takes three times as long for the
gradient of the weights, and half as long again for the outputs, as for the same products in blocks. What is summed stays;
benchmarks/wide_linear.py says what it is worth.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

ROWS = 256  # of weights in a block: 0.4 MB at the worlds' size, 1 MB at the paper's, which the cache holds


class WideLinear(nn.Linear):
    """nn.Linear without bias, in blocks on the CPU; on other devices, and where autocast lowers the precision, nn.Linear itself."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: B x inputs. Returns B x outputs. Can be differentiated once."""
        if x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        return _InBlocks.apply(x, self.weight, math.gcd(self.out_features, ROWS))


class _InBlocks(torch.autograd.Function):
    """x [B, I] and weight [O, I], O a multiple of `rows`: x weight^T [B, O], and its gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, rows: int) -> Tensor:
        """K = O / rows products of B x I and I x rows."""
        ctx.save_for_backward(x, weight)
        ctx.rows = rows
        blocks = weight.unflatten(0, (-1, rows))  # K x rows x I
        made = x.expand(len(blocks), *x.shape) @ blocks.transpose(1, 2)  # K x B x rows
        return made.transpose(0, 1).flatten(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_out: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Of x as torch has it, of the weights in K products of rows x B and B x I."""
        x, weight = ctx.saved_tensors
        asked_x, asked_weight, _ = ctx.needs_input_grad
        of_x = of_weight = None
        if asked_x:
            of_x = of_out @ weight
        if asked_weight:
            blocks = of_out.t().unflatten(0, (-1, ctx.rows))  # K x rows x B
            of_weight = (blocks @ x.expand(len(blocks), *x.shape)).flatten(0, 1)
        return of_x, of_weight, None
