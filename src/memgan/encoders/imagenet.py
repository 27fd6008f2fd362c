"""Networks trained on ImageNet: where their published weights come from, and their input.

Weights are looked for in torch's own cache ($TORCH_HOME/hub/checkpoints), downloaded there if they are missing, and checked
against the head of the sha256 that is part of their name (SPEC 10) each time they are used.
"""

import pickle
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import Inception_V3_Weights, VGG16_Weights

from memgan import artifacts
from memgan.errors import InputError

URLS = {  # https://.../<name>-<head of the sha256>.pth
    "vgg16": VGG16_Weights.IMAGENET1K_V1.url,
    "inception_v3": Inception_V3_Weights.IMAGENET1K_V1.url,
}
MEAN = (0.485, 0.456, 0.406)  # of ImageNet's images in [0, 1], red, green, blue
STD = (0.229, 0.224, 0.225)


def imagenet_weights(network: str) -> dict[str, Tensor]:
    """State dict of torchvision's `network` (a key of URLS).

    Raises InputError if the file can't be had, is not the published one or can't be read.
    """
    url = URLS[network]
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    head = path.stem.rpartition("-")[2]
    if not path.is_file():
        _download(url, path)
    if not artifacts.sha256(path).startswith(head):
        raise InputError(f"{path}: damaged (its sha256 does not begin with {head}); delete it, it is fetched again from {url}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(f"{path}: holds more than tensors, which is not run; delete it") from None


def _download(url: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with artifacts.atomic_file(path) as temporary:
            torch.hub.download_url_to_file(url, str(temporary), progress=False)
    except OSError as fault:
        raise InputError(f"{path}: not there, and {url} could not be fetched ({fault}); put the file there by hand") from None


def normalised(images: Tensor) -> Tensor:
    """Images [B, 3, H, W] in [-1, 1] -> ImageNet's mean 0 and standard deviation 1 a channel."""
    mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((images + 1) / 2 - mean) / std
