"""Whitening of the captions' embeddings: what it does to them, and that both networks read what it gives."""

import numpy as np
import pytest
import torch

from memgan.gan.whitening import FLOOR, Whitening
from tests.unit.gan.test_engine import B, batch, engine

D = 6


def embeddings(count: int = 4000) -> torch.Tensor:
    """Directions of very different variance, none of them an axis, about a mean that is not 0."""
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.normal(size=(D, D)))
    return torch.from_numpy(rng.normal(size=(count, D)) * [2.0, 1.0, 0.5, 0.2, 1e-2, 0] @ turn + 3).float()


def test_every_direction_counts_the_same() -> None:
    """By NumPy: along its own axes the covariance becomes v / (v + FLOOR max v), 1 but for directions that hardly vary."""
    given, whitening = embeddings(), Whitening(D)
    whitening.fit(given)
    made = whitening(given).numpy().astype(np.float64)
    values, axes = np.linalg.eigh(np.cov(given.numpy().astype(np.float64).T))
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(axes.T @ np.cov(made.T) @ axes, np.diag(values / (values + FLOOR * values.max())), atol=1e-4)
    assert np.trace(np.cov(made.T)) > 3.3  # not the mere centring: three directions at 1, the fourth at a half


def test_it_turns_nothing() -> None:
    """Of all whitenings the symmetric one, which stays nearest to what it was given."""
    whitening = Whitening(D)
    whitening.fit(embeddings())
    torch.testing.assert_close(whitening.matrix, whitening.matrix.T)
    assert torch.linalg.eigvalsh(whitening.matrix.double()).min() > 0


def test_before_it_is_fitted_it_changes_nothing() -> None:
    given = embeddings(5)
    assert torch.equal(Whitening(D)(given), given)


@pytest.mark.parametrize("count", [1, 5])
def test_captions_that_are_all_the_same_stay_finite(count: int) -> None:
    whitening, given = Whitening(D), embeddings(1).expand(count, D)
    whitening.fit(given)
    assert whitening(given).abs().max() < 0.1


CAPTIONS = [caption for step in range(5) for caption in batch(step)[0].captions]


def test_both_networks_read_whitened_captions() -> None:
    subject = engine(gan={"whiten": True})
    subject.whiten(CAPTIONS, block=7)
    texts = subject.reader(CAPTIONS)
    for network in (subject.generator, subject.average):
        assert network.sentence(texts.sentence).mean(dim=0).abs().max() < 1e-4
        assert network.words(texts.mean).mean(dim=0).abs().max() < 1e-4
    given, seen = texts.sentence[:B], []
    for network in subject.discriminators:
        network.joint.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[1]))
    subject.generator.augmentation.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    subject.step(*batch(0), 0)
    told = subject.generator.sentence(given)
    assert not torch.allclose(told, given, atol=0.1)
    passes = {"true": 2, "false": 1, "for G": 1}
    assert len(seen) == 1 + sum(passes.values()) * len(subject.discriminators)
    assert all(torch.equal(sentence, told) or torch.equal(sentence, told.roll(1, 0)) for sentence in seen)


def test_without_it_nothing_is_fitted_or_kept() -> None:
    subject = engine(gan={"whiten": False})
    names = subject.generator.state_dict().keys()
    subject.whiten(CAPTIONS)
    assert not [name for name in names if name.startswith(("sentence.", "words."))]
    assert names == subject.generator.state_dict().keys()


def test_training_leaves_it_alone() -> None:
    subject = engine(gan={"whiten": True})
    subject.whiten(CAPTIONS)
    before = {name: buffer.clone() for name, buffer in subject.average.named_buffers() if name.startswith(("sentence.", "words."))}
    for step in range(3):
        subject.step(*batch(step), step)
    after, average = dict(subject.generator.named_buffers()), dict(subject.average.named_buffers())
    assert len(before) == 4
    assert all(torch.equal(after[name], buffer) and torch.equal(average[name], buffer) for name, buffer in before.items())
