"""The generator's first layer in blocks, against the sums by hand and torch's own layer."""

import pytest
import torch

from memgan.gan import wide_linear
from memgan.gan.wide_linear import WideLinear


def layers(outputs: int, dtype: torch.dtype = torch.float32) -> tuple[WideLinear, torch.nn.Linear]:
    """Ours and torch's, with the same weights."""
    torch.manual_seed(0)
    ours, torchs = WideLinear(5, outputs).to(dtype), torch.nn.Linear(5, outputs, bias=False).to(dtype)
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


@pytest.mark.parametrize("outputs", [1, 96, 256, 1000, 1024])
def test_outputs_and_gradients_are_the_sums_by_hand(outputs: int) -> None:
    layer, _ = layers(outputs, torch.float64)
    x, slope = torch.randn(3, 5, dtype=torch.float64, requires_grad=True), torch.randn(3, outputs, dtype=torch.float64)
    made = layer(x)
    made.backward(slope)
    weight = layer.weight.detach()
    for b in range(3):
        assert (made[b] - (weight * x[b]).sum(dim=1)).abs().max() < 1e-14
        assert (x.grad[b] - (weight * slope[b][:, None]).sum(dim=0)).abs().max() < 1e-12
    assert (layer.weight.grad - sum(torch.outer(slope[b], x[b].detach()) for b in range(3))).abs().max() < 1e-14
    assert layer.weight.grad.is_contiguous()


@pytest.mark.parametrize("outputs", [512, 640])
def test_it_is_torchs_layer_within_rounding(monkeypatch: pytest.MonkeyPatch, outputs: int) -> None:
    monkeypatch.setattr(wide_linear, "ROWS", 128)
    found = []
    for layer in layers(outputs):
        x = torch.linspace(-1, 1, 15).view(3, 5).requires_grad_()
        made = layer(x)
        made.square().sum().backward()
        found.append([made.detach(), x.grad, layer.weight.grad])
    for ours, torchs in zip(*found, strict=True):
        torch.testing.assert_close(ours, torchs)


def test_what_nobody_asks_for_is_not_computed() -> None:
    layer, _ = layers(256)
    x = torch.randn(3, 5)
    layer(x).sum().backward()
    assert layer.weight.grad is not None and x.grad is None
    layer.requires_grad_(False).zero_grad(set_to_none=True)
    layer(x.requires_grad_()).sum().backward()
    assert layer.weight.grad is None and x.grad is not None
    with pytest.raises(RuntimeError, match="once_differentiable"):
        (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        slope.sum().backward()


def test_lower_precision_is_torchs() -> None:
    ours, torchs = layers(256)
    with torch.autocast("cpu", torch.bfloat16):
        x = torch.randn(3, 5)
        found, wanted = ours(x), torchs(x)
    assert found.dtype == wanted.dtype == torch.bfloat16
    assert torch.equal(found, wanted)
