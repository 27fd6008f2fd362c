"""Generator, discriminators and losses against their equations, written out in loops and float64 NumPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memgan.gan.blocks import ACM, initialise, normalise_spectrum
from memgan.gan.discriminator import ContentPyramid, Discriminator, Joint
from memgan.gan.engine import adam
from memgan.gan.generator import Generator
from memgan.gan.losses import discriminator_loss, generator_loss, kl_divergence, r1_penalty
from tests.factory import gan_block, images_block, train_block
from tests.layers import conv, leaky, norm, pooled, weights_of

PRECISION = [(torch.float64, 1e-10), (torch.float32, 1e-4)]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
@settings(max_examples=15)
@given(
    channels=st.integers(1, 5),
    feature=st.integers(1, 4),
    inner=st.integers(1, 7),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    one=st.booleans(),
    seed=st.integers(0, 99),
)
def test_acm_is_h_times_w_of_v_plus_b_of_v(
    dtype: torch.dtype, bound: float, channels: int, feature: int, inner: int, height: int, width: int, one: bool, seed: int
) -> None:
    random = rng(seed)
    hidden, v = random.normal(size=(2, channels, height, width)), random.normal(size=(2, feature, height, width))
    torch.manual_seed(seed)
    acm = ACM(channels, feature, inner, one).to(dtype)
    w = weights_of(acm)
    assert set(w) == {"inner.weight", "scale.weight", "shift.weight"}
    got = acm(torch.tensor(v, dtype=dtype)).of(torch.tensor(hidden, dtype=dtype)).detach().double().numpy()
    seen = conv(v, w["inner.weight"])
    want = hidden * (conv(seen, w["scale.weight"]) + one) + conv(seen, w["shift.weight"])
    assert np.abs(got - want).max() < bound


@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("kernel", range(1, 10))
@settings(max_examples=4)
@given(side=st.sampled_from([8, 16, 32]), counted=st.booleans(), seed=st.integers(0, 99))
def test_content_pyramid(pooling: str, dtype: torch.dtype, bound: float, kernel: int, side: int, counted: bool, seed: int) -> None:
    padding = (kernel - 1) // 2
    gan = gan_block(content_kernel=kernel, content_padding=padding, count_include_pad=counted)
    image = rng(seed).normal(size=(3, side, side))
    scales = int(math.log2(side // 4))
    got = ContentPyramid(scales, pooling, gan)(torch.tensor(image[None], dtype=dtype))
    assert len(got) == scales
    for k, level in enumerate(got, start=1):
        image = pooled(image, pooling, kernel, padding, counted)
        assert level.shape == (1, 3, side >> k, side >> k)
        assert np.abs(level[0].double().numpy() - image).max() < bound


@pytest.mark.parametrize(("kernel", "padding"), [(2, 1), (3, 0), (4, 2), (5, 1)])
def test_a_pooling_that_does_not_halve_is_refused(kernel: int, padding: int) -> None:
    with pytest.raises(ValueError, match=f"content_padding must be {(kernel - 1) // 2} for a content_kernel of {kernel}"):
        gan_block(content_kernel=kernel, content_padding=padding)


@pytest.mark.parametrize("kind", ["none", "batch", "instance"])
@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
@settings(max_examples=6)
@given(width=st.integers(1, 5), dimension=st.integers(1, 6), seed=st.integers(0, 99))
def test_joint_block_is_a_convolution_of_hidden_and_spread_sentence(
    dtype: torch.dtype, bound: float, kind: str, width: int, dimension: int, seed: int
) -> None:
    random = rng(seed)
    hidden, sentence = random.normal(size=(3, width, 4, 4)), random.normal(size=(3, dimension))
    torch.manual_seed(seed)
    block = Joint(width, dimension, kind).to(dtype)
    w = weights_of(block)
    part = block.of_hidden(torch.tensor(hidden, dtype=dtype))
    got = block(part, torch.tensor(sentence, dtype=dtype)).detach().double().numpy()
    spread = np.broadcast_to(sentence[:, :, None, None], (3, dimension, 4, 4))
    want = conv(np.concatenate([hidden, spread], axis=1), w["conv.weight"], w.get("conv.bias"))
    assert np.abs(got - leaky(norm(want, kind, w, "norm", training=True))).max() < bound


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
    """KL of two normals from their densities, by Gauss-Hermite quadrature, which is exact for the integrand's square."""
    mean, log_variance = rng(seed).normal(scale=0.7, size=(2, batch, size))
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)  # of exp(-t^2 / 2)
    want = 0.0
    for m, v in zip(mean.ravel(), log_variance.ravel(), strict=True):
        deviation = math.exp(v / 2)
        for t, weight in zip(nodes, weights / math.sqrt(2 * math.pi), strict=True):
            log_p = -0.5 * t**2 - math.log(deviation)  # at x = m + deviation t; both without the root of 2 pi
            log_q = -0.5 * (m + deviation * t) ** 2
            want += weight * (log_p - log_q) / mean.size
    got = kl_divergence(torch.tensor(mean, dtype=dtype), torch.tensor(log_variance, dtype=dtype)).item()
    assert abs(got - want) < bound


