"""Networks trained on ImageNet: their published weights (`memgan.encoders.published`), and their input."""

import pickle

import torch
from torch import Tensor

from memgan.encoders.published import weights_file
from memgan.errors import InputError

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's images in [0, 1], red, green, blue
STD = (0.229, 0.224, 0.225)


def imagenet_weights(network: str) -> dict[str, Tensor]:
    """State dict of torchvision's `network`, `vgg16` or `inception_v3`.

    Raises InputError if the file can't be had, is not the published one or can't be read.
    """
    path = weights_file(network)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(f"{path}: holds more than tensors, which is not run; delete it") from None


def normalised(images: Tensor) -> Tensor:
    """Images [B, 3, H, W] in [-1, 1] -> ImageNet's mean 0 and standard deviation 1 a channel."""
    mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((images + 1) / 2 - mean) / std
