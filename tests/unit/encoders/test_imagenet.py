import hashlib

import pytest
import torch

from memgan.data.fetch import LOCK, MIRROR
from memgan.encoders import imagenet
from memgan.encoders.published import WEIGHTS, Published, weights_file
from memgan.errors import InputError
from tests.server import web  # noqa: F401 (a fixture)


@pytest.fixture
def toy(tmp_path, monkeypatch, web):  # noqa: F811
    """A function that publishes an object as the network `toy` of an empty cache, which it returns."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.delenv(MIRROR, raising=False)

    def publish(content, kind="good"):
        source = tmp_path / "published.pth"
        torch.save(content, source)
        data = source.read_bytes()
        head = hashlib.sha256(data).hexdigest()[:8]
        file = Published(f"sha256:{head}", None, "a toy", (web(data).url(kind, f"toy-{head}.pth"),))
        monkeypatch.setitem(WEIGHTS, "toy", file)
        return tmp_path / "hub" / "checkpoints" / file.name

    return publish


def test_weights_are_fetched_once(toy):
    path = toy({"weight": torch.arange(3.0)})
    assert imagenet.imagenet_weights("toy")["weight"].tolist() == [0, 1, 2]
    assert [each for each in path.parent.iterdir() if each.name != LOCK] == [path]
    toy({"weight": torch.arange(3.0)}, "gone")
    assert imagenet.imagenet_weights("toy")["weight"].tolist() == [0, 1, 2]


def test_a_damaged_file_is_fetched_again(toy):
    path = toy({"weight": torch.arange(3.0)})
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    assert imagenet.imagenet_weights("toy")["weight"].tolist() == [0, 1, 2]


def test_without_network_the_message_names_file_checksum_and_place(toy):
    path = toy({}, "gone")
    with pytest.raises(InputError, match=rf"^{path.name}: no address .*404.*; put the file with sha256:\w+ into .*checkpoints"):
        imagenet.imagenet_weights("toy")


def test_code_in_a_file_is_not_run(toy):
    path = toy({"weight": torch.nn.Linear(1, 1)})
    with pytest.raises(InputError, match=rf"{path.name}: holds more than tensors"):
        imagenet.imagenet_weights("toy")


def test_the_published_names_carry_the_checksums():
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    assert {name: file.name for name, file in WEIGHTS.items()} == {
        "vgg16": "vgg16-397923af.pth",
        "inception_v3": "inception_v3_google-0cc3c7bd.pth",
        "fidelity": "weights-inception-2015-12-05-6726825d.pth",
    }
    assert WEIGHTS["fidelity"].urls[0] == URL_INCEPTION_V3
    for file in WEIGHTS.values():
        algorithm, _, digits = file.checksum.partition(":")
        assert algorithm in ("md5", "sha256") and set(digits) <= set("0123456789abcdef")
        assert algorithm == "md5" or "-" not in file.name or file.name.rpartition("-")[2] == f"{digits[:8]}.pth"


def test_weights_lie_in_torchs_cache(toy):
    path = toy({})
    assert weights_file("toy") == path
