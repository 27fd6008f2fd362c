"""Gradients of convolutions' weights as matrix products, against sums by hand and against torch's own."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from memgan import weight_gradients

SHAPES = {  # images, inputs, side, outputs, kernel, stride, padding
    "windows of the inputs": (2, 3, (6, 5), 4, 3, 1, 1),
    "windows of the outputs": (2, 4, (6, 5), 3, 3, 1, 1),
    "no padding": (2, 4, (6, 5), 2, 3, 1, 0),
    "halved": (3, 2, (8, 6), 5, 4, 2, 1),
    "a large kernel on a small map": (2, 5, (4, 4), 3, 3, 1, 1),
}


def by_hand(out: np.ndarray, x: np.ndarray, kernel: int, stride: int, padding: int) -> np.ndarray:
    """dw[o, i, k, l] = sum over b, y, z of out[b, o, y, z] x[b, i, s y + k - p, s z + l - p], out of the map: 0."""
    total = np.zeros((out.shape[1], x.shape[1], kernel, kernel))
    for o, i, down, right in np.ndindex(*total.shape):
        for b, y, z in np.ndindex(len(x), *out.shape[2:]):
            row, column = stride * y + down - padding, stride * z + right - padding
            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                total[o, i, down, right] += out[b, o, y, z] * x[b, i, row, column]
    return total


@pytest.mark.parametrize("room", [2**22, 200], ids=["at once", "in parts"])
@pytest.mark.parametrize("last", [True, False], ids=["channels last", "channels first"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_product_is_the_sum_over_images_and_places(monkeypatch, shape, last: bool, room: int):
    monkeypatch.setattr(weight_gradients, "ROOM", room)
    images, inputs, side, outputs, kernel, stride, padding = shape
    x = torch.randn(images, inputs, *side, generator=torch.Generator().manual_seed(0))
    places = [(size + 2 * padding - kernel) // stride + 1 for size in side]
    out = torch.randn(images, outputs, *places, generator=torch.Generator().manual_seed(1))
    wanted = by_hand(out.double().numpy(), x.double().numpy(), kernel, stride, padding)
    if last:
        x, out = (t.to(memory_format=torch.channels_last) for t in (x, out))
    weight = torch.empty(outputs, inputs, kernel, kernel)
    got = weight_gradients.weight_gradient(out, x, weight, [stride] * 2, [padding] * 2)
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-5, atol=1e-5)
    assert got.is_contiguous(memory_format=torch.channels_last)


TRIAL = """
import torch
from memgan.weight_gradients import use_products, weight_gradient
import memgan.weight_gradients as ours

def gradients_along_a_line():
    torch.manual_seed(0)
    layer, x = torch.nn.Conv1d(256, 256, 3, padding=1), torch.randn(8, 256, 512)
    layer(x).square().sum().backward()
    return [p.grad for p in layer.parameters()]

def gradients(inputs, outputs, grouped, bias):
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(inputs, outputs, 3, padding=1, groups=grouped, bias=bias).to(memory_format=torch.channels_last)
    x = torch.randn(4, inputs, 32, 32).to(memory_format=torch.channels_last).requires_grad_()
    layer(x).square().sum().backward()
    once = [x.grad, *(p.grad.clone() for p in layer.parameters())]
    (of_x,) = torch.autograd.grad(layer(x).sin().sum(), x, create_graph=True)  # as R1 does
    of_x.square().sum().backward()
    return once + [p.grad for p in layer.parameters()]

cases = [(64, 128, 1, True), (128, 64, 1, False), (64, 64, 1, True), (128, 128, 2, True)]
before = [gradients(*case) for case in cases] + [gradients_along_a_line()]
used = []
ours.weight_gradient = lambda *given: used.append(given[2].shape) or weight_gradient(*given)
use_products()
after = [gradients(*case) for case in cases] + [gradients_along_a_line()]
for wanted, got in zip(before, after):
    for a, b in zip(wanted, got):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-4 * float(a.abs().max()))
        assert a.stride() == b.stride()
assert set(used) == {(128, 64, 3, 3), (64, 128, 3, 3)}, used
for wanted, got in zip(before[2:], after[2:]):
    assert all(torch.equal(a, b) for a, b in zip(wanted, got)), "torch's own were changed"
"""


def test_a_process_that_uses_products_gets_the_same_gradients_and_keeps_torchs_for_the_rest():
    """In a process of its own, since they stay in use: large convolutions by products; narrow, grouped and one-dimensional ones as
    before; both to the first derivative and through the second, of R1."""
    done = subprocess.run([sys.executable, "-c", TRIAL], env=os.environ | {"PYTHONPATH": "src"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
