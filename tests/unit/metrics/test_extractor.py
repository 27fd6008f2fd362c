"""Extractors: one pass, registered names, and the two Inceptions with weights that the test writes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from memgan.data.loader import to_tensor
from memgan.encoders.image import InceptionTrunk
from memgan.encoders.judges import Evaluator
from memgan.metrics import extractor

HEADS = {"wing": ("red", "blue", "green"), "beak": ("short", "long"), "tail": tuple("abcdefghij")}


class Noise(Dataset):
    """Random images that count how often they are read."""

    def __init__(self, count: int, side: int = 16):
        self.images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
        self.reads = 0

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> torch.Tensor:
        self.reads += 1
        return torch.from_numpy(self.images[i]).permute(2, 0, 1)


def judge() -> Evaluator:
    torch.manual_seed(0)
    return Evaluator(4, 6, 16, HEADS).eval().requires_grad_(False)


def test_one_pass_gives_all_outputs_of_the_evaluator() -> None:
    network, images = judge(), Noise(10)
    name = extractor.register("evaluator:test", network)
    found = extractor.extract(name, images)
    assert images.reads <= 11  # torch-fidelity looks at the first one to see what it is
    tensors = to_tensor(list(images.images))
    assert torch.allclose(found["features"], network.features(tensors), atol=1e-6)
    logits = network.logits(tensors)
    assert torch.allclose(found["heads"], torch.cat([logits[head] for head in HEADS], dim=1), atol=1e-6)


def test_joint_logits_are_the_product_of_the_heads() -> None:
    heads = {name: torch.randn(4, len(values)) for name, values in HEADS.items()}
    joint = extractor.joint_logits(heads).exp()
    assert joint.shape == (4, 60)
    assert torch.allclose(joint.sum(dim=1), torch.ones(4))
    wing, beak, tail = (heads[name].softmax(dim=1) for name in HEADS)
    assert joint[2, 1 * 20 + 1 * 10 + 7].item() == pytest.approx((wing[2, 1] * beak[2, 1] * tail[2, 7]).item(), rel=1e-5)


def test_joint_heads_stop_at_the_limit_but_take_one() -> None:
    assert extractor.joint_heads({"a": 50, "b": 4, "c": 2}) == ["a", "b"]
    assert extractor.joint_heads({"a": 1000, "b": 2}) == ["a"]


def test_a_name_is_replaced_by_the_next_network() -> None:
    first, second = judge(), Evaluator(4, 6, 16, HEADS).eval()
    for network in (first, second):
        name = extractor.register("evaluator:test", network)
        assert FEATURE_EXTRACTORS_REGISTRY[name].given is network


def test_torchvisions_inception_is_pooled_features_of_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    trunk = InceptionTrunk()
    weights = trunk.state_dict() | {"fc.weight": torch.zeros(2, 2)}
    monkeypatch.setattr(extractor, "imagenet_weights", lambda network: {"inception_v3": weights}[network])
    images = Noise(2)
    found = extractor.extract(extractor.register_torchvision(), images)["2048"]
    with torch.no_grad():
        expected = trunk(to_tensor(list(images.images)))[1]
    assert found.shape == (2, 2048)
    assert torch.allclose(found, expected, atol=1e-4)


def test_torch_fidelitys_inception_reads_the_checked_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    torch.save({}, path)
    with monkeypatch.context() as patched:
        patched.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = FeatureExtractorInceptionV3(extractor.COMPAT, ["2048"], feature_extractor_weights_path=str(path))
    torch.save(network.state_dict(), path)
    monkeypatch.setattr(extractor, "compat_weights", lambda: path)
    images = Noise(2)
    found = extractor.extract(extractor.COMPAT, images)
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {"2048": (2, 2048), "logits_unbiased": (2, 1008)}
    assert torch.allclose(found["2048"], network(torch.stack([images[0], images[1]]))[0], atol=1e-4)
