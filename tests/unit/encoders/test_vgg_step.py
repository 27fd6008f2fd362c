from pathlib import Path

import pytest
import torch

from memgan import artifacts
from memgan.data.loader import TrainingBatches
from memgan.data.shards import ImageFolder
from memgan.encoders import fit, vgg
from memgan.encoders.feature_network import FeatureNetwork, load_vgg, normalised, vgg16_layers
from memgan.encoders.vgg import bags
from memgan.encoders.vocabulary import Vocabulary
from memgan.errors import InputError
from tests.factory import features_block, images_block
from tests.unit.encoders.conftest import SMALL, write_params

OUT = Path("vgg.safetensors")
GEOMETRY = images_block(**SMALL["images"])
WORDS = Vocabulary(["red", "green", "blue", "yellow", "square"])


def block(**changes):
    return features_block(**SMALL["features"] | changes)


def run(out: Path = OUT) -> None:
    artifacts.write_json(Path("vocabulary.json"), {"words": WORDS.words})
    vgg.main(images=Path("images"), vocabulary=Path("vocabulary.json"), dataset="birdworld", out=out)


def test_the_step_gives_the_same_bytes_twice_and_load_reads_them(project):
    run()
    run(Path("again.safetensors"))
    assert OUT.read_bytes() == Path("again.safetensors").read_bytes()
    network = load_vgg(OUT, block(), GEOMETRY)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    v = network(torch.rand(3, 3, 16, 16) * 2 - 1)
    assert v.shape == (3, 8, 4, 4)
    assert v.dtype == torch.float32
    assert v.min() >= 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": 12}, "features.channels = 8, wanted is 12"),
        ({"normalise": "none"}, "features.normalise = imagenet, wanted is none"),
        ({"network": "vgg16", "channels": 512}, "features.network = small, wanted is vgg16"),
    ],
)
def test_a_file_of_other_parameters_is_refused(project, changes, said):
    write_params(project, features={"epochs": 0})
    run()
    with pytest.raises(InputError, match=rf"vgg\.safetensors: made with {said}"):
        load_vgg(OUT, block(**changes), GEOMETRY)


def test_a_training_that_diverges_ends_in_one_line_and_writes_nothing(project):
    write_params(project, features={"lr": 1e30, "epochs": 8})
    with pytest.raises(InputError, match=r"features: at step \d+ the loss is (nan|inf); nothing is written; lower `features.lr`"):
        run()
    assert not OUT.exists()


def test_bags_hold_the_words_of_all_captions(project):
    rows = ImageFolder(Path("images"), "train").rows[:2]
    assert rows[0]["captions"][0] == "A red square on red"
    # columns: padding, unknown, red, green, blue, yellow, square
    assert bags(rows, WORDS).tolist() == [[0, 1, 1, 0, 0, 0, 1], [0, 1, 1, 1, 0, 0, 1]]


def test_training_learns_more_than_how_often_words_occur(project):
    batches = TrainingBatches(Path("images"), GEOMETRY, 1, 8, 0)
    often = bags(batches.source.rows, WORDS).mean(dim=0)
    entropy = -(torch.xlogy(often, often) + torch.xlogy(1 - often, 1 - often)).sum().item()
    losses = []
    for epochs in (0.25, 40):
        fit.reseed(0, "vgg")
        losses.append(vgg.train_small(FeatureNetwork(block(), GEOMETRY), batches, WORDS, block(epochs=epochs, lr=0.01)))
    assert losses[0] == pytest.approx(entropy, rel=0.1)  # where it starts
    assert losses[1] < 0.7 * entropy


def test_vgg16_takes_the_published_file(project, monkeypatch):
    torch.manual_seed(0)
    published = {f"features.{name}": tensor for name, tensor in vgg16_layers().state_dict().items()}
    published["classifier.0.weight"] = torch.zeros(1)
    monkeypatch.setattr(vgg, "imagenet_weights", lambda name: published if name == "vgg16" else None)
    write_params(project, features={"network": "vgg16", "channels": 512})
    run()
    network = load_vgg(OUT, block(network="vgg16", channels=512), GEOMETRY)
    for name, tensor in network.layers.state_dict().items():
        assert torch.equal(tensor, published[f"features.{name}"])


def test_vgg16_has_512_channels():
    with pytest.raises(ValueError, match="vgg16 has 512 channels"):
        features_block(network="vgg16", channels=128)


def test_normalisation_of_images_between_minus_one_and_one():
    images = torch.stack([torch.full((3, 2, 2), value) for value in (-1.0, 0.0, 1.0)])
    got = normalised(images)
    for channel, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        for image, level in enumerate((0.0, 0.5, 1.0)):
            torch.testing.assert_close(got[image, channel], torch.full((2, 2), (level - mean) / std))
