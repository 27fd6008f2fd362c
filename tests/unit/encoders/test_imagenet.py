import hashlib

import pytest
import torch

from memgan.encoders import imagenet
from memgan.errors import InputError


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """torch's cache of weights, empty, and a made-up network `toy` whose published file it may hold."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    source = tmp_path / "published.pth"
    torch.save({"weight": torch.arange(3.0)}, source)
    head = hashlib.sha256(source.read_bytes()).hexdigest()[:8]
    published = source.rename(tmp_path / f"toy-{head}.pth")
    monkeypatch.setitem(imagenet.URLS, "toy", published.as_uri())
    return tmp_path / "checkpoints", published


def test_weights_are_fetched_once(checkpoints):
    folder, published = checkpoints
    assert imagenet.imagenet_weights("toy")["weight"].tolist() == [0, 1, 2]
    assert [path.name for path in folder.iterdir()] == [published.name]
    published.unlink()
    assert imagenet.imagenet_weights("toy")["weight"].tolist() == [0, 1, 2]


def test_a_damaged_file_is_refused(checkpoints):
    folder, published = checkpoints
    folder.mkdir()
    (folder / published.name).write_bytes(published.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"{published.name}: damaged .*delete it"):
        imagenet.imagenet_weights("toy")


def test_without_network_the_message_names_file_and_address(checkpoints):
    folder, published = checkpoints
    published.unlink()
    with pytest.raises(InputError, match=rf"{published.name}: not there, and file://.* could not be fetched"):
        imagenet.imagenet_weights("toy")
    assert not list(folder.glob("*"))


def test_code_in_a_file_is_not_run(checkpoints):
    folder, published = checkpoints
    folder.mkdir()
    torch.save({"weight": torch.nn.Linear(1, 1)}, published)
    head = hashlib.sha256(published.read_bytes()).hexdigest()[:8]
    renamed = published.rename(published.with_name(f"evil-{head}.pth"))
    imagenet.URLS["toy"] = renamed.as_uri()
    with pytest.raises(InputError, match=r"evil-.*\.pth"):
        imagenet.imagenet_weights("toy")


def test_the_published_names_carry_the_checksums():
    assert imagenet.URLS["vgg16"].endswith("/vgg16-397923af.pth")
    assert imagenet.URLS["inception_v3"].endswith("/inception_v3_google-0cc3c7bd.pth")


def test_normalisation_of_images_between_minus_one_and_one():
    images = torch.stack([torch.full((3, 2, 2), value) for value in (-1.0, 0.0, 1.0)])
    got = imagenet.normalised(images)
    for channel, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        for image, level in enumerate((0.0, 0.5, 1.0)):
            torch.testing.assert_close(got[image, channel], torch.full((2, 2), (level - mean) / std))
