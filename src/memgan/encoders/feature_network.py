"""The network that gives v (SPEC 2): VGG-16 up to relu5_3, or a small network of its kind; `memgan.encoders.vgg` makes its weights.

Apart from its training, so that a step which uses it depends neither on it nor on the download of ImageNet's weights.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memgan.device import placed
from memgan.encoders import fit
from memgan.encoders.blocks import halvings
from memgan.params.data import Images
from memgan.params.encoders import Features

STEP = "memgan.encoders.vgg"  # which trains it
SHAPE = ("network", "channels", "width", "normalise")  # entries that v depends on
RELU5_3 = 29  # its index in torchvision's vgg16().features
STRIDE = 16  # pixels a side of one position of relu5_3
MEAN = (0.485, 0.456, 0.406)  # of ImageNet's images in [0, 1], red, green, blue
STD = (0.229, 0.224, 0.225)


class FeatureNetwork(nn.Module):
    """Images in [-1, 1] -> v, after a ReLU. Input is normalised as `features.normalise` says."""

    def __init__(self, params: Features, images: Images):
        super().__init__()
        self.side, self.imagenet, self.large = images.feature_side, params.normalise == "imagenet", params.network == "vgg16"
        self.layers = vgg16_layers() if self.large else small_layers(params, images)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, size, size] in [-1, 1] -> v [B, C, h, h], h = images.feature_side.

        VGG-16 takes 16 px for a position of v; images so small that h would be below 4 are enlarged for it first.
        """
        if self.large and images.shape[-1] != self.side * STRIDE:
            images = F.interpolate(images, (self.side * STRIDE,) * 2, mode="bilinear", align_corners=False)
        return self.layers(normalised(images) if self.imagenet else images)


def normalised(images: Tensor) -> Tensor:
    """Images [B, 3, H, W] in [-1, 1] -> ImageNet's mean 0 and standard deviation 1 a channel."""
    mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((images + 1) / 2 - mean) / std


def vgg16_layers() -> nn.Sequential:
    """VGG-16 from its input to relu5_3, with torchvision's numbering; the weights are not yet ImageNet's."""
    from torchvision.models import vgg16  # here, since it takes as long to import as all of torch, and worlds do without

    return vgg16(weights=None, init_weights=False).features[: RELU5_3 + 1]


def small_layers(params: Features, images: Images) -> nn.Sequential:
    """VGG's plan on a small scale: pairs of conv3x3-ReLU, max-pooling between them, the width doubling up to `channels`.

    With batch normalisation before each ReLU, as in torchvision's `vgg16_bn`: in the few minutes that it is trained for, it learns
    little without. On birdworld the words' loss falls from 45.6 to 36.9 in four epochs, and to 42.1 without.
    As many poolings as bring `images.size` down to `images.feature_side`; the last pair is `channels` wide. Weights He-normal.
    """
    pools = halvings(images.size, images.feature_side)
    widths = [min(params.width * 2**i, params.channels) for i in range(pools)] + [params.channels]
    layers, inner = [], 3
    for stage, width in enumerate(widths):
        layers += [nn.MaxPool2d(2)] if stage else []
        for _ in range(2):
            layers += [nn.Conv2d(inner, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            nn.init.kaiming_normal_(layers[-3].weight, nonlinearity="relu")
            inner = width
    return nn.Sequential(*layers)


def load_vgg(path: Path, params: Features, images: Images) -> FeatureNetwork:
    """The network in eval mode, without gradients on its parameters. Raises InputError if the file belongs to other parameters."""
    expected = {f"features.{name}": getattr(params, name) for name in SHAPE} | {"images.size": images.size}
    tensors, _ = fit.read_network(path, STEP, expected)
    network = FeatureNetwork(params, images)
    network.load_state_dict(tensors)
    return placed(network).eval().requires_grad_(False)
