"""Generator, discriminators and losses against their equations, written out in loops and float64 NumPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memgan.gan.blocks import ACM, initialise
from memgan.gan.discriminator import ContentPyramid, Joint
from memgan.gan.engine import adam
from memgan.gan.losses import discriminator_loss, generator_loss, kl_divergence, r1_penalty
from tests.factory import gan_block, train_block

PRECISION = [(torch.float64, 1e-10), (torch.float32, 1e-4)]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def correlate(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Zero-padded 3x3 cross-correlation, one output pixel at a time. image: C x H x W, kernel: O x C x 3 x 3."""
    channels, height, width = image.shape
    padded = np.zeros((channels, height + 2, width + 2))
    padded[:, 1:-1, 1:-1] = image
    out = np.zeros((len(kernel), height, width))
    for o in range(len(kernel)):
        for y in range(height):
            for x in range(width):
                out[o, y, x] = (padded[:, y : y + 3, x : x + 3] * kernel[o]).sum()
    return out


@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
def test_acm_is_h_times_w_of_v_plus_b_of_v(dtype: torch.dtype, bound: float) -> None:
    random = rng(0)
    hidden, feature = random.normal(size=(2, 5, 4, 6)), random.normal(size=(2, 3, 4, 6))
    acm = ACM(5, 3, 7).to(dtype)
    inner, scale, shift = (p.detach().double().numpy() for p in acm.parameters())
    got = acm(torch.tensor(hidden, dtype=dtype), torch.tensor(feature, dtype=dtype)).detach().double().numpy()
    for b in range(2):
        seen = correlate(feature[b], inner)
        want = hidden[b] * correlate(seen, scale) + correlate(seen, shift)
        assert np.abs(got[b] - want).max() < bound


