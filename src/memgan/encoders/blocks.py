"""What the small convolutional encoders of the worlds share."""

from torch import nn


def conv_block(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
    """conv3x3 - BatchNorm - ReLU; `stride` 2 halves the side."""
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outer),
        nn.ReLU(),
    )


def halvings(side: int, target: int) -> int:
    """How often `side` (a power of two) is halved to come down to `target`; 0 if it is not above it."""
    return max(0, (side // target).bit_length() - 1)
