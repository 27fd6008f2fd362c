"""Blocks of the generator and the discriminators (SPEC 5, 6).

All are the lineage's (StackGAN++, AttnGAN, ManiGAN `model.py`): 3x3 convolutions without bias, nearest up-sampling, gated linear
units. Tensors are N x C x H x W.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, pad
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

Norm = Literal["batch", "instance", "none"]
AROUND_ONE = 0.2  # size of W(v) - 1 at the start, in that of an orthogonal W(v)


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    """3x3 convolution that keeps the size, without bias."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def norm2d(kind: Norm, channels: int) -> nn.Module:
    """Normalisation of a feature map: BatchNorm (AttnGAN), InstanceNorm (ManiGAN, without affine terms) or none."""
    return {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "none": lambda _: nn.Identity()}[kind](channels)


class UpConv3x3(nn.Conv2d):
    """inputs x H x W -> outputs x 2H x 2W: nearest up-sampling, then a 3x3 convolution without bias, as one transposed convolution.

    After up-sampling, the nine taps of an output pixel fall on 2 x 2 pixels of the input only, so that taps which see the same
    pixel are added up first: 4 multiply-adds an output pixel and pair of channels instead of 9, the same result up to rounding.
    `weight` is that of the 3x3 convolution, outputs x inputs x 3 x 3.
    """

    taps = 4

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: B x inputs x H x W."""
        # Along one axis: up-sampled pixels 2i and 2i + 1 are x_i, so that tap k of a transposed convolution of stride 2, which
        # brings x_i to output pixel 2i - 1 + k, is the sum of the taps 2 - k and 3 - k of the 3x3 convolution, where they exist.
        kernel = pad(self.weight.flip(2, 3), (1, 1, 1, 1))
        kernel = kernel[:, :, 1:] + kernel[:, :, :-1]
        kernel = kernel[..., 1:] + kernel[..., :-1]  # outputs x inputs x 4 x 4
        return conv_transpose2d(x, kernel.transpose(0, 1), stride=2, padding=1)


class GLU(nn.Module):
    """2C x H x W -> C x H x W: the first half of the channels, gated by the sigmoid of the second.

    torch's own takes 1.7 times as long on maps that lie channels last.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x: B x 2C x H x W."""
        kept, gate = x.chunk(2, dim=1)
        return kept * torch.sigmoid(gate)


class UpBlock(nn.Sequential):
    """inputs x H x W -> outputs x 2H x 2W: nearest up-sampling, conv3x3, norm, GLU."""

    def __init__(self, inputs: int, outputs: int, norm: Norm):
        super().__init__(UpConv3x3(inputs, 2 * outputs), norm2d(norm, 2 * outputs), GLU())


class ResidualBlock(nn.Module):
    """x + norm(conv(GLU(norm(conv(x))))), size and channels kept."""

    def __init__(self, channels: int, norm: Norm):
        super().__init__()
        self.body = nn.Sequential(
            conv3x3(channels, 2 * channels),
            norm2d(norm, 2 * channels),
            GLU(),
            conv3x3(channels, channels),
            norm2d(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: B x channels x H x W."""
        return x + self.body(x)


class Affine(NamedTuple):
    """W(v) and b(v), B x channels x H x W: what an image feature makes of a hidden map, whatever caption and noise that is of."""

    scale: Tensor
    shift: Tensor

    def of(self, hidden: Tensor) -> Tensor:
        """hidden: B x channels x H x W. Returns h * W(v) + b(v)."""
        return hidden * self.scale + self.shift


class ACM(nn.Module):
    """Text-image affine combination module: h * W(v) + b(v) (ManiGAN, eq. 1; the paper's section 4.1).

    The image feature v passes one convolution, of which two more give the scale W and the shift b, so that the feature chooses
    where the hidden map of the text is kept and what is added.

    Started like all convolutions, W has a mean of 0 and flips every second number of h, anew at each of the ACMs that h passes.
    With `one`, 1 belongs to W, and `initialise` lets the rest of it start small: at first h passes, and b(v) is added.
    """

    def __init__(self, channels: int, feature: int, inner: int, one: bool = False):
        super().__init__()
        self.one = one
        self.inner = conv3x3(feature, inner)
        self.scale = conv3x3(inner, channels)
        self.shift = conv3x3(inner, channels)

    def forward(self, feature: Tensor) -> Affine:
        """feature: B x feature x H x W."""
        inner = self.inner(feature)
        return Affine(self.scale(inner) + 1 if self.one else self.scale(inner), self.shift(inner))


def down_block(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    """inputs x H x W -> outputs x H/2 x W/2: 4x4 convolution of stride 2, norm, LeakyReLU."""
    conv = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=norm == "none")
    return nn.Sequential(conv, norm2d(norm, outputs), nn.LeakyReLU(0.2))


def same_block(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    """inputs x H x W -> outputs x H x W: conv3x3, norm, LeakyReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=norm == "none")
    return nn.Sequential(conv, norm2d(norm, outputs), nn.LeakyReLU(0.2))


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Orthogonal convolutions and linear layers, BatchNorm N(1, 0.02), biases zero (lineage: `weights_init`); ACMs as they say."""
    for layer in list(network.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            _orthogonal(layer, generator)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.weight.normal_(1.0, 0.02, generator=generator)
        if getattr(layer, "bias", None) is not None:
            layer.bias.zero_()
    for layer in network.modules():
        if isinstance(layer, ACM) and layer.one:
            layer.scale.weight.mul_(AROUND_ONE)


def _orthogonal(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
    """With spectral normalisation `weight` is computed anew at each use, so that it is taken off for a moment."""
    spectral = parametrize.is_parametrized(layer, "weight")
    if spectral:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    nn.init.orthogonal_(layer.weight, generator=generator)
    if spectral:
        with torch.random.fork_rng(devices=[]):  # its power iteration starts from torch's own generator
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            spectral_norm(layer)


def normalise_spectrum(network: nn.Module) -> None:
    """Puts spectral normalisation (Miyato et al. 2018) on every convolution and linear layer."""
    for layer in list(network.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            spectral_norm(layer)
