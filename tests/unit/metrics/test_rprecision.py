"""R-precision: which captions are wrong ones, and the score itself by brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memgan.metrics.rprecision import Captions, draw_negatives, groups_of, rprecision


def rows_of(captions: list[list[str]], labels: list[int | None]) -> list[dict]:
    return [{"captions": some, "label": label} for some, label in zip(captions, labels, strict=True)]


def test_captions_are_distinct_and_know_all_their_classes() -> None:
    found = Captions.of(rows_of([["b", "a"], ["a"], ["c", "c"]], [0, 1, 1]))
    assert found.texts == ("a", "b", "c")
    assert found.groups == (frozenset({0, 1}), frozenset({0}), frozenset({1}))
    assert found.positions(["c", "a", "?"]).tolist() == [2, 0, -1]


def test_without_classes_other_images_are_the_others() -> None:
    assert groups_of(rows_of([["a"], ["b"]], [None, None])) == [0, 1]
    assert groups_of(rows_of([["a"], ["b"]], [4, 4])) == [4, 4]


@settings(max_examples=60)
@given(st.data())
def test_negatives_are_distinct_and_never_of_the_own_class(data) -> None:
    words = st.lists(st.sampled_from([f"caption {i}" for i in range(12)]), min_size=1, max_size=3)
    captions = data.draw(st.lists(words, min_size=2, max_size=8))
    labels = data.draw(st.lists(st.integers(0, 2), min_size=len(captions), max_size=len(captions)))
    count = data.draw(st.integers(1, 9))
    rows = rows_of(captions, labels)
    known = Captions.of(rows)
    pairs = [(label, text) for row, label in zip(rows, labels, strict=True) for text in row["captions"]]
    right = known.positions([text for _, text in pairs])
    drawn = draw_negatives(known, [label for label, _ in pairs], right, count, seed=0)
    for (label, text), row in zip(pairs, drawn, strict=True):
        others = enumerate(zip(known.texts, known.groups, strict=True))
        allowed = {i for i, (other, owners) in others if label not in owners and other != text}
        taken = [i for i in row.tolist() if i >= 0]
        assert len(set(taken)) == len(taken) == min(count, len(allowed))
        assert set(taken) <= allowed


def test_every_allowed_caption_is_drawn_about_equally_often() -> None:
    rows = rows_of([[f"{i} {j}" for j in range(4)] for i in range(10)], list(range(10)))
    known = Captions.of(rows)
    drawn = draw_negatives(known, [3] * 2000, known.positions(["3 0"] * 2000), 9, seed=1)
    counts = np.bincount(drawn.ravel(), minlength=40)
    own = [i for i, text in enumerate(known.texts) if text.startswith("3 ")]
    assert counts[own].tolist() == [0, 0, 0, 0]
    others = np.delete(counts, own)  # 2000 * 9 / 36 = 500 each, binomial std 19
    assert others.min() > 400
    assert others.max() < 600


def test_the_draw_depends_on_the_seed_alone() -> None:
    rows = rows_of([[f"{i} {j}" for j in range(4)] for i in range(10)], list(range(10)))
    known = Captions.of(rows)
    one, same, other = (draw_negatives(known, [3] * 20, known.positions(["3 0"] * 20), 9, seed) for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_score_is_the_share_of_images_nearest_to_their_own_caption() -> None:
    rng = np.random.default_rng(0)
    images, sentences = rng.standard_normal((40, 5)), rng.standard_normal((15, 5))
    right = images + 0.9 * rng.standard_normal((40, 5))
    negatives = np.stack([rng.permutation(15)[:6] for _ in range(40)])
    negatives[::7, 4:] = -1  # some have fewer
    hits = []

    def cosine(a, b) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    for i in range(40):
        wrong = [cosine(images[i], sentences[t]) for t in negatives[i] if t >= 0]
        hits.append(cosine(images[i], right[i]) > max(wrong))
    found = rprecision(*(torch.from_numpy(x) for x in (images, right, sentences)), negatives, 4, "damsm:x")["R-precision"]
    assert 0 < sum(hits) < 40
    assert found["value"] == pytest.approx(100 * np.mean(hits))
    assert found["std"] == pytest.approx(100 * np.std([np.mean(hits[f::4]) for f in range(4)]), abs=1e-6)
    assert found["chance"] == pytest.approx(100 * np.mean([1 / (1 + (row >= 0).sum()) for row in negatives]), abs=1e-6)
    assert (found["n"], found["extractor"]) == (40, "damsm:x")


def test_an_encoder_that_sees_nothing_scores_at_chance() -> None:
    same = torch.ones(50, 3)
    negatives = np.tile(np.arange(9), (50, 1))
    found = rprecision(same, same, torch.ones(9, 3), negatives, 10, "x")["R-precision"]
    assert found["value"] == pytest.approx(10)
    assert found["chance"] == pytest.approx(10)