@pytest.mark.parametrize("kind", ["none", "batch", "instance"])
@settings(max_examples=2)
@given(content=st.booleans(), pooling=st.sampled_from(["avg", "max"]), seed=st.integers(0, 99))
def test_r1_against_finite_differences(kind: str, content: bool, pooling: str, seed: int) -> None:
    """Of a discriminator, both heads: E ||d (D(x) + D(x, S)) / d x||^2, each derivative from two values (through BatchNorm the
    logits of a batch belong together, and it is their sum that is differentiated)."""
    torch.manual_seed(seed)
    network = Discriminator(8, gan_block(ndf=2, d_norm=kind, content=content), pooling, 4).double()
    images, sentence = torch.randn(2, 3, 8, 8, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)

    def logits(x: torch.Tensor) -> torch.Tensor:
        seen = network.see(x)
        return network.judge(seen) + network.judge_with(seen, sentence.repeat(len(x) // 2, 1))

    real = images.clone().requires_grad_()
    got = r1_penalty(logits(real), real).item()
    step, places = 1e-6, images.numel()
    changes = step * torch.eye(places, dtype=torch.float64).view(places, *images.shape)
    moved = torch.cat([images + changes, images - changes])  # 2 n x 2 x 3 x 8 x 8
    with torch.no_grad():
        values = [logits(x) for x in moved] if kind == "batch" else logits(moved.flatten(0, 1)).view(-1, 2)
        up, down = torch.stack([x.sum() for x in values]).chunk(2)
    want = float((((up - down) / (2 * step)) ** 2).sum()) / 2
    assert abs(got - want) < 1e-5


def test_r1_can_be_descended() -> None:
    layer = torch.nn.Linear(12, 1)
    images = torch.randn(2, 3, 2, 2, requires_grad=True)
    r1_penalty(layer(images.flatten(1)).flatten(), images).backward()
    # D is linear, so the penalty is |w|^2 and its gradient 2 w
    assert torch.allclose(layer.weight.grad, 2 * layer.weight, atol=1e-6)


@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
@pytest.mark.parametrize("spectral", [False, True])
@settings(max_examples=10)
@given(outputs=st.integers(1, 9), inputs=st.integers(1, 9), kernel=st.sampled_from([0, 1, 3, 4]), seed=st.integers(0, 99))
def test_initialisation_is_orthogonal(
    dtype: torch.dtype, bound: float, spectral: bool, outputs: int, inputs: int, kernel: int, seed: int
) -> None:
    """Rows, or columns where there are fewer of them, are orthonormal; so the spectral norm is 1 from the first step on."""
    layer = torch.nn.Conv2d(inputs, outputs, kernel) if kernel else torch.nn.Linear(inputs, outputs)
    layer.to(dtype)
    if spectral:
        normalise_spectrum(layer)
    initialise(layer, torch.Generator().manual_seed(seed))
    matrix = layer.eval().weight.detach().double().reshape(outputs, -1).numpy()
    gram = matrix @ matrix.T if outputs <= matrix.shape[1] else matrix.T @ matrix
    assert np.abs(gram - np.eye(len(gram))).max() < bound
    assert layer.bias.abs().max() == 0


def test_initialisation_of_norms_and_of_whole_networks() -> None:
    """BatchNorm N(1, 0.02), biases 0, and nothing that depends on another source of random numbers than the one given."""
    made = []
    for chance in (0, 1):
        torch.manual_seed(chance)
        gan = gan_block(ngf=4, ndf=4, spectral_norm=True)
        networks = Generator(gan, images_block(size=32, short_side=32), 6, 5), Discriminator(32, gan, "avg", 6)
        for network in networks:
            initialise(network, torch.Generator().manual_seed(7))
        made.append([tensor for network in networks for tensor in network.state_dict().values()])
        for layer in (layer for network in networks for layer in network.modules()):
            if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                assert 0 < (layer.weight - 1).abs().max() < 0.1
            if getattr(layer, "bias", None) is not None:
                assert layer.bias.abs().max() == 0
        scales = torch.cat([x.weight.detach() for x in networks[0].modules() if isinstance(x, torch.nn.BatchNorm1d)])
        assert abs(float(scales.std()) - 0.02) < 0.003
    assert all(torch.equal(a, b) for a, b in zip(*made, strict=True))


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
