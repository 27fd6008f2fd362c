"""FID, KID, IS, precision and recall against closed forms and brute force."""

import numpy as np
import pytest
import torch

from memgan.errors import InputError
from memgan.metrics import fidelity
from memgan.params.evaluation import Metrics
from tests.factory import PARAMS


def block(**changes) -> Metrics:
    return Metrics(**PARAMS["metrics"] | changes)


def gaussian(n: int, mean, std, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy((rng.standard_normal((n, len(mean))) * std + mean).astype(np.float32))


def test_the_frechet_distance_of_two_gaussians_is_the_closed_form() -> None:
    # diagonal covariances: |m1 - m2|^2 + sum of (s1 - s2)^2
    one = {"mu": np.array([0.0, 1.0, -2.0]), "sigma": np.diag([1.0, 4.0, 9.0])}
    other = {"mu": np.array([1.0, 1.0, 0.0]), "sigma": np.diag([4.0, 4.0, 1.0])}
    assert fidelity.frechet(one, other) == pytest.approx((1 + 0 + 4) + (1 + 0 + 4))
    assert fidelity.frechet(one, one) == pytest.approx(0, abs=1e-9)


def test_fid_of_drawn_features_comes_near_the_closed_form() -> None:
    fake, real = gaussian(20000, [0.0, 0.0], [1.0, 2.0], 0), gaussian(20000, [3.0, 0.0], [2.0, 2.0], 1)
    found = fidelity.fid(fake, fidelity.statistics(real), len(real), "x")["FID"]
    assert found["value"] == pytest.approx(9 + 1, rel=0.03)
    assert (found["n"], found["n_real"], found["extractor"]) == (20000, 20000, "x")


def test_fid_needs_two_images() -> None:
    with pytest.raises(InputError, match="at least 2"):
        fidelity.statistics(torch.zeros(1, 4))


def test_statistics_survive_their_file() -> None:
    found = fidelity.statistics(gaussian(50, [0.0, 1.0], [1.0, 1.0], 3))
    back = fidelity.statistics_of(fidelity.tensors_of(found, "test"), "test")
    assert fidelity.frechet(found, back) == pytest.approx(0, abs=1e-9)
    assert all(found[name].dtype == back[name].dtype for name in found)


def test_kid_of_two_gaussians_is_the_closed_form() -> None:
    # one dimension, k(x, y) = (xy + 1)^3, N(0, 1) against N(1, 1): E kxx + E kyy - 2 E kxy = 4 + 32 - 2 * 7
    fake, real = gaussian(20000, [0.0], [1.0], 0), gaussian(20000, [1.0], [1.0], 1)
    found = fidelity.kid(fake, real, block(kid_subset=500, kid_subsets=40), "x")["KID"]
    assert found["value"] == pytest.approx(22, rel=0.05)
    same = fidelity.kid(fake, gaussian(20000, [0.0], [1.0], 2), block(kid_subset=500, kid_subsets=40), "x")["KID"]
    assert abs(same["value"]) < 0.2


def test_kid_subsets_are_cut_to_what_there_is() -> None:
    found = fidelity.kid(gaussian(30, [0.0], [1.0], 0), gaussian(20, [0.0], [1.0], 1), block(kid_subset=1000), "x")["KID"]
    assert (found["subset"], found["n"], found["n_real"]) == (20, 30, 20)


def test_is_is_the_number_of_classes_at_best_and_one_at_worst() -> None:
    sure = 50 * torch.eye(8).repeat(100, 1)
    assert fidelity.inception_score(sure, block(splits=1), "x")["IS"]["value"] == pytest.approx(8, rel=1e-4)
    blind = torch.zeros(40, 8)
    assert fidelity.inception_score(blind, block(splits=4), "x")["IS"]["value"] == pytest.approx(1)


def test_is_is_the_exponential_of_mutual_information_in_each_split() -> None:
    logits = gaussian(60, [0.0, 1.0, 0.0, -1.0], 2.0, 5)
    shuffled = logits.double().numpy()[np.random.RandomState(fidelity.RNG_SEED).permutation(60)]
    p = np.exp(shuffled) / np.exp(shuffled).sum(axis=1, keepdims=True)
    scores = []
    for part in (p[:20], p[20:40], p[40:]):
        terms = [sum(row[c] * np.log(row[c] / part[:, c].mean()) for c in range(4)) for row in part]
        scores.append(np.exp(np.mean(terms)))
    found = fidelity.inception_score(logits, block(splits=3), "x")["IS"]
    assert found["value"] == pytest.approx(np.mean(scores), abs=2e-6)
    assert found["std"] == pytest.approx(np.std(scores), abs=2e-6)
    assert found["splits"] == 3


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_are_shares_inside_the_others_balls(k: int) -> None:
    fake, real = gaussian(25, [0.0, 0.0], [1.0, 1.0], 0), gaussian(30, [1.0, 0.5], [1.0, 2.0], 1)

    def inside(points, centres) -> float:
        between = np.linalg.norm(centres[:, None] - centres[None], axis=2)
        radius = np.sort(between, axis=1)[:, k]  # the first is the point itself
        return float((np.linalg.norm(points[:, None] - centres[None], axis=2) <= radius).any(axis=1).mean())

    found = fidelity.precision_recall(fake, real, block(neighbours=k), "x")
    assert found["precision"]["value"] == pytest.approx(inside(fake.numpy(), real.numpy()), abs=1e-6)
    assert found["recall"]["value"] == pytest.approx(inside(real.numpy(), fake.numpy()), abs=1e-6)
    assert 0 < found["precision"]["value"] < 1 or 0 < found["recall"]["value"] < 1
