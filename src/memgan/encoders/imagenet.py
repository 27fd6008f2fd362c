"""Networks trained on ImageNet: their published weights, read with care."""

import pickle

import torch
from torch import Tensor

from memgan.encoders.published import weights_file
from memgan.errors import InputError


def imagenet_weights(network: str) -> dict[str, Tensor]:
    """State dict of torchvision's `network`, `vgg16` or `inception_v3`.

    Raises InputError if the file can't be had, is not the published one or can't be read.
    """
    path = weights_file(network)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(f"{path}: holds more than tensors, which is not run; delete it") from None
