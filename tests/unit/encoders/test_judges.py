"""The judge of IS on CUB: Inception-v3, fine-tuned on the classes of the test images."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from torch.utils.data import Dataset

from memgan import artifacts
from memgan.data.shards import ImageFolder
from memgan.encoders import evaluator
from memgan.encoders.examples import Labelled
from memgan.encoders.image import InceptionTrunk
from memgan.encoders.judges import FineTuned, judge, load_evaluator
from memgan.encoders.vocabulary import Vocabulary
from memgan.metrics import extractor
from memgan.params import encoders
from memgan.params.load import read_yaml
from tests.factory import PARAMS, images_block
from tests.unit.encoders.conftest import SMALL

WORDS = Vocabulary(["a", "square"])
TUNED = {"network": "inception_v3", "split": "test", "epochs": 1, "batch": 2, "lr": 1e-4}


class Whole(Dataset):
    """Images as torch-fidelity takes them."""

    def __init__(self, images: torch.Tensor):
        self.images = (images * 127.5 + 127.5).round().to(torch.uint8)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> torch.Tensor:
        return self.images[number]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Weights in torchvision's names, as its file holds them."""
    torch.manual_seed(0)
    trunk = InceptionTrunk()
    for module in trunk.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    weights = {name: tensor.clone() for name, tensor in trunk.state_dict().items()}
    monkeypatch.setattr(evaluator, "imagenet_weights", lambda name: weights if name == "inception_v3" else None)
    return weights


@pytest.fixture
def project(project: Path) -> Path:
    """Four of the 32 images, of two of the 16 classes, are test images."""
    path = project / "images/index.json"
    index = json.loads(path.read_text())
    test = [row for row in index["train"] if row["label"] in (3, 9)]
    kept = [row for row in index["train"] if row not in test]
    path.write_text(json.dumps(index | {"train": kept, "test": test}))
    tree = yaml.safe_load((project / "params.yaml").read_text())
    tree["data"]["photos"]["evaluator"] = TUNED
    (project / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    read_yaml.cache_clear()
    return project


def test_inception_is_fine_tuned_on_the_test_classes(project: Path, published: dict[str, torch.Tensor]) -> None:
    artifacts.write_json(Path("vocabulary.json"), {"words": WORDS.words})
    evaluator.main(images=Path("images"), vocabulary=Path("vocabulary.json"), dataset="photos", out=Path("judge.safetensors"))
    tuned, test = load_evaluator(Path("judge.safetensors")), ImageFolder(Path("images"), "test")
    assert isinstance(tuned, FineTuned)
    assert tuned.heads == {"class": (test.classes[3], test.classes[9])}
    found = tuned.trunk.state_dict()
    moved = {name for name, tensor in published.items() if not torch.equal(found[name], tensor)}
    assert {name for name in published if name.endswith("conv.weight")} <= moved  # all layers learn
    assert not any(name.endswith(("running_mean", "running_var")) for name in moved)  # BatchNorm's statistics stay
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    name = extractor.register("evaluator:photos", tuned)
    assert extractor.extract(name, Whole(images))["features"].shape == (2, 2048)


def test_a_split_teaches_only_its_own_classes(project: Path) -> None:
    params = encoders.Evaluator(**PARAMS["evaluator"] | SMALL["evaluator"] | {"batch": 2, "split": "test"})
    source = Labelled(Path("images"), images_block(**SMALL["images"]), WORDS, params, 1)
    test = source.batches.source
    assert test.split == "test"
    _, targets = source.batch_at(0)
    for row, target in zip(source.batches.batch_at(0).rows.tolist(), targets[:, 0].tolist(), strict=True):
        assert source.heads["class"][target] == test.classes[test.rows[row]["label"]]


def test_what_is_judged_follows_from_one_feature_vector() -> None:
    with torch.device("meta"):
        network = judge(encoders.Evaluator(**PARAMS["evaluator"] | TUNED), 256, {"class": ("a", "b", "c")})
        assert network.features(torch.empty(2, 3, 256, 256)).shape == (2, 2048)
        assert network.logits(torch.empty(2, 3, 256, 256))["class"].shape == (2, 3)
