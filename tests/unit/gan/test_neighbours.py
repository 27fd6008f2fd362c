"""Whose v a training caption gets: `features.online` and `train.neighbours` (SPEC 2, 4)."""

from pathlib import Path

import pytest
import torch

from memgan.data.loader import Batch
from memgan.data.shards import ImageFolder
from memgan.device import beside
from memgan.encoders.feature_network import FeatureNetwork, load_vgg
from memgan.encoders.matched import load_damsm
from memgan.encoders.vocabulary import Vocabulary
from memgan.gan.neighbours import Neighbours
from memgan.gan.recipe import Recipe
from memgan.gan.texts import TextReader
from memgan.memory.features import FeatureStore
from memgan.params.load import read_yaml
from tests.banks import memory_block
from tests.factory import damsm_block, features_block, gan_block, images_block, train_block
from tests.untrained import SMALL, World, make_world

GEOMETRY = images_block(**SMALL["images"])


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    read_yaml.cache_clear()
    made = make_world(tmp_path)
    made.features()
    made.bank()
    yield made
    read_yaml.cache_clear()


def subject(world: World, neighbours: str = "own", network: FeatureNetwork | None = None) -> Neighbours:
    damsm, words = damsm_block(**SMALL["damsm"]), Vocabulary.load(world.root / "vocabulary")
    recipe = Recipe(gan_block(), train_block(neighbours=neighbours), GEOMETRY, damsm, "avg", 0)
    reader = TextReader(words, load_damsm(world.root / "damsm", damsm, GEOMETRY, words)[0], damsm.words)
    folder, store = ImageFolder(world.root / "images", "train"), FeatureStore(world.root / "features")
    memory = memory_block(strategy="sentence_sentence")
    return Neighbours(folder, store, network, memory, recipe, world.root / "bank", reader)


def test_v_of_the_very_crop_or_of_the_cached_one(world: World) -> None:
    rows, flipped = torch.tensor([3, 0, 7]), torch.tensor([False, True, True])
    batch = Batch([torch.rand(3, 3, 16, 16) * 2 - 1], rows, ["a red bird"] * 3, rows, flipped)
    cached = subject(world).features(batch)
    assert torch.equal(cached, FeatureStore(world.root / "features").v(rows, flipped))
    assert not torch.equal(cached, FeatureStore(world.root / "features").v(rows))
    network = load_vgg(world.root / "vgg", features_block(**SMALL["features"]), GEOMETRY)
    assert torch.equal(subject(world, network=network).features(batch), network(beside(network, batch.images[-1])))


def test_own_retrieved_and_never_oneself(world: World) -> None:
    entries = ImageFolder(world.root / "images", "train").rows
    pairs = {(row, text) for row, entry in enumerate(entries) for text in entry["captions"]}
    assert subject(world).found == {}
    found = subject(world, "retrieved").found
    assert set(found) == pairs
    assert all(text in entries[row]["captions"] for (_, text), row in found.items())  # the same caption is nearest
    apart = subject(world, "retrieved_excluding_self")
    assert set(apart.found) == pairs
    assert all(own != row for (own, _), row in apart.found.items())
    own, text = min(pairs)
    batch = Batch([], torch.tensor([own]), [text], torch.tensor([own]), torch.tensor([True]))  # only its own v would be mirrored
    assert torch.equal(apart.features(batch)[0], apart.store.v(torch.tensor([apart.found[own, text]]))[0])
