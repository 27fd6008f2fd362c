"""Scores point the right way: real images beat worse ones, those beat noise, and wrong captions score at chance."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from memgan import artifacts
from memgan.data.worlds import birdworld
from memgan.encoders.evaluator import train
from memgan.encoders.examples import Renderings
from memgan.encoders.judges import Evaluator, load_evaluator
from memgan.metrics.judge import Pairs, Real, image_quality, inception_score, text_image
from memgan.metrics.protocol import Protocol
from memgan.metrics.reference import every_caption, load_reference, main
from memgan.metrics.samples import RealImages
from memgan.params import encoders
from memgan.params.data import World as WorldBlock
from memgan.params.load import Settings
from tests.factory import images_block
from tests.scoring import SIZE, World

TRAINING = {"width": 8, "features": 16, "images": 1600, "epochs": 3, "batch": 32, "lr": 0.004}


class Worse(Dataset):
    """Real images mixed with noise: 0 are the images themselves, 1 nothing but noise."""

    def __init__(self, images: Dataset, share: float):
        self.images, self.share = images, share
        self.noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (len(images), 3, SIZE, SIZE)))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.noise)

    def __getitem__(self, i: int) -> torch.Tensor:
        return ((1 - self.share) * self.images[i] + self.share * self.noise[i]).round().to(torch.uint8)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Protocol, Real]:
    """A birdworld whose evaluator has learned for some seconds."""
    folder = tmp_path_factory.mktemp("directions")
    world = World(folder, train=60, test=120, negatives=9)
    geometry, params = images_block(size=SIZE, short_side=SIZE), encoders.Evaluator(**TRAINING)
    drawn = WorldBlock(name="birdworld", train_images=1, test_images=1, side=48, pose=0.0)
    source = Renderings(drawn, geometry, params.images, params.batch, seed=0)
    torch.manual_seed(0)
    network = Evaluator(params.width, params.features, SIZE, source.heads)
    train(network, source, params, seed=0)
    said = {"step": "memgan.encoders.evaluator", "heads": network.heads}
    said["params"] = {"evaluator": TRAINING, "images": geometry.model_dump()}
    artifacts.save_tensors(world.inputs.evaluator, network.state_dict(), said)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(world.name, *vars(world.inputs).values(), folder / "reference.safetensors", folder / "real.json")
        protocol = Protocol(Settings(world.name), world.inputs)
    return protocol, load_reference(folder / "reference.safetensors", protocol)[0]


def test_the_worse_the_images_the_worse_the_scores(judged: tuple[Protocol, Real]) -> None:
    protocol, real = judged
    images, pairs = RealImages(protocol.test, SIZE), every_caption(protocol, list(range(len(protocol.test))))
    scores = []
    for share in (0.0, 0.3, 0.6, 1.0):
        passes = protocol.passes(Worse(images, share))
        found = image_quality(protocol, passes, real) | text_image(protocol, passes, pairs, real.sentences)
        scores.append(found | inception_score(protocol, passes))
    for name in ("FID", "KID"):
        values = [found[name]["value"] for found in scores]
        assert values == sorted(values), name
        assert values[0] < values[1] / 5, name
    for name in ("precision", "attribute accuracy", "attribute accuracy (all)"):
        values = [found[name]["value"] for found in scores]
        assert values[0] >= values[1] >= values[2] >= values[3], name
        assert values[0] > values[3], name
    assert scores[0]["IS"]["value"] > scores[3]["IS"]["value"]
    accuracy = scores[0]["attribute accuracy"]
    assert accuracy["value"] > 2 * accuracy["chance"]
    blind = scores[-1]["attribute accuracy"]
    assert blind["value"] < 1.5 * blind["chance"]


def test_captions_of_other_images_score_at_chance(judged: tuple[Protocol, Real]) -> None:
    protocol, real = judged
    passes = protocol.passes(RealImages(protocol.test, SIZE))
    right = every_caption(protocol, list(range(len(protocol.test))))
    order = np.random.default_rng(0).permutation(len(right.captions))
    # image i with somebody's caption, and with that caption's classmates excluded from the wrong ones
    wrong = Pairs(right.images, [right.rows[i] for i in order], [right.captions[i] for i in order])
    # what a DAMSM that has learned would see in an image: what its captions say
    told = protocol.sentences(right.captions).unflatten(0, (len(protocol.test), -1))
    passes[protocol.damsm] = {"embedding": told.mean(dim=1)}
    found, own = (text_image(protocol, passes, pairs, real.sentences) for pairs in (wrong, right))
    n = found["R-precision"]["n"]
    chance = found["R-precision"]["chance"]
    assert chance == 10
    assert abs(found["R-precision"]["value"] - chance) < 4 * 100 * np.sqrt(0.1 * 0.9 / n) + 1
    assert abs(found["attribute accuracy"]["value"] - found["attribute accuracy"]["chance"]) < 6
    assert own["R-precision"]["value"] > 2 * chance
    assert own["attribute accuracy"]["value"] > found["attribute accuracy"]["value"] + 15


def test_an_evaluator_judges_the_same_after_reading_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    torch.manual_seed(1)
    judge = Evaluator(4, 6, SIZE, birdworld.ATTRIBUTES).eval()  # as the world's files hold it
    images = torch.rand(3, 3, SIZE, SIZE)
    back, logits = load_evaluator(world.inputs.evaluator), judge.logits(images)
    assert list(back.heads) == list(birdworld.ATTRIBUTES)
    for name, found in back.logits(images).items():
        assert torch.equal(found, logits[name]), name
