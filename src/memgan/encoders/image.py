"""Image encoder of DAMSM (SPEC 7; Xu et al. 2018, AttnGAN, section 3.2): regions and a global vector in the space of the text."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memgan.encoders.blocks import conv_block, halvings
from memgan.params.encoders import Damsm

INCEPTION_SIDE = 299


class SmallTrunk(nn.Module):
    """A convolutional network for small images, trained from scratch [ours]: regions on a 4 x 4 grid, the rest from an 8 x 8 one.

    The global vector reads the 8 x 8 grid cell by cell instead of its mean: a few thousand images are too few to learn again that
    where a colour is tells which part it belongs to.
    """

    GRID = 8

    def __init__(self, width: int, size: int):
        super().__init__()
        widths = [3, *(width * min(2**i, 4) for i in range(halvings(size, self.GRID)))]
        self.channels = (widths[-1] * 2, widths[-1] * self.GRID**2)
        self.body = nn.Sequential(*(conv_block(a, b, stride=2) for a, b in pairwise(widths)), conv_block(widths[-1], widths[-1]))
        self.regional = nn.Sequential(conv_block(widths[-1], widths[-1] * 2, stride=2))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, 3, size, size] -> regional [B, C1, 4, 4] and the whole grid [B, C2]."""
        grid = self.body(images)
        return self.regional(grid), grid.flatten(1)  # [B, C, 8, 8] -> [B, C * 64]


class InceptionTrunk(nn.Module):
    """Inception-v3 up to its pooled features: 768 x 17 x 17 after Mixed_6e, 2048 after Mixed_7c [lineage: AttnGAN].

    It takes images in [-1, 1], the range that its weights were trained with, resized to 299 px. Frozen, and always in eval mode.
    """

    channels = (768, 2048)

    def __init__(self):
        super().__init__()
        from torchvision.models import inception_v3  # here, since it takes as long to import as all of torch

        whole = inception_v3(weights=None, init_weights=False, aux_logits=True)
        layers = {name: layer for name, layer in whole.named_children() if name not in ("AuxLogits", "avgpool", "dropout", "fc")}
        cut = list(layers).index("Mixed_6e") + 1
        self.below, self.above = list(layers)[:cut], list(layers)[cut:]
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "InceptionTrunk":
        """Stays in eval mode: statistics of ImageNet, not of the batch."""
        return super().train(False)

    def load_imagenet(self, weights: dict[str, Tensor]) -> None:
        """Takes torchvision's state dict; classifier and auxiliary head are left out."""
        self.load_state_dict({name: weights[name] for name in self.state_dict()})

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, 3, H, W] in [-1, 1] -> [B, 768, 17, 17] and [B, 2048]."""
        x = F.interpolate(images, (INCEPTION_SIDE, INCEPTION_SIDE), mode="bilinear", align_corners=False)
        for name in self.below:
            x = getattr(self, name)(x)
        regional = x
        for name in self.above:
            x = getattr(self, name)(x)
        return regional, x.mean(dim=(2, 3))


class ImageEncoder(nn.Module):
    """A trunk, then a 1x1 convolution of its regions and a linear map of its pooled features into D [lineage: CNN_ENCODER]."""

    def __init__(self, params: Damsm, size: int):
        super().__init__()
        self.trunk = InceptionTrunk() if params.image_encoder == "inception_v3" else SmallTrunk(params.width, size)
        regional, pooled = self.trunk.channels
        self.regions = nn.Conv2d(regional, params.dimension, 1, bias=False)
        self.globals = nn.Linear(pooled, params.dimension)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, 3, size, size] in [-1, 1] -> regions [B, D, h, w] and global [B, D]."""
        regional, pooled = self.trunk(images)
        return self.regions(regional), self.globals(pooled)
