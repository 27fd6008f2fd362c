"""SOA on a hand-made set of detections, and by brute force."""

import numpy as np
import pytest

from memgan.metrics.soa import soa


def test_soa_of_a_hand_made_set() -> None:
    #                  cat    dog    car
    named = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 0]], dtype=bool)
    found = np.array([[1, 1, 1], [0, 1, 0], [0, 1, 0], [1, 0, 0]], dtype=bool)
    scores = soa(found, named, "detector")
    # cat 1 of 2, dog 2 of 3, nobody names a car
    assert scores["SOA-C"]["value"] == pytest.approx(100 * (1 / 2 + 2 / 3) / 2, abs=1e-6)
    assert scores["SOA-I"]["value"] == pytest.approx(100 * 3 / 5)
    assert (scores["SOA-C"]["n"], scores["SOA-C"]["categories"], scores["SOA-I"]["extractor"]) == (5, 2, "detector")


def test_soa_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    named, found = rng.random((60, 7)) < 0.3, rng.random((60, 7)) < 0.6
    pairs = [(i, c) for i in range(60) for c in range(7) if named[i, c]]
    rates = [np.mean([found[i, k] for i, k in pairs if k == c]) for c in range(7)]
    scores = soa(found, named, "x")
    assert scores["SOA-C"]["value"] == pytest.approx(100 * np.mean(rates), abs=1e-5)
    assert scores["SOA-I"]["value"] == pytest.approx(100 * np.mean([found[p] for p in pairs]), abs=1e-5)


def test_no_score_where_no_caption_names_a_category() -> None:
    assert soa(np.ones((3, 2), dtype=bool), np.zeros((3, 2), dtype=bool), "x") == {}
