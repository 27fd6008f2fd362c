"""Gradients of whole networks against finite differences: nothing on the way is detached, nor for the second derivative of R1."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

from memgan.gan.discriminator import Discriminator
from memgan.gan.generator import Generator, Inputs
from tests.factory import gan_block, images_block

D, C, B = 3, 4, 3
SMALL = {"stages": 2, "ngf": 1, "ndf": 1, "z": 2, "condition": 2, "acm_width": 2, "residual_blocks": 1}


class Judge(nn.Module):
    """Both heads of a discriminator as one function."""

    def __init__(self, network: Discriminator):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, sentence: Tensor) -> Tensor:
        seen = self.network.see(images)
        return torch.stack([self.network.judge(seen), self.network.judge_with(seen, sentence)])


class Painter(nn.Module):
    """All outputs of a generator as one function of its inputs."""

    def __init__(self, network: Generator):
        super().__init__()
        self.network = network

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        made = self.network(Inputs(*given))
        return (*made.images, made.mean, made.log_variance)


def of_everything(network: nn.Module, *given: Tensor) -> tuple[Callable[..., Any], list[Tensor]]:
    """The network as a function of its parameters and inputs, and those; every one of them gets a gradient."""
    names = [name for name, _ in network.named_parameters()]
    values = [p.detach().clone() for p in network.parameters()] + list(given)

    def run(*tensors: Tensor) -> Any:
        return functional_call(network, dict(zip(names, tensors, strict=False)), tensors[len(names) :])

    return run, [value.requires_grad_() for value in values]


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("content", [True, False])
def test_discriminator(norm: str, content: bool) -> None:
    torch.manual_seed(1)
    network = Judge(Discriminator(8, gan_block(**SMALL, d_norm=norm, content=content), "avg", D).double())
    images, sentence = torch.randn(B, 3, 8, 8, dtype=torch.float64), torch.randn(B, D, dtype=torch.float64)
    run, values = of_everything(network, images, sentence)
    assert gradcheck(run, values, fast_mode=True)
    assert gradgradcheck(run, values, fast_mode=True)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("image_features", [True, False])
def test_generator(norm: str, image_features: bool) -> None:
    torch.manual_seed(1)
    gan = gan_block(**SMALL, norm=norm, image_features=image_features)
    network = Painter(Generator(gan, images_block(size=16, short_side=16), D, C).double())
    shapes = (D,), (D,), (SMALL["z"],), (SMALL["condition"],), (C, 4, 4)
    run, values = of_everything(network, *(torch.randn(B, *shape, dtype=torch.float64) for shape in shapes))
    assert gradcheck(run, values, fast_mode=True)
