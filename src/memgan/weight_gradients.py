"""Gradients of convolutions' weights as matrix products, for processors on which that is twice as fast as torch's own way.

A convolution is three products: forward, the gradient of its input, the gradient of its weights. With many channels, and on maps
of 128 px and more, torch's library (oneDNN 3) comes near a processor's limit in the first two, and to a third of it in the last.
Here the windows that a kernel sees are laid out as rows of a matrix, a few megabytes at a time, and multiplied with the gradients
of the outputs that they make. benchmarks/train_step.py says what it is worth.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

WIDE = 128  # channels on one side; with fewer the products are too narrow to gain
LARGE = 0.25e9  # floating-point operations; smaller ones are left as they are, to the last bit
ROOM = 2**22  # numbers in the matrix of windows: 16 MB, some of which the cache holds


@cache
def use_products() -> None:
    """From here on this process takes the gradients of large float32 convolutions on the CPU by `weight_gradient`.

    What is small, on a GPU, grouped, dilated or not channels last stays with torch, as do all gradients of inputs.
    """
    torchs = torch.library.get_kernel("aten::convolution_backward", "CPU")

    def backward(keys: torch.DispatchKeySet, *given: Any) -> tuple[Tensor | None, ...]:
        out, x, weight, _, stride, padding, dilation, transposed, _, groups, (of_input, of_weight, of_bias) = given
        plain = groups == 1 and not transposed and set(dilation) == {1}
        if not (of_weight and plain and worth_it(out, x, weight)):
            return torchs.call_boxed(keys, *given)
        of_x = torchs.call_boxed(keys, *given[:-1], [True, False, False])[0] if of_input else None
        return of_x, weight_gradient(out, x, weight, stride, padding), out.sum((0, 2, 3)) if of_bias else None

    _library().impl("convolution_backward", backward, "CPU", with_keyset=True, allow_override=True)


@cache
def _library() -> torch.library.Library:
    return torch.library.Library("aten", "IMPL")  # as long as it lives, its kernels are used


def worth_it(out: Tensor, x: Tensor, weight: Tensor) -> bool:
    """Whether the product is faster than torch's kernel, by measurement on a processor with AVX2."""
    if {t.dtype for t in (out, x, weight)} != {torch.float32} or max(weight.shape[:2]) < WIDE or weight[0, 0].numel() == 1:
        return False
    return out.is_contiguous(memory_format=torch.channels_last) and 2 * out.numel() * weight[0].numel() >= LARGE


def weight_gradient(out: Tensor, x: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int]) -> Tensor:
    """The gradient of `weight` [O, I, K, L] from those of the outputs [B, O, H', W'] and the inputs [B, I, H, W], channels last.

    dw[o, i, k, l] = sum over b, y, z of out[b, o, y, z] x[b, i, s y + k - p, s z + l - p]. On large maps the windows are taken of
    the side with fewer channels: with stride 1 they may as well be windows of `out`, whose taps then come in the reverse order.
    """
    kernel = weight.shape[2:]
    if out.shape[1] < x.shape[1] and set(stride) == {1} and x.numel() > weight.numel():
        around = [size - 1 - p for size, p in zip(kernel, padding, strict=True)]
        found = _products(x, windows(out, kernel, stride, around, x.shape[2:]))  # I x K x L x O
        found = found.flip(1, 2).permute(3, 0, 1, 2)
    else:
        found = _products(out, windows(x, kernel, stride, padding, out.shape[2:])).permute(0, 3, 1, 2)
    return found.contiguous(memory_format=torch.channels_last)


def windows(x: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], places: Sequence[int]) -> Tensor:
    """x [B, C, H, W] -> [B, H', W', K, L, C], a view of the padded map: what the kernel sees at each of H' x W' places."""
    down, right = padding
    padded = pad(x.permute(0, 2, 3, 1).contiguous(), (0, 0, right, right, down, down))
    batch, row, column, channel = padded.stride()
    shape = (len(x), *places, *kernel, x.shape[1])
    return padded.as_strided(shape, (batch, stride[0] * row, stride[1] * column, row, column, channel))


def _products(maps: Tensor, seen: Tensor) -> Tensor:
    """maps [B, M, H', W'] and windows [B, H', W', K, L, C] -> sum over B, H', W' of their products: M x K x L x C."""
    rows, width = maps.permute(0, 2, 3, 1), math.prod(seen.shape[3:])
    lines = max(1, ROOM // (seen.shape[2] * width))  # of places, at a time
    images, total = max(1, lines // seen.shape[1]), None
    for b in range(0, len(maps), images):
        for y in range(0, seen.shape[1], lines):
            part = seen[b : b + images, y : y + lines].reshape(-1, width)
            mine = rows[b : b + images, y : y + lines].reshape(len(part), -1).t()
            total = torch.mm(mine, part) if total is None else total.addmm_(mine, part)
    return total.view(-1, *seen.shape[3:])
