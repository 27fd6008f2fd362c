"""Attribute accuracy and the ideal reader's ceilings, against plain set logic."""

import numpy as np
import pytest

from memgan.data.worlds import birdworld, sceneworld
from memgan.metrics.attributes import allowed, attribute_accuracy, truth
from memgan.metrics.ceiling import attribute_ceiling, rprecision_ceiling, satisfied

SPACE = {"wing": ("red", "blue", "green"), "beak": ("short", "long")}
CLAIMS = [{"wing": frozenset({"red"})}, {"wing": frozenset({"blue", "green"}), "beak": frozenset({"long"})}, {}]
ROWS = [
    {"attributes": {"wing": "red", "beak": "long"}},
    {"attributes": {"wing": "green", "beak": "long"}},
    {"attributes": {"wing": "blue"}},
]


def test_what_captions_allow_and_images_have() -> None:
    masks = allowed(CLAIMS, SPACE)
    assert masks["wing"].tolist() == [[True, False, False], [False, True, True], [True, True, True]]
    assert masks["beak"].tolist() == [[True, True], [False, True], [True, True]]
    assert truth(ROWS, SPACE)["beak"].tolist() == [1, 1, -1]


def test_accuracy_of_a_hand_made_set() -> None:
    seen = {"wing": np.array([0, 1, 1]), "beak": np.array([0, 1, 0])}
    found = attribute_accuracy(seen, allowed(CLAIMS, SPACE), truth(ROWS, SPACE), "x")
    # mentioned: wing of 0 right, wing of 1 allowed, beak of 1 right; all: wing 0 and 2 of 3, beak 1 of 2
    said, every = found["attribute accuracy"], found["attribute accuracy (all)"]
    assert (said["value"], said["n"]) == (100, 3)
    assert (every["value"], every["n"]) == (60, 5)
    assert said["chance"] == pytest.approx(100 * (1 / 3 + 2 / 3 + 1 / 2) / 3, abs=1e-6)
    assert every["chance"] == pytest.approx(100 * (3 / 3 + 2 / 2) / 5, abs=1e-6)
    assert every["by_attribute"] == {"wing": 66.67, "beak": 50.0}


@pytest.mark.parametrize("world", [birdworld, sceneworld], ids=["birdworld", "sceneworld"])
def test_an_images_own_captions_hold_and_others_do_as_the_reader_says(world) -> None:
    rng = np.random.default_rng(0)
    rows = [{"attributes": world.random_attributes(rng)} for _ in range(25)]
    texts = [(i, text) for i, row in enumerate(rows) for text in world.captions(row["attributes"], rng, 2)]
    claims = [world.read_caption(text) for _, text in texts]
    holds = satisfied(truth(rows, world.ATTRIBUTES), allowed(claims, world.ATTRIBUTES))
    for i, row in enumerate(rows):
        for t, (owner, _) in enumerate(texts):
            expected = all(row["attributes"][name] in values for name, values in claims[t].items())
            assert holds[i, t] == expected
            if owner == i:
                assert holds[i, t]
    assert not holds.all()


def test_the_ceiling_is_of_the_most_telling_caption_that_holds() -> None:
    true = truth(ROWS, SPACE)  # red and long; green and long; blue, beak not known
    texts = [
        {"wing": frozenset({"red"})},  # 0: holds of image 0 alone
        {"beak": frozenset({"long"})},  # 1: of all three
        {"wing": frozenset({"green", "blue"})},  # 2: of images 1 and 2
        {"wing": frozenset({"green", "red"})},  # 3: of images 0 and 1
        {"wing": frozenset({"blue"})},  # 4: of image 2 alone
    ]
    pairs = [  # image, its own text, wrong texts, points
        (0, 0, [1, 2], 1.0),  # 1 holds too and tells less
        (0, 1, [0, 4], 0.0),  # 0 holds too and tells more
        (1, 2, [3, 1], 0.5),  # 3 holds too and tells as much
        (2, 4, [1, 0], 1.0),
        (1, 1, [4, -1], 1.0),  # 4 does not hold; nothing else was drawn
    ]
    images, own, wrong, points = zip(*pairs, strict=True)
    found = rprecision_ceiling(true, images, own, allowed(texts, SPACE), np.array(wrong))["R-precision"]
    assert (found["value"], found["n"]) == (pytest.approx(100 * np.mean(points), abs=1e-6), 5)


def test_the_reader_guesses_what_is_most_frequent_among_what_is_allowed() -> None:
    training = {"wing": np.array([1, 1, 1, 2, 2, 0]), "beak": np.array([0, 0, 0, 1, -1, -1])}
    found = attribute_ceiling(truth(ROWS, SPACE), allowed(CLAIMS, SPACE), training)
    # guesses: wing red, blue (of blue, green), blue; beak short, long, unknown; truth red, green, blue; long, long, none
    assert found["attribute accuracy (all)"]["value"] == pytest.approx(100 * (2 + 1) / 5)
    assert found["attribute accuracy (all)"]["blind"] == pytest.approx(100 * 1 / 5)  # always blue, always short
    assert (found["attribute accuracy"]["value"], found["attribute accuracy"]["n"]) == (100, 3)
