import numpy as np
import pytest
import torch

from memgan.data.loader import to_tensor
from memgan.data.shards import ImageFolder
from memgan.encoders.feature_network import load_vgg
from memgan.errors import InputError
from memgan.memory import shards
from memgan.memory.features import FeatureStore
from tests.factory import features_block, images_block
from tests.untrained import IMAGES, SMALL


def test_holds_v_of_the_centre_crop_plain_and_mirrored(world, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 2 * 2 * 8 * 16 * 5)  # five images a shard
    store = FeatureStore(world.features())
    network = load_vgg(world.root / "vgg", features_block(**SMALL["features"]), images_block(**SMALL["images"]))
    folder = ImageFolder(world.root / "images", "train")
    pictures = to_tensor([folder.centre(i, 16) for i in range(IMAGES)])
    plain, mirrored = network(pictures), network(pictures.flip(-1))
    rows, flipped = torch.tensor([7, 0, 11, 7]), torch.tensor([True, False, True, False])
    wanted = torch.where(flipped[:, None, None, None], mirrored[rows], plain[rows])
    torch.testing.assert_close(store.v(rows, flipped), wanted, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(store.v(rows), plain[rows], atol=2e-3, rtol=2e-3)
    assert (store.v(rows, flipped)[0] != store.v(rows)[0]).any()
    assert store.v(rows).dtype == torch.float32
    assert (len(store), store.shape) == (IMAGES, (8, 4, 4))
    assert store.ids == [f"image {i}" for i in range(IMAGES)]
    assert len(list((world.root / "features").glob("v-*.safetensors"))) == 3


def test_shards_do_not_change_what_is_stored(world, monkeypatch):
    whole = FeatureStore(world.features()).v(np.arange(IMAGES))
    monkeypatch.setattr(shards, "SHARD_BYTES", 2 * 2 * 8 * 16 * 5)
    torch.testing.assert_close(FeatureStore(world.features()).v(np.arange(IMAGES)), whole, atol=1e-3, rtol=1e-3)


def test_the_same_inputs_give_the_same_bytes(world):
    first = {path.name: path.read_bytes() for path in world.features().iterdir()}
    assert first == {path.name: path.read_bytes() for path in world.features().iterdir()}


@pytest.mark.parametrize("row", [-1, IMAGES])
def test_a_row_outside_is_refused(world, row):
    store = FeatureStore(world.features())
    with pytest.raises(IndexError, match="of an array of 24 rows"):
        store.v(np.array([row]))


def test_a_changed_shard_is_refused_by_name_when_it_is_read(world):
    path = world.features() / "v-00000.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    store = FeatureStore(path.parent)
    for reading in (lambda: store.v(np.array([0])), store.verify):
        with pytest.raises(InputError, match=r"v-00000\.safetensors: its contents have changed"):
            reading()