@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
@pytest.mark.parametrize("pooling", ["avg", "max"])
@settings(max_examples=20)
@given(
    kernel=st.integers(2, 5),
    side=st.sampled_from([8, 16, 32]),
    padded=st.booleans(),
    counted=st.booleans(),
    seed=st.integers(0, 99),
)
def test_content_pyramid(
    pooling: str, dtype: torch.dtype, bound: float, kernel: int, side: int, padded: bool, counted: bool, seed: int
) -> None:
    padding = kernel // 2 if padded or kernel == 2 else (kernel - 1) // 2
    gan = gan_block(content_kernel=kernel, content_padding=padding, count_include_pad=counted)
    image = rng(seed).normal(size=(3, side, side))
    scales = int(math.log2(side // 4))
    got = ContentPyramid(scales, pooling, gan)(torch.tensor(image[None], dtype=dtype))
    assert len(got) == scales
    for level in got:
        image = pool(image, pooling, kernel, padding, counted)
        assert level.shape[1:] == image.shape
        assert np.abs(level[0].double().numpy() - image).max() < bound


def pool(image: np.ndarray, kind: str, kernel: int, padding: int, counted: bool) -> np.ndarray:
    """Pooling of stride 2, one output pixel at a time."""
    side = image.shape[1]
    size = (side + 2 * padding - kernel) // 2 + 1
    out = np.zeros((3, size, size))
    for y in range(size):
        for x in range(size):
            rows = [r for r in range(2 * y - padding, 2 * y - padding + kernel) if 0 <= r < side]
            columns = [c for c in range(2 * x - padding, 2 * x - padding + kernel) if 0 <= c < side]
            window = image[:, rows][:, :, columns]
            count = kernel * kernel if counted else len(rows) * len(columns)
            out[:, y, x] = window.max(axis=(1, 2)) if kind == "max" else window.sum(axis=(1, 2)) / count
    return out


@pytest.mark.parametrize("norm", ["none", "batch", "instance"])
@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
def test_joint_block_is_a_convolution_of_hidden_and_spread_sentence(dtype: torch.dtype, bound: float, norm: str) -> None:
    random = rng(1)
    hidden, sentence = random.normal(size=(3, 5, 4, 4)), random.normal(size=(3, 6))
    block = Joint(5, 6, norm).to(dtype)
    part = block.of_hidden(torch.tensor(hidden, dtype=dtype))
    got = block(part, torch.tensor(sentence, dtype=dtype)).detach().double().numpy()
    kernel = block.conv.weight.detach().double().numpy()
    bias = 0 if block.conv.bias is None else block.conv.bias.detach().double().numpy()[:, None, None]
    spread = [np.concatenate([hidden[b], np.broadcast_to(sentence[b][:, None, None], (6, 4, 4))]) for b in range(3)]
    want = np.stack([correlate(both, kernel) + bias for both in spread])
    if norm != "none":
        axes = (0, 2, 3) if norm == "batch" else (2, 3)
        want = (want - want.mean(axis=axes, keepdims=True)) / np.sqrt(want.var(axis=axes, keepdims=True) + 1e-5)
    want = np.where(want > 0, want, 0.2 * want)
    assert np.abs(got - want).max() < bound


def log_probability(logits: np.ndarray) -> np.ndarray:
    return np.log(1 / (1 + np.exp(-logits)))


def log_complement(logits: np.ndarray) -> np.ndarray:
    return np.log(1 - 1 / (1 + np.exp(-logits)))


@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
@settings(max_examples=30)
@given(batch=st.integers(1, 9), seed=st.integers(0, 999))
def test_adversarial_losses_are_the_probability_form(dtype: torch.dtype, bound: float, batch: int, seed: int) -> None:
    """Eqs. (1) and (3), and the lineage's matching-aware weights."""
    real, real_text, fake, fake_text, wrong = rng(seed).normal(scale=2, size=(5, batch))
    tensors = [torch.tensor(x, dtype=dtype) for x in (real, real_text, fake, fake_text, wrong)]
    eq1 = -0.5 * log_probability(fake).mean() - 0.5 * log_probability(fake_text).mean()
    assert abs(generator_loss(tensors[2], tensors[3]).item() - eq1) < bound
    truth = -0.5 * log_probability(real).mean() - 0.5 * log_probability(real_text).mean()
    eq3 = truth - 0.5 * log_complement(fake).mean() - 0.5 * log_complement(fake_text).mean()
    assert abs(discriminator_loss(*tensors[:4]).item() - eq3) < bound
    lies = log_complement(fake).mean() + log_complement(fake_text).mean() + log_complement(wrong).mean()
    assert abs(discriminator_loss(*tensors).item() - (truth - lies / 3)) < bound


def test_losses_stay_finite_where_probabilities_round_to_zero() -> None:
    certain = torch.full((4,), 200.0)
    assert generator_loss(-certain, -certain).item() == pytest.approx(200)
    assert discriminator_loss(-certain, -certain, certain, certain).item() == pytest.approx(400)


@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
@settings(max_examples=30)
@given(batch=st.integers(1, 5), size=st.integers(1, 7), seed=st.integers(0, 999))
def test_kl_against_the_integral(dtype: torch.dtype, bound: float, batch: int, size: int, seed: int) -> None:
    """KL of two normals from their densities: the integrand's mean on a fine grid, for each element."""
    mean, log_variance = rng(seed).normal(scale=0.7, size=(2, batch, size))
    want = 0.0
    for m, v in zip(mean.ravel(), log_variance.ravel(), strict=True):
        deviation = math.exp(v / 2)
        x = np.linspace(m - 12 * deviation, m + 12 * deviation, 4001)
        log_p = -0.5 * ((x - m) / deviation) ** 2 - math.log(deviation)
        p = np.exp(log_p) / math.sqrt(2 * math.pi)
        want += np.trapezoid(p * (log_p + 0.5 * x**2), x) / mean.size
    got = kl_divergence(torch.tensor(mean, dtype=dtype), torch.tensor(log_variance, dtype=dtype)).item()
    assert abs(got - want) < max(bound, 1e-9)


def test_r1_against_finite_differences() -> None:
    """On a smooth discriminator in float64; the penalty is of the sum of both heads' logits."""
    torch.manual_seed(0)
    body = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(4 * 2 * 2, 2)
    ).double()
    images = torch.randn(3, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    got = r1_penalty(body(images).sum(dim=1), images).item()
    want, step = 0.0, 1e-5
    for b in range(3):
        for index in np.ndindex(3, 4, 4):
            moved = images.detach().clone()
            moved[(b, *index)] += step
            up = body(moved).sum(dim=1)[b].item()
            moved[(b, *index)] -= 2 * step
            want += ((up - body(moved).sum(dim=1)[b].item()) / (2 * step)) ** 2 / 3
    assert abs(got - want) < 1e-5


def test_r1_can_be_descended() -> None:
    layer = torch.nn.Linear(12, 1)
    images = torch.randn(2, 3, 2, 2, requires_grad=True)
    r1_penalty(layer(images.flatten(1)).flatten(), images).backward()
    # D is linear, so the penalty is |w|^2 and its gradient 2 w
    assert torch.allclose(layer.weight.grad, 2 * layer.weight, atol=1e-6)


@settings(max_examples=20)
@given(outputs=st.integers(1, 9), inputs=st.integers(1, 9), kernel=st.sampled_from([1, 3, 4]), seed=st.integers(0, 99))
def test_initialisation_is_orthogonal(outputs: int, inputs: int, kernel: int, seed: int) -> None:
    layer = torch.nn.Conv2d(inputs, outputs, kernel)
    initialise(layer, torch.Generator().manual_seed(seed))
    matrix = layer.weight.detach().double().reshape(outputs, -1).numpy()
    gram = matrix @ matrix.T if outputs <= matrix.shape[1] else matrix.T @ matrix
    assert np.abs(gram - np.eye(len(gram))).max() < 1e-5
    assert layer.bias.abs().max() == 0


def test_adam_is_kingma_and_ba() -> None:
    """The fused optimiser against algorithm 1 of Kingma and Ba in NumPy, with the paper's settings."""
    train = train_block(lr_g=2e-4, beta1=0.5, beta2=0.999)
    layer = torch.nn.Linear(3, 1, bias=False).double()
    optimiser = adam(layer, train.lr_g, train)
    weight, m, v = layer.weight.detach().numpy().copy(), 0.0, 0.0
    for t in range(1, 6):
        gradient = rng(t).normal(size=(1, 3))
        layer.weight.grad = torch.tensor(gradient)
        optimiser.step()
        m, v = 0.5 * m + 0.5 * gradient, 0.999 * v + 0.001 * gradient**2
        weight -= 2e-4 * (m / (1 - 0.5**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        assert np.abs(layer.weight.detach().numpy() - weight).max() < 1e-10
