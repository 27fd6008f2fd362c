"""The captions of the embedded worlds, and their ideal reader."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgan.data.worlds import bird_captions, birdworld, scene_captions, sceneworld
from memgan.data.worlds.grammar import words_of
from memgan.data.worlds.known import WORLDS as KNOWN
from memgan.data.worlds.readers import READERS
from memgan.data.worlds.species import TEST, species

WORLDS = (birdworld, sceneworld)
SEEDS = st.integers(0, 2**32 - 1)


def test_every_world_has_its_reader():
    assert READERS.keys() == KNOWN.keys()
    for name, world in KNOWN.items():
        assert READERS[name].ATTRIBUTES is world.ATTRIBUTES
        assert READERS[name].read_caption is world.read_caption


@settings(max_examples=150)
@given(seed=SEEDS, pattern=st.sampled_from(bird_captions.PATTERNS))
def test_reader_understands_what_is_written_of_birds(seed, pattern):
    rng = np.random.default_rng(seed)
    attributes = birdworld.random_attributes(rng)
    text, mentions = bird_captions.write_caption(attributes, rng, pattern)
    assert birdworld.read_caption(text) == mentions
    assert all(attributes[attribute] in values for attribute, values in mentions.items())
    assert len(words_of(text)) <= bird_captions.WORDS


@settings(max_examples=150)
@given(seed=SEEDS, data=st.data())
def test_reader_understands_what_is_written_of_scenes(seed, data):
    rng = np.random.default_rng(seed)
    attributes = sceneworld.random_attributes(rng)
    things = sum(attributes[category] != "absent" for category in sceneworld.CATEGORIES)
    count = data.draw(st.integers(1, things))
    pattern = data.draw(st.sampled_from(scene_captions.fitting(attributes, count)))
    text, mentions = scene_captions.write_caption(attributes, rng, pattern)
    assert sceneworld.read_caption(text) == mentions
    assert all(attributes[attribute] in values for attribute, values in mentions.items())
    assert len(words_of(text)) <= scene_captions.WORDS


@settings(max_examples=60)
@given(
    text=st.text(max_size=80) | st.lists(st.sampled_from(["red", "bird", "and", "wings", "are", "ball", "on", "a"])).map(" ".join)
)
def test_reader_survives_any_text(text):
    for module in WORLDS:
        for attribute, values in module.read_caption(text).items():
            assert values
            assert values <= set(module.ATTRIBUTES[attribute])


DARK = frozenset({"black", "blue", "purple"})


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("", {}),
        ("the quick brown fox", {}),
        ("a bird", {}),
        (
            "A small red bird with a black crown.",
            {"primary_color": {"red"}, "crown_color": {"black"}, "shape": {"plump", "slender"}},
        ),
        ("dark wings", {"wing_color": DARK}),
        ("red wings and tail", {"wing_color": {"red"}, "tail_color": {"red"}}),
        ("the wings are red and the tail is dark", {"wing_color": {"red"}, "tail_color": DARK}),
        ("its wings and its tail are blue", {"wing_color": {"blue"}, "tail_color": {"blue"}}),
        ("wings of blue", {"wing_color": {"blue"}}),
        ("the crown of this bird is white", {"crown_color": {"white"}}),
        ("a hooked beak", {"beak_shape": {"hooked"}}),
        ("a purple beak", {}),
        ("a long tail", {}),
        ("yellow on the breast, at sunset", {"breast_color": {"yellow"}, "background": {"dusk"}}),
    ],
)
def test_reader_of_birds(text, mentions):
    assert birdworld.read_caption(text) == mentions


COLOURS = frozenset(sceneworld.COLOURS)


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("a ball", {"ball": COLOURS}),
        ("a red ball and a car", {"ball": {"red"}, "car": COLOURS}),
        ("the boat is blue while the fish is golden", {"boat": {"blue"}, "fish": {"yellow"}}),
        ("a mug in the snow", {"cup": COLOURS, "background": {"snow"}}),
        ("nothing at all", {}),
        ("only a kite", {c: frozenset({"absent"}) for c in sceneworld.CATEGORIES} | {"kite": COLOURS}),
    ],
)
def test_reader_of_scenes(text, mentions):
    assert sceneworld.read_caption(text) == mentions


def test_captions_use_many_patterns_and_leave_much_unsaid():
    """An image's ten captions follow ten patterns; bounds on how ambiguous the captions are (seen: 4.3 of 11 attributes said)."""
    said, distinct, words = [], 0, set()
    for i in range(80):
        rng = np.random.default_rng(i)
        attributes = birdworld.random_attributes(rng)
        lines = birdworld.captions(attributes, rng, 10)
        assert len(lines) == 10
        distinct += len(set(lines))
        words.update(word for line in lines for word in words_of(line))
        said += [birdworld.read_caption(line) for line in lines]
    assert len(bird_captions.PATTERNS) >= 20
    assert sum(len(patterns) for patterns in scene_captions.PATTERNS.values()) >= 20
    assert distinct > 760
    assert len(words) > 80
    assert 3.5 < np.mean([len(mentions) for mentions in said]) < 5.5
    assert max(len(mentions) for mentions in said) < len(birdworld.ATTRIBUTES)
    assert 0.6 < np.mean(["primary_color" in mentions for mentions in said]) < 0.95
    assert 0.02 < np.mean([any(len(values) > 1 for values in mentions.values()) for mentions in said]) < 0.5


def test_captions_of_scenes_leave_something_unsaid():
    colours, things, places = [], [], []
    for i in range(200):
        rng = np.random.default_rng(i)
        attributes = sceneworld.random_attributes(rng)
        present = {category for category in sceneworld.CATEGORIES if attributes[category] != "absent"}
        for line in sceneworld.captions(attributes, rng, 5):
            mentions = sceneworld.read_caption(line)
            named = present & mentions.keys()
            assert named
            things.append(named == present)
            places.append("background" in mentions)
            colours += [len(mentions[category]) == 1 for category in named]
    assert 0.7 < np.mean(colours) < 0.95
    assert 0.6 < np.mean(things) < 0.95
    assert 0.2 < np.mean(places) < 0.8


def test_ideal_reader_tells_captions_apart():
    """The ceiling of R-precision on the test species: among 100 captions of other species few fit a picture as well as its own."""
    rng = np.random.default_rng(0)
    rows = [(i, species()[i] | {"background": "lake"}) for i in TEST for _ in range(10)]
    texts = [(i, birdworld.read_caption(birdworld.captions(attributes, rng, 1)[0])) for i, attributes in rows]
    hits = []
    for kind, attributes in rows:
        rivals = [all(attributes[a] in v for a, v in mentions.items()) for other, mentions in texts if other != kind]
        hits.append(1 / (1 + sum(rivals)))
    assert np.mean(hits) > 0.85
