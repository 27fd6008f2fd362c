"""Layers of networks in float64 NumPy, from their definitions: what the reference tests build whole networks of.

Arrays are B x C x H x W. Weights come by the names of a state dict.
"""

from typing import Any, Literal

import numpy as np
import torch

Norm = Literal["batch", "instance", "none"]
EPS, MOMENTUM = 1e-5, 0.1  # of Ioffe and Szegedy's batch normalisation as every lineage's code has it


class Weights(dict[str, np.ndarray]):
    """Tensors by name, which remember whether they were used."""

    def __init__(self, tensors: dict[str, np.ndarray]):
        super().__init__(tensors)
        self.unused = {name for name in tensors if not name.endswith("num_batches_tracked")}

    def __getitem__(self, name: str) -> np.ndarray:
        self.unused.discard(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.unused.discard(name)
        return super().get(name, default)


def weights_of(network: torch.nn.Module) -> Weights:
    """Parameters and running statistics as they are now."""
    return Weights({name: tensor.detach().double().numpy().copy() for name, tensor in network.state_dict().items()})


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None, stride: int = 1, padding: int = 1) -> np.ndarray:
    """Cross-correlation with zero padding; weight: O x C x k x k. One tap of the kernel at a time."""
    kernel = weight.shape[2]
    side = [(size + 2 * padding - kernel) // stride + 1 for size in x.shape[2:]]
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    out = np.zeros((len(x), len(weight), *side))
    for dy in range(kernel):
        for dx in range(kernel):
            tap = padded[:, :, dy : dy + stride * side[0] : stride, dx : dx + stride * side[1] : stride]
            out += np.einsum("bchw,oc->bohw", tap[:, :, : side[0], : side[1]], weight[:, :, dy, dx])
    return out if bias is None else out + bias[:, None, None]


def linear(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)


def glu(x: np.ndarray) -> np.ndarray:
    """Dauphin et al. 2017: the first half of the channels, gated by the sigmoid of the second."""
    half = x.shape[1] // 2
    return x[:, :half] * sigmoid(x[:, half:])


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x)


def upsampled(x: np.ndarray) -> np.ndarray:
    """Nearest neighbours, twice the side."""
    return x.repeat(2, axis=2).repeat(2, axis=3)


def norm(x: np.ndarray, kind: Norm, w: Weights, name: str, training: bool) -> np.ndarray:
    """Batch (B x C or B x C x H x W) or instance normalisation. In training, `w` gets the running statistics that follow."""
    if kind == "none":
        return x
    if kind == "instance":
        return (x - x.mean(axis=(2, 3), keepdims=True)) / np.sqrt(x.var(axis=(2, 3), keepdims=True) + EPS)
    axes, shape = (0, *range(2, x.ndim)), (-1, *[1] * (x.ndim - 2))
    if training:
        mean, variance, count = x.mean(axis=axes), x.var(axis=axes), x.size // x.shape[1]
        unbiased = variance * count / (count - 1)
        for statistic, value in (("running_mean", mean), ("running_var", unbiased)):
            w[f"{name}.{statistic}"] = (1 - MOMENTUM) * w[f"{name}.{statistic}"] + MOMENTUM * value
    else:
        mean, variance = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    scaled = (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + EPS)
    return scaled * w[f"{name}.weight"].reshape(shape) + w[f"{name}.bias"].reshape(shape)


def pooled(image: np.ndarray, kind: str, kernel: int, padding: int, counted: bool) -> np.ndarray:
    """Pooling of stride 2, one output pixel at a time; image: ... x S x S. `counted`: padding is part of an average."""
    side = image.shape[-1]
    size = (side + 2 * padding - kernel) // 2 + 1
    out = np.zeros((*image.shape[:-2], size, size))
    for y in range(size):
        for x in range(size):
            rows = [r for r in range(2 * y - padding, 2 * y - padding + kernel) if 0 <= r < side]
            columns = [c for c in range(2 * x - padding, 2 * x - padding + kernel) if 0 <= c < side]
            window = image[..., rows, :][..., columns]
            count = kernel * kernel if counted else len(rows) * len(columns)
            out[..., y, x] = window.max(axis=(-2, -1)) if kind == "max" else window.sum(axis=(-2, -1)) / count
    return out


def lstm(x: np.ndarray, w: dict[str, np.ndarray], suffix: str) -> np.ndarray:
    """Hochreiter and Schmidhuber's LSTM with forget gates over one sequence, T x E -> T x H; gates in the order i, f, g, o."""
    hidden = w[f"weight_hh_{suffix}"].shape[1]
    h, c, out = np.zeros(hidden), np.zeros(hidden), []
    for step in x:
        gates = w[f"weight_ih_{suffix}"] @ step + w[f"bias_ih_{suffix}"] + w[f"weight_hh_{suffix}"] @ h + w[f"bias_hh_{suffix}"]
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.array(out)
