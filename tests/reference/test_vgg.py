"""v against VGG's definition (Simonyan and Zisserman 2015, configuration D) written out in float64 NumPy loops."""

import numpy as np
import pytest
import torch

from memgan.encoders.feature_network import FeatureNetwork
from tests.factory import features_block, images_block

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for channels in [0, 1]
CONFIGURATION_D = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)  # up to relu5_3

PRECISION = [(torch.float64, 1e-10), (torch.float32, 1e-4)]


def conv_relu(image: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """3x3, stride 1, zero padding 1, then ReLU: C x H x W -> O x H x W, one place of the kernel at a time."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    out = np.tile(bias[:, None, None], (1, height, width))
    for dy in range(3):
        for dx in range(3):
            out += np.tensordot(weight[:, :, dy, dx], padded[:, dy : dy + height, dx : dx + width], axes=1)
    return np.maximum(out, 0)


def halved(image: np.ndarray) -> np.ndarray:
    """The largest of each 2 x 2."""
    _, height, width = image.shape
    out = np.empty((len(image), height // 2, width // 2))
    for y in range(height // 2):
        for x in range(width // 2):
            out[:, y, x] = image[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].max(axis=(1, 2))
    return out


def run(image: np.ndarray, plan, weights: dict[str, np.ndarray]) -> np.ndarray:
    """The plan's layers (a width: conv-ReLU, or conv-norm-ReLU; M: pooling), numbered as torchvision numbers `features`."""
    number = 0
    for step in plan:
        if step == "M":
            image, number = halved(image), number + 1
            continue
        layer, norm = f"layers.{number}", f"layers.{number + 1}"
        weight, bias = weights[f"{layer}.weight"], weights.get(f"{layer}.bias")
        assert len(weight) == step
        if bias is None:  # batch normalisation with known statistics is a scale and a shift of each channel
            scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + 1e-5)
            weight, bias = weight * scale[:, None, None, None], weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
            number += 1
        image, number = conv_relu(image, weight, bias), number + 2
    return image


def shown(images: torch.Tensor, normalise: str) -> np.ndarray:
    """What the first convolution sees of images in [-1, 1]."""
    images = images.double().numpy()
    if normalise == "none":
        return images
    out = np.empty_like(images)
    for channel in range(3):
        out[:, channel] = ((images[:, channel] + 1) / 2 - MEAN[channel]) / STD[channel]
    return out


def spread(network: FeatureNetwork) -> dict[str, np.ndarray]:
    """Gives every layer weights and statistics that keep the signal alive, and returns them in float64."""
    torch.manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.dim() == 4:
            torch.nn.init.kaiming_normal_(tensor)
        elif name.endswith(("weight", "running_var")):
            torch.nn.init.uniform_(tensor, 0.5, 1.5)
        elif tensor.is_floating_point():
            torch.nn.init.normal_(tensor, std=0.1)
    return {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}


@pytest.fixture(scope="module")
def large() -> tuple[FeatureNetwork, dict[str, np.ndarray]]:
    network = FeatureNetwork(features_block(network="vgg16", channels=512), images_block(size=64, short_side=76))
    return network, spread(network)


def test_relu5_3_of_vgg16(large):
    network, weights = large
    torch.manual_seed(1)
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    expected = run(shown(images, "imagenet")[0], CONFIGURATION_D, weights)
    for dtype, bound in reversed(PRECISION):
        with torch.no_grad():
            v = network.to(dtype)(images.to(dtype))
        assert v.shape == (1, 512, 4, 4)
        np.testing.assert_allclose(v[0], expected, atol=bound * expected.max(), rtol=0)
        assert v.min() == 0  # after the ReLU
        assert 0.1 < float((v > 0).double().mean()) < 0.9
    network.float()


def test_the_paper_s_size():
    with torch.device("meta"):
        network = FeatureNetwork(features_block(network="vgg16", channels=512), images_block(size=256, short_side=304))
        assert network(torch.empty(2, 3, 256, 256)).shape == (2, 512, 16, 16)


def test_small_images_are_enlarged_for_vgg16(large):
    """At 32 px relu5_3 would be 2 x 2; SPEC 2 wants at least 4 x 4."""
    network, _ = large
    with torch.no_grad():
        v, wide = (network(torch.full((1, 3, side, side), 0.25)) for side in (32, 64))
    assert v.shape == (1, 512, 4, 4)
    torch.testing.assert_close(v, wide)


@pytest.mark.parametrize("normalise", ["imagenet", "none"])
@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
@pytest.mark.parametrize(("size", "plan"), [(8, (6, 6, "M", 12, 12)), (32, (6, 6, "M", 12, 12, "M", 20, 20, "M", 20, 20))])
def test_the_small_network(normalise, dtype, bound, size, plan):
    channels = plan[-1]
    params = features_block(network="small", width=6, channels=channels, normalise=normalise)
    network = FeatureNetwork(params, images_block(size=size, short_side=size)).eval()
    weights = spread(network)
    images = torch.rand(2, 3, size, size) * 2 - 1
    expected = np.stack([run(image, plan, weights) for image in shown(images, normalise)])
    with torch.no_grad():
        v = network.to(dtype)(images.to(dtype))
    assert v.shape == (2, channels, 4, 4)
    np.testing.assert_allclose(v, expected, atol=bound * expected.max(), rtol=0)
    assert v.min() == 0
