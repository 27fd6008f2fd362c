"""DAMSM's scores and losses against equations (7)-(14) of AttnGAN (Xu et al. 2018), one scalar at a time in float64."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from memgan.encoders import matching
from tests.factory import damsm_block

PRECISION = [(torch.float64, 1e-10), (torch.float32, 1e-4)]
GAMMAS = {"gamma1": 4.0, "gamma2": 5.0, "gamma3": 10.0}


def similarity(word, region) -> float:
    """Eq. (7): the inner product of a word and a region."""
    return sum(float(a) * float(b) for a, b in zip(word, region, strict=True))


def cosine(a, b) -> float:
    return similarity(a, b) / (math.sqrt(similarity(a, a)) * math.sqrt(similarity(b, b)))


def contexts(regions, words, gamma1: float) -> list[list[float]]:
    """c_i, eqs. (8) and (9), of each of a caption's T words [T][D] without padding, for one image's regions [R][D]."""
    s = [[similarity(e, v) for v in regions] for e in words]
    found = []
    for i, word in enumerate(words):
        # eq. (8): normalised over the words of the caption
        shares = [math.exp(s[i][j]) / sum(math.exp(s[k][j]) for k in range(len(words))) for j in range(len(regions))]
        sharp = [math.exp(gamma1 * share) for share in shares]  # eq. (9): attention over the regions
        found.append([sum(sharp[j] / sum(sharp) * float(regions[j][d]) for j in range(len(regions))) for d in range(len(word))])
    return found


def score(regions, words, gamma1: float, gamma2: float) -> float:
    """R(Q, D) of one image, regions [R][D], and one caption of T words [T][D] without padding."""
    pairs = zip(contexts(regions, words, gamma1), words, strict=True)
    total = sum(math.exp(gamma2 * cosine(context, word)) for context, word in pairs)
    return math.log(total ** (1 / gamma2))  # eq. (10)


def smallest_context(regions, words, lengths, gamma1: float) -> float:
    """|c| of the pair of image and word where regions cancel most, as a share of the longest region."""
    return min(
        math.sqrt(similarity(c, c)) / math.sqrt(max(similarity(v, v) for v in image.reshape(len(image), -1).T))
        for image in regions
        for j in range(len(words))
        for c in contexts(image.reshape(len(image), -1).T, words[j, :, : lengths[j]].T, gamma1)
    )


def losses(scores, labels, gamma3: float, foils=()) -> tuple[float, float]:
    """Eqs. (11)-(13): -log of the right caption's probability given the image, and the reverse; means over the batch.

    `foils[i]` are the scores of image i with foils of its caption: more wrong answers to the image, and none to the caption.
    """
    batch = len(labels)
    rival = [[i == j or labels[i] != labels[j] for j in range(batch)] for i in range(batch)]
    to_text = to_image = 0.0
    for i in range(batch):
        right = math.exp(gamma3 * scores[i][i])
        more = sum(math.exp(gamma3 * score) for score in foils[i]) if foils else 0.0
        to_text -= math.log(right / (more + sum(math.exp(gamma3 * scores[i][j]) for j in range(batch) if rival[i][j]))) / batch
        to_image -= math.log(right / sum(math.exp(gamma3 * scores[j][i]) for j in range(batch) if rival[j][i])) / batch
    return to_text, to_image


def example(seed: int, batch: int, length: int, side: int, dimension: int, classes: int):
    """Random embeddings as the encoders give them: words zero at padding."""
    random = np.random.default_rng(seed)
    regions = random.normal(size=(batch, dimension, side, side + 1))
    lengths = random.integers(1, length + 1, batch)
    mask = np.arange(length) < lengths[:, None]
    words = random.normal(size=(batch, dimension, length)) * mask[:, None, :]
    globals_, sentences = random.normal(size=(2, batch, dimension))
    return regions, words, mask, lengths, globals_, sentences, random.integers(0, classes, batch)


def expected_scores(regions, words, lengths, gamma1: float, gamma2: float) -> list[list[float]]:
    columns = [region.reshape(len(region), -1).T for region in regions]
    return [[score(c, words[j, :, : lengths[j]].T, gamma1, gamma2) for j in range(len(words))] for c in columns]


def tensors(dtype: torch.dtype, *arrays) -> list[torch.Tensor]:
    return [torch.tensor(array, dtype=dtype) for array in arrays]


@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
@settings(max_examples=20)
@given(
    seed=st.integers(0, 10**6),
    batch=st.integers(1, 4),
    length=st.integers(1, 5),
    side=st.integers(1, 3),
    dimension=st.integers(1, 6),
    classes=st.integers(1, 4),
    gamma1=st.floats(0.5, 8),
    gamma2=st.floats(0.5, 8),
    gamma3=st.floats(0.5, 12),
)
def test_all_four_losses(dtype, bound, seed, batch, length, side, dimension, classes, gamma1, gamma2, gamma3):
    regions, words, mask, lengths, globals_, sentences, labels = example(seed, batch, length, side, dimension, classes)
    # the cosine with a context whose regions cancel out is ill-conditioned: in float32 it can't be asked for to 1e-4
    assume(dtype == torch.float64 or smallest_context(regions, words, lengths, gamma1) > 0.1)
    params = damsm_block(gamma1=gamma1, gamma2=gamma2, gamma3=gamma3)
    word_level = expected_scores(regions, words, lengths, gamma1, gamma2)
    sentence_level = [[cosine(g, s) for s in sentences] for g in globals_]
    r, w, g, s = tensors(dtype, regions, words, globals_, sentences)
    m, y = torch.tensor(mask), torch.tensor(labels)

    np.testing.assert_allclose(matching.word_scores(r, w, m, gamma1, gamma2), word_level, atol=bound, rtol=0)
    np.testing.assert_allclose(matching.sentence_scores(g, s), sentence_level, atol=bound, rtol=0)
    of_words, of_sentences = losses(word_level, labels, gamma3), losses(sentence_level, labels, gamma3)
    np.testing.assert_allclose(matching.words_loss(r, w, m, y, params), of_words, atol=bound, rtol=bound)
    np.testing.assert_allclose(matching.sentence_loss(g, s, y, params), of_sentences, atol=bound, rtol=bound)
    total = matching.damsm_loss((r, g), (w, s), m, y, params)  # eq. (14)
    assert float(total) == pytest.approx(sum(of_words) + sum(of_sentences), abs=bound, rel=bound)


@pytest.mark.parametrize(("dtype", "bound"), PRECISION)
def test_foils_are_wrong_answers_of_their_own_image_alone(dtype, bound):
    count = 3  # foils a caption
    regions, words, mask, lengths, globals_, sentences, labels = example(11, 4, 5, 2, 6, 3)
    _, wrong_words, wrong_mask, wrong_lengths, _, wrong_sentences, _ = example(12, 4 * count, 5, 2, 6, 3)
    there = np.array([True, False, True, True])  # the second caption has none
    own = [range(i * count, (i + 1) * count) if there[i] else () for i in range(4)]
    columns = [region.reshape(len(region), -1).T for region in regions]
    by_words = [[score(columns[i], wrong_words[j, :, : wrong_lengths[j]].T, 4.0, 5.0) for j in own[i]] for i in range(4)]
    by_sentence = [[cosine(globals_[i], wrong_sentences[j]) for j in own[i]] for i in range(4)]
    r, w, g, s, ww, ws = tensors(dtype, regions, words, globals_, sentences, wrong_words, wrong_sentences)
    m, y, params = torch.tensor(mask), torch.tensor(labels), damsm_block(**GAMMAS)
    wrong = matching.Wrong.of(ww, ws, torch.tensor(wrong_mask), torch.tensor(there))

    of_words = losses(expected_scores(regions, words, lengths, 4.0, 5.0), labels, 10.0, by_words)
    of_sentences = losses([[cosine(a, b) for b in sentences] for a in globals_], labels, 10.0, by_sentence)
    np.testing.assert_allclose(matching.words_loss(r, w, m, y, params, wrong), of_words, atol=bound, rtol=bound)
    np.testing.assert_allclose(matching.sentence_loss(g, s, y, params, wrong), of_sentences, atol=bound, rtol=bound)
    total = matching.damsm_loss((r, g), (w, s), m, y, params, wrong)
    assert float(total) == pytest.approx(sum(of_words) + sum(of_sentences), abs=bound, rel=bound)


def test_different_numbers_of_images_and_captions():
    regions, words, mask, lengths, *_ = example(3, 5, 4, 3, 6, 2)
    few = expected_scores(regions[:2], words, lengths, 4.0, 5.0)
    got = matching.word_scores(*tensors(torch.float64, regions[:2], words), torch.tensor(mask), 4.0, 5.0)
    assert got.shape == (2, 5)
    np.testing.assert_allclose(got, few, atol=1e-10, rtol=0)


def test_blocks_of_captions_change_nothing(monkeypatch):
    regions, words, mask, *_ = example(4, 5, 4, 3, 6, 2)
    r, w = tensors(torch.float64, regions, words)
    whole = matching.word_scores(r, w, torch.tensor(mask), 4.0, 5.0)
    monkeypatch.setattr(matching, "LARGEST", 5 * 12 * 4 * 2)  # two captions a block
    torch.testing.assert_close(matching.word_scores(r, w, torch.tensor(mask), 4.0, 5.0), whole, atol=1e-12, rtol=0)


def test_what_stands_at_padding_does_not_matter():
    regions, words, mask, *_ = example(5, 4, 5, 2, 6, 2)
    r, w = tensors(torch.float64, regions, words)
    m = torch.tensor(mask)
    assert not m.all()
    filled = w + 7.0 * ~m[:, None, :]
    torch.testing.assert_close(matching.word_scores(r, filled, m, 4.0, 5.0), matching.word_scores(r, w, m, 4.0, 5.0))


def test_gradients_against_finite_differences():
    regions, words, mask, _, globals_, sentences, labels = example(6, 3, 3, 2, 4, 2)
    inputs = [x.requires_grad_() for x in tensors(torch.float64, regions, words, globals_, sentences)]
    m, y, params = torch.tensor(mask), torch.tensor(labels), damsm_block(**GAMMAS)

    def loss(r, w, g, s):
        return matching.damsm_loss((r, g), (w * m[:, None, :], s), m, y, params)

    assert torch.autograd.gradcheck(loss, inputs)


@pytest.mark.parametrize("level", ["words_loss", "sentence_loss"])
def test_every_input_gets_a_gradient_from_its_own_loss(level):
    regions, words, mask, _, globals_, sentences, labels = example(7, 4, 4, 2, 6, 2)
    r, w, g, s = (x.requires_grad_() for x in tensors(torch.float32, regions, words, globals_, sentences))
    m, y, params = torch.tensor(mask), torch.tensor(labels), damsm_block(**GAMMAS)
    inputs = (r, w) if level == "words_loss" else (g, s)
    pair = matching.words_loss(r, w, m, y, params) if level == "words_loss" else matching.sentence_loss(g, s, y, params)
    for loss in pair:  # each direction by itself
        for gradient in torch.autograd.grad(loss, inputs, retain_graph=True):
            assert gradient.isfinite().all()
            assert gradient.flatten(1).abs().sum(dim=1).min() > 0
    if level == "words_loss":
        (gradient,) = torch.autograd.grad(pair[0], w)
        assert gradient.transpose(1, 2)[~m].eq(0).all()


def test_empty_embeddings_give_finite_gradients():
    r, w = torch.zeros(2, 4, 3, 3, requires_grad=True), torch.zeros(2, 4, 3, requires_grad=True)
    mask = torch.tensor([[True, False, False], [True, True, True]])
    loss = sum(matching.words_loss(r, w, mask, torch.tensor([0, 1]), damsm_block(**GAMMAS)))
    loss.backward()
    assert loss.isfinite()
    assert r.grad.isfinite().all()
    assert w.grad.isfinite().all()


def test_a_batch_of_one_class_costs_nothing():
    """Every rival is masked: the right pair is certain."""
    regions, words, mask, _, globals_, sentences, _ = example(8, 4, 4, 2, 6, 2)
    r, w, g, s = tensors(torch.float64, regions, words, globals_, sentences)
    loss = matching.damsm_loss((r, g), (w, s), torch.tensor(mask), torch.zeros(4, dtype=torch.int64), damsm_block(**GAMMAS))
    assert float(loss) == 0.0
