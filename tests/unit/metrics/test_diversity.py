"""Diversity and copy check on features whose distances are known."""

import numpy as np
import pytest
import torch

from memgan.metrics.diversity import BINS, copy_check, distances, diversity, histogram


def test_diversity_is_the_mean_distance_within_a_group() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [5.0, 0.0], [-1.0, 0.0]])
    found = diversity(features, ["a", "a", "b", "b", "alone"], "x")["diversity"]
    # a: right angle, sqrt 2; b: the same direction, 0
    assert found["value"] == pytest.approx(np.sqrt(2) / 2, abs=1e-6)
    assert found["std"] == pytest.approx(np.sqrt(2) / 2, abs=1e-6)
    assert (found["n"], found["groups"]) == (4, 2)


def test_no_diversity_without_groups() -> None:
    assert diversity(torch.eye(3), ["a", "b", "c"], "x") == {}


def test_a_pasted_image_has_distance_zero() -> None:
    bank = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    samples = torch.tensor([[0.0, 3.0], [2.0, 0.0]])
    near, far = distances(samples, bank, [1, 0]), distances(samples, bank, [0, 2])
    assert near.tolist() == [0, 0]
    assert far.tolist() == pytest.approx([np.sqrt(2), 2])
    found = copy_check(near, far, "x")
    assert found["copy ratio"]["value"] == 0
    assert found["distance to random"]["value"] == pytest.approx((np.sqrt(2) + 2) / 2, abs=1e-6)


def test_the_histogram_counts_every_distance_once() -> None:
    found = histogram(np.array([0.0, 0.01, 2.0]), np.array([1.0, 1.2, 1.41]))
    assert len(found["edges"]) == BINS + 1
    assert (found["edges"][0], found["edges"][-1]) == (0, 2)
    assert (sum(found["retrieved"]), sum(found["random"])) == (3, 3)
    assert (found["retrieved"][0], found["retrieved"][-1]) == (2, 1)
