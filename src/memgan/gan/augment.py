"""Differentiable augmentation of what the discriminators see (Zhao et al. 2020, DiffAugment): off in the paper's preset.

Colour, translation and cut-out are applied to real and generated images alike, and gradients flow through them to the generator.
Random numbers come from the caller's generator: the same step draws the same ones after a resume.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Chance(NamedTuple):
    """Random numbers for `count` images, of which the caller holds those of `part`: all of them, or a process' share."""

    generator: torch.Generator
    count: int
    part: slice = slice(None)

    def uniform(self, numbers: int) -> Tensor:
        """Numbers in [0, 1) for each image: numbers x B x 1 x 1 x 1."""
        return torch.rand(numbers, self.count, 1, 1, 1, generator=self.generator)[:, self.part]

    def whole(self, low: int, high: int) -> Tensor:
        """Two whole numbers, low <= n < high, for each image: 2 x B x 1."""
        return torch.randint(low, high, (2, self.count, 1), generator=self.generator)[:, self.part]


def augment(images: Tensor, chance: Chance) -> Tensor:
    """images: B x 3 x p x p in [-1, 1]. Brightness +-0.5, saturation 0-2, contrast 0.5-1.5, shift by up to p / 8, cut-out p / 2."""
    return cut_out(translate(colour(images, chance), chance), chance)


def colour(images: Tensor, chance: Chance) -> Tensor:
    """Random brightness, saturation and contrast, each image its own."""
    brightness, saturation, contrast = chance.uniform(3).to(images)
    images = images + brightness - 0.5
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (2 * saturation) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + 0.5) + mean


def translate(images: Tensor, chance: Chance, share: float = 0.125) -> Tensor:
    """Shifts each image by whole pixels, up to `share` of its side in each direction; what comes in is 0, the middle grey."""
    side = images.shape[-1]
    reach = round(side * share)
    places = chance.whole(0, 2 * reach + 1).flatten(1).tolist()  # top and left of each window in the padded image
    padded = torch.nn.functional.pad(images, (reach, reach, reach, reach))
    return torch.stack([image[:, y : y + side, x : x + side] for image, y, x in zip(padded, *places, strict=True)])


def cut_out(images: Tensor, chance: Chance, share: float = 0.5) -> Tensor:
    """Blanks a square of `share` of the side, anywhere, over the edges too."""
    side = images.shape[-1]
    size = round(side * share)
    corner = chance.whole(0, side + (1 - size % 2)) - size // 2
    inside = (torch.arange(side)[None] >= corner) & (torch.arange(side)[None] < corner + size)  # 2 x B x p
    hole = inside[0, :, :, None] & inside[1, :, None, :]  # B x p x p
    return images * ~hole[:, None].to(images.device)
