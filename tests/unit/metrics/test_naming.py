"""Which captions name which category."""

import numpy as np
import pytest

from memgan.data.worlds import sceneworld
from memgan.metrics.naming import matched, named_categories, phrases_of, plural

NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, parking meter,
bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase,
frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle,
wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake,
chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven,
toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush
"""
COCO = [name.strip() for name in NAMES.split(",")]


@pytest.mark.parametrize(
    ("caption", "names"),
    [
        ("A man riding a bike past two buses.", {"person", "bicycle", "bus"}),
        ("Hot dogs and a teddy bear on the table", {"hot dog", "teddy bear", "dining table"}),
        ("a dog and a bear", {"dog", "bear"}),
        ("An orange cat sleeps.", {"cat"}),
        ("three oranges in a bowl", {"orange", "bowl"}),
        ("a bus stop beside the train tracks", set()),
        ("Puppies, ponies and sheep", {"dog", "horse", "sheep"}),
        ("someone's wine glasses and two glasses of wine", {"wine glass"}),
        ("a baseball player swings a bat", {"person", "baseball bat"}),
        ("a microwave oven over a stove", {"microwave", "oven"}),
        ("A couple of zebras beside a couple on a bench", {"zebra", "person", "bench"}),
        ("a baby elephant, two baby birds and a baby", {"elephant", "bird", "person"}),
        ("a crowd of sheep on a crowd of planes", {"sheep", "airplane"}),
        ("a crowd watches a couple of women", {"person"}),
        ("pancake batter in a bowl beside a record player", {"bowl"}),
        ("a man rides a jet ski", {"person"}),
        ("a toilet bowl, toilet paper and a coffee table", {"toilet"}),
        ("the pool table stands by the kitchen table", {"dining table"}),
        ("carrot cake and a carrot", {"cake", "carrot"}),
        ("nothing at all", set()),
        ("", set()),
    ],
)
def test_phrases_name_their_category_and_no_other(caption: str, names: set[str]) -> None:
    assert matched(caption, phrases_of(COCO)) == names
    found = named_categories([caption], COCO, None)
    assert {COCO[c] for c in np.flatnonzero(found[0])} == names


def test_every_category_of_coco_is_named_by_its_name_or_plural() -> None:
    assert len(COCO) == 80
    for name in COCO:
        *before, last = name.split()
        assert matched(f"we saw {' '.join([*before, plural(last)])} there", phrases_of(COCO)) == {name}


def test_names_of_other_data_sets_are_their_own_phrases() -> None:
    found = named_categories(["a red panda eats", "pandas and a box", "boxes"], ["box", "panda"], None)
    assert found.tolist() == [[False, True], [True, True], [True, False]]


def test_on_a_world_its_reader_tells() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        attributes = sceneworld.random_attributes(rng)
        captions = sceneworld.captions(attributes, rng, 3)
        found = named_categories(captions, sceneworld.CATEGORIES, "sceneworld")
        there = np.array([attributes[name] != "absent" for name in sceneworld.CATEGORIES])
        assert found.any(axis=1).all()
        assert not (found & ~there).any()  # no caption names what is not there
    assert not named_categories(["it is winter", "only a red ball"], sceneworld.CATEGORIES, "sceneworld")[0].any()
