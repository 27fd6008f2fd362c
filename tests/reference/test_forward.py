"""Whole networks against SPEC 5, 6 and 7, built a second time from the layers of tests/layers.py in float64 NumPy."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memgan.encoders.image import ImageEncoder
from memgan.encoders.text import TextEncoder
from memgan.encoders.vocabulary import Vocabulary
from memgan.gan.blocks import initialise
from memgan.gan.discriminator import Discriminator
from memgan.gan.generator import Generator, Inputs
from memgan.gan.texts import TextReader
from memgan.gan.whitening import Whitening
from tests.factory import damsm_block, gan_block, images_block
from tests.layers import Weights, conv, glu, leaky, linear, lstm, norm, pooled, upsampled, weights_of

PRECISION = [(torch.float64, 1e-10), (torch.float32, 1e-4)]
D, C, Z, CONDITION = 5, 6, 7, 4
BOTH = st.booleans()


def close(got: torch.Tensor, want: np.ndarray, bound: float) -> None:
    """To `bound`, or to that share of a value above 1."""
    np.testing.assert_allclose(got.detach().double().numpy(), want, rtol=bound, atol=bound)


# ---------------------------------------------------------------- generator


def up_block(x: np.ndarray, w: Weights, name: str, kind: str, training: bool) -> np.ndarray:
    return glu(norm(conv(upsampled(x), w[f"{name}.0.weight"]), kind, w, f"{name}.1", training))


def residual(x: np.ndarray, w: Weights, name: str, kind: str, training: bool) -> np.ndarray:
    inner = glu(norm(conv(x, w[f"{name}.0.weight"]), kind, w, f"{name}.1", training))
    return x + norm(conv(inner, w[f"{name}.3.weight"]), kind, w, f"{name}.4", training)


def combined(hidden: np.ndarray, feature: np.ndarray, w: Weights, name: str, start: float) -> np.ndarray:
    """h * W(v) + b(v); `start` is a constant part of W."""
    seen = conv(feature, w[f"{name}.inner.weight"])
    return hidden * (conv(seen, w[f"{name}.scale.weight"]) + start) + conv(seen, w[f"{name}.shift.weight"])


def generated(given: Inputs, w: Weights, gan: Any, sides: list[int], training: bool) -> tuple[list[np.ndarray], ...]:
    """Images of all stages, mu and log sigma^2."""
    s, words, z, jitter, v = (x.double().numpy() for x in given)
    ups = int(np.log2(sides[0] // 4))
    if gan.whiten:
        s = (s - w["sentence.mean"]) @ w["sentence.matrix"]
        words = (words - w["words.mean"]) @ w["words.matrix"] if gan.text == "both" else words
    mean, log_variance = np.split(glu(linear(s, w, "augmentation.linear.0")), 2, axis=1)
    parts = [mean + jitter * np.sqrt(np.exp(log_variance)), z]
    parts += [words] if gan.text == "both" else []
    parts += [v.reshape(len(v), C, -1).mean(axis=2)] if gan.global_feature else []  # v_G
    hidden = glu(norm(linear(np.concatenate(parts, axis=1), w, "first.linear"), "batch", w, "first.norm", training))
    hidden = hidden.reshape(len(v), 16 * gan.ngf, 4, 4)
    for k in range(ups):
        hidden = up_block(hidden, w, f"first.ups.{k}", gan.norm, training)
    images, feature, start = [], v, float(gan.acm_start == "one")
    for stage, side in enumerate(sides):
        below = feature
        if gan.image_features:
            count = int(np.log2(side // v.shape[2])) if stage == 0 else 1
            for k in range(count):
                name = f"branch.ups.0.{k}" if stage == 0 else f"branch.ups.{stage}"
                feature = up_block(feature, w, name, gan.norm, training)
        if stage > 0:
            name = f"nexts.{stage - 1}"
            hidden = combined(hidden, below, w, f"{name}.acm", start) if gan.image_features else hidden
            for k in range(gan.residual_blocks):
                hidden = residual(hidden, w, f"{name}.residuals.{k}.body", gan.norm, training)
            hidden = up_block(hidden, w, f"{name}.up", gan.norm, training)
        shown = combined(hidden, feature, w, f"heads.{stage}.acm", start) if gan.image_features else hidden
        images.append(np.tanh(conv(shown, w[f"heads.{stage}.rgb.weight"])))
    return images, mean, log_variance


@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
@settings(max_examples=6)
@given(
    stages=st.integers(1, 3),
    kind=st.sampled_from(["batch", "instance"]),
    residual_blocks=st.integers(0, 2),
    ngf=st.integers(1, 3),
    text=st.sampled_from(["sentence", "both"]),
    whiten=BOTH,
    acm_start=st.sampled_from(["lineage", "one"]),
    image_features=BOTH,
    global_feature=BOTH,
    seed=st.integers(0, 99),
)
def test_generator(dtype, bound, stages, kind, residual_blocks, ngf, text, whiten, acm_start, image_features, global_feature, seed):
    """In training, where BatchNorm uses the batch, and after it, where it uses the running statistics that follow."""
    gan = gan_block(
        stages=stages, norm=kind, residual_blocks=residual_blocks, ngf=ngf, text=text, whiten=whiten, z=Z, condition=CONDITION,
        image_features=image_features, global_feature=global_feature, acm_width=3, acm_start=acm_start,
    )  # fmt: skip
    size = 8 << (stages - 1)
    rng = torch.Generator().manual_seed(seed)
    network = Generator(gan, images_block(size=size, short_side=size), D, C)
    initialise(network, rng)
    network.to(dtype)
    for whitening in (part for part in network.modules() if isinstance(part, Whitening)):
        whitening.fit(torch.randn(50, D, generator=rng) + 1)
    inputs = Inputs(*(torch.randn(6, *s, generator=rng).to(dtype) for s in ((D,), (D,), (Z,), (CONDITION,), (C, 4, 4))))
    w, sides = weights_of(network), [8 << k for k in range(stages)]
    for training in (True, False):
        got = network.train(training)(inputs)
        images, mean, log_variance = generated(inputs, w, gan, sides, training)
        assert [image.shape for image in got.images] == [image.shape for image in images]
        for found, wanted in zip([*got.images, got.mean, got.log_variance], [*images, mean, log_variance], strict=True):
            close(found, wanted, bound)
    assert w.unused == set()


# ------------------------------------------------------------ discriminators


def judged(images: np.ndarray, sentence: np.ndarray, w: Weights, gan: Any, pooling: str, training: bool) -> tuple[np.ndarray, ...]:
    """Both heads' logits."""
    downs = int(np.log2(images.shape[2] // 4))
    hidden = content = images
    for k in range(downs):
        name, kind = f"encoder.downs.{k}", gan.d_norm if k else "none"
        hidden = conv(hidden, w[f"{name}.0.weight"], w.get(f"{name}.0.bias"), stride=2)
        hidden = leaky(norm(hidden, kind, w, f"{name}.1", training))
        assert hidden.shape[1] == gan.ndf * 2**k
        if gan.content:
            content = pooled(content, pooling, gan.content_kernel, gan.content_padding, gan.count_include_pad)
            hidden = np.concatenate([hidden, content], axis=1)
    for k in range(max(0, downs - 4)):  # back to 8 ndf
        name = f"encoder.tail.{k}"
        hidden = leaky(norm(conv(hidden, w[f"{name}.0.weight"], w.get(f"{name}.0.bias")), gan.d_norm, w, f"{name}.1", training))
    spread = np.broadcast_to(sentence[:, :, None, None], (*sentence.shape, 4, 4))
    joint = conv(np.concatenate([hidden, spread], axis=1), w["joint.conv.weight"], w.get("joint.conv.bias"))
    joint = leaky(norm(joint, gan.d_norm, w, "joint.norm", training))
    heads = (hidden, "unconditional"), (joint, "conditional")
    return tuple(conv(x, w[f"{head}.weight"], w[f"{head}.bias"], padding=0).reshape(len(images)) for x, head in heads)


@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
@settings(max_examples=6)
@given(
    side=st.sampled_from([8, 16, 32, 128]),
    kind=st.sampled_from(["batch", "instance", "none"]),
    ndf=st.integers(1, 2),
    content=BOTH,
    pooling=st.sampled_from(["avg", "max"]),
    kernel=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_discriminator(dtype, bound, side, kind, ndf, content, pooling, kernel, seed):
    gan = gan_block(d_norm=kind, ndf=ndf, content=content, content_kernel=kernel, content_padding=(kernel - 1) // 2)
    rng = torch.Generator().manual_seed(seed)
    network = Discriminator(side, gan, pooling, D)
    initialise(network, rng)
    network.to(dtype)
    images, sentence = (torch.randn(4, *s, generator=rng).to(dtype) for s in ((3, side, side), (D,)))
    w = weights_of(network)
    for training in (True, False):
        network.train(training)
        seen = network.see(images)
        found = network.judge(seen), network.judge_with(seen, sentence)
        wanted = judged(images.double().numpy(), sentence.double().numpy(), w, gan, pooling, training)
        for got, want in zip(found, wanted, strict=True):
            close(got, want, bound)
    assert w.unused == set()


# ------------------------------------------------------------------ encoders

KNOWN = Vocabulary(["a", "red", "bird", "with", "blue", "wings"])


@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
@settings(max_examples=8)
@given(
    captions=st.lists(st.lists(st.sampled_from([*KNOWN.words, "purple"]), min_size=1, max_size=9), min_size=1, max_size=5),
    words=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_text_encoder_and_the_mean_of_its_words(dtype, bound, captions, words, seed):
    """w: outputs of both directions; s: the last state of each; what G reads of w is its mean over the caption's words."""
    torch.manual_seed(seed)
    encoder = TextEncoder(len(KNOWN), damsm_block(dimension=6, word_embedding=4)).to(dtype).eval()
    read = TextReader(KNOWN, encoder, words)([" ".join(caption) for caption in captions])
    w = weights_of(encoder)
    layer = {name.removeprefix("rnn."): tensor for name, tensor in w.items() if name.startswith("rnn.")}
    for row, caption in enumerate(captions):
        numbers = [KNOWN.words.index(word) + 2 if word in KNOWN.words else 1 for word in caption[:words]]
        embedded = w["embedding.weight"][numbers]
        forwards, backwards = lstm(embedded, layer, "l0"), lstm(embedded[::-1], layer, "l0_reverse")[::-1]
        outputs = np.concatenate([forwards, backwards], axis=1)
        close(read.words[row, :, : len(numbers)], outputs.T, bound)
        assert read.words[row, :, len(numbers) :].eq(0).all()
        assert read.mask[row].tolist() == [k < len(numbers) for k in range(words)]
        close(read.sentence[row], np.concatenate([forwards[-1], backwards[0]]), bound)
        close(read.mean[row], outputs.mean(axis=0), bound)


@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
@pytest.mark.parametrize("size", [8, 32])
def test_small_image_encoder(dtype, bound, size):
    """conv3x3-BatchNorm-ReLU, the first ones halving down to 8 x 8; regions from a 4 x 4 grid, the whole from the 8 x 8 one."""
    torch.manual_seed(0)
    network = ImageEncoder(damsm_block(image_encoder="small", dimension=6, width=2), size).to(dtype)
    images = torch.rand(3, 3, size, size, dtype=dtype) * 2 - 1
    w = weights_of(network)
    halvings = int(np.log2(size // 8))
    for training in (True, False):
        x = images.double().numpy()
        for name, stride in [*((f"trunk.body.{k}", 2) for k in range(halvings)), (f"trunk.body.{halvings}", 1)]:
            x = np.maximum(norm(conv(x, w[f"{name}.0.weight"], stride=stride), "batch", w, f"{name}.1", training), 0)
        whole = linear(x.reshape(3, -1), w, "globals")
        x = np.maximum(norm(conv(x, w["trunk.regional.0.0.weight"], stride=2), "batch", w, "trunk.regional.0.1", training), 0)
        regions, globals_ = network.train(training)(images)
        close(regions, conv(x, w["regions.weight"], padding=0), bound)
        close(globals_, whole, bound)
    assert w.unused == set()
