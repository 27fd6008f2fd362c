"""What a retrieved image has in common with its query, counted by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from memgan.data.worlds import birdworld
from memgan.metrics import agreement

SAYS = {
    "red and small": {"colour": frozenset(["red"]), "size": frozenset(["small"])},
    "dark": {"colour": frozenset(["black", "blue"])},
    "what a sight": {},
}
TOY = SimpleNamespace(
    ATTRIBUTES={"colour": ("red", "blue", "black"), "size": ("small", "big"), "crest": ("yes", "no")}, read_caption=SAYS.get
)


def bird(colour: str, size: str, crest: str = "no") -> dict:
    return {"attributes": {"colour": colour, "size": size, "crest": crest}}


def test_attributes_are_those_that_the_caption_mentions_and_all():
    captions = ["red and small", "red and small", "dark", "what a sight"]
    own = [bird("red", "small"), bird("red", "small"), bird("black", "big", "yes"), bird("red", "big")]
    found = [bird("red", "big"), bird("red", "small", "yes"), bird("blue", "small", "yes"), bird("blue", "big")]
    figures = agreement.of_attributes(captions, own, found, TOY)
    np.testing.assert_array_equal(figures["attributes mentioned"], [0.5, 1, 1, np.nan])
    np.testing.assert_array_equal(figures["whole caption"], [0, 1, 1, np.nan])
    np.testing.assert_allclose(figures["all attributes"], [2 / 3, 2 / 3, 1 / 3, 2 / 3])


def test_an_image_that_lacks_an_attribute_does_not_show_it():
    figures = agreement.of_attributes(["red and small"], [bird("red", "small")], [{"attributes": {"size": "small"}}], TOY)
    assert figures["attributes mentioned"] == [0.5]


def test_the_ideal_reader_takes_the_best_image_of_the_bank():
    bank = [bird("blue", "small"), bird("red", "big"), bird("black", "big")]
    figures = agreement.best_of_bank(["red and small", "dark", "what a sight"], bank, TOY)
    np.testing.assert_array_equal(figures["attributes mentioned"], [0.5, 1, np.nan])
    np.testing.assert_array_equal(figures["whole caption"], [0, 1, np.nan])


def test_no_strategy_beats_the_ideal_reader_and_the_own_image_agrees_with_its_caption():
    rng = np.random.default_rng(0)
    birds = [{"attributes": birdworld.random_attributes(rng)} for _ in range(60)]
    captions = [birdworld.captions(one["attributes"], rng, 1)[0] for one in birds[:20]]
    assert np.nanmin(agreement.of_attributes(captions, birds[:20], birds[:20], birdworld)["whole caption"]) == 1
    best = agreement.best_of_bank(captions, birds[20:], birdworld)["attributes mentioned"]
    for other in range(20, 60):
        figures = agreement.of_attributes(captions, birds[:20], [birds[other]] * 20, birdworld)
        assert (np.nan_to_num(figures["attributes mentioned"]) <= np.nan_to_num(best)).all()


def test_classes_that_the_bank_does_not_hold_are_not_counted():
    own, found = (
        [{"label": 0}, {"label": 1}, {"label": 9}, {"label": None}],
        [{"label": 0}, {"label": 0}, {"label": 0}, {"label": 0}],
    )
    np.testing.assert_array_equal(agreement.of_class(own, found, {0, 1})["class"], [1, 0, np.nan, np.nan])


def test_categories():
    own = [{"categories": [1, 2]}, {"categories": [1]}, {"categories": []}]
    figures = agreement.of_categories(own, [{"categories": [2, 3]}, {"categories": [1]}, {"categories": [2]}])
    np.testing.assert_array_equal(figures["object categories (IoU)"], [1 / 3, 1, np.nan])
    np.testing.assert_array_equal(figures["object categories (recall)"], [0.5, 1, np.nan])


def test_the_own_image():
    figures = agreement.of_own(np.array([4, 5, 6]), np.array([[4, 0], [0, 5], [1, 2]]))
    assert {name: hits.tolist() for name, hits in figures.items()} == {
        "own image, recall@1": [1, 0, 0],
        "own image, recall@2": [1, 1, 0],
    }
    assert list(agreement.of_own(np.array([4]), np.array([[4]]))) == ["own image, recall@1"]


def test_summary_is_in_per_cent_with_standard_errors_and_leaves_out_what_never_arises():
    values = np.array([0, 1, 1, 1, np.nan])
    (row,) = agreement.summary({"a": values, "b": np.full(3, np.nan)}, "test")
    assert (row["metric"], row["captions"], row["value"], row["n"]) == ("a", "test", 75, 4)
    assert row["std"] == pytest.approx(100 * np.std([0, 1, 1, 1], ddof=1) / 2, abs=1e-6)
    assert agreement.summary({"a": np.array([1.0])}, "test")[0]["std"] is None
