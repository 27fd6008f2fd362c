"""Feature extractors by name, registered with torch-fidelity: one pass over the images serves all metrics of one (SPEC 12).

`evaluator:<data set>`     the network trained on that data set (`memgan.encoders.evaluator`): features, head logits, joint logits
`inception-v3-compat`      torch-fidelity's own Inception with the TensorFlow weights: `FID`, IS on COCO
`inception-v3-torchvision` Inception with torchvision's ImageNet weights: `FID-tv`, what most rows of the paper's table used
`damsm:<data set>`         DAMSM's image encoder: global embeddings for R-precision
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor
from torch_fidelity.utils import create_feature_extractor, get_featuresdict_from_dataset

from memgan.device import device
from memgan.encoders.image import InceptionTrunk
from memgan.encoders.imagenet import imagenet_weights
from memgan.encoders.published import weights_file
from memgan.steps import log

COMPAT, TORCHVISION = "inception-v3-compat", "inception-v3-torchvision"
BATCH = 64
JOINT_CLASSES = 200  # IS judges the joint value of the evaluator's first heads, as many as make at most this many classes
OUTPUTS = {  # what each kind of extractor gives: all of it in one pass
    "evaluator": ("features", "heads", "logits"),
    "damsm": ("embedding",),
    COMPAT: ("2048", "logits_unbiased"),
    TORCHVISION: ("2048",),
}


class _Extractor(FeatureExtractorBase):
    """What ours share: uint8 images [B, 3, H, W] in, a tuple of the requested outputs out."""

    kind: str
    given: nn.Module
    outputs: Callable[[Tensor], Mapping[str, Tensor]]  # each kind's own: all outputs of float images in [-1, 1]

    def __init__(self, name: str, features_list: Sequence[str], **_: Any):
        super().__init__(name, list(features_list))
        self.network = self.given

    @classmethod
    def get_provided_features_list(cls) -> tuple[str, ...]:
        """Names of all outputs."""
        return OUTPUTS[cls.kind]

    @classmethod
    def get_default_feature_layer_for_metric(cls, metric: str) -> str:
        """IS wants logits, everything else features."""
        return OUTPUTS[cls.kind][-1 if metric == "isc" else 0]

    @staticmethod
    def can_be_compiled() -> bool:
        """Never: compiled arithmetic differs in the last bits."""
        return False

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """uint8 [B, 3, H, W] -> the requested outputs, float32 [B, F] each."""
        found = self.outputs(images.float().div_(127.5).sub_(1.0).contiguous(memory_format=torch.channels_last))
        return tuple(found[name].float() for name in self.features_list)


class _Evaluator(_Extractor):
    kind = "evaluator"

    def outputs(self, images: Tensor) -> Mapping[str, Tensor]:
        features = self.network.features(images)
        heads = self.network.judged(features)
        return {"features": features, "heads": torch.cat(list(heads.values()), dim=1), "logits": joint_logits(heads)}


class _Damsm(_Extractor):
    kind = "damsm"

    def outputs(self, images: Tensor) -> Mapping[str, Tensor]:
        return {"embedding": self.network(images)[1]}


class _Torchvision(_Extractor):
    kind = TORCHVISION

    def outputs(self, images: Tensor) -> Mapping[str, Tensor]:
        return {"2048": self.network(images)[1]}


KINDS: dict[str, type[_Extractor]] = {kind.kind: kind for kind in (_Evaluator, _Damsm, _Torchvision)}


def joint_heads(heads: Mapping[str, int]) -> list[str]:
    """The first heads (name -> number of values), at least one, whose values have at most JOINT_CLASSES combinations."""
    chosen, classes = [], 1
    for name, count in heads.items():
        if chosen and classes * count > JOINT_CLASSES:
            break
        chosen.append(name)
        classes *= count
    return chosen


def joint_logits(heads: Mapping[str, Tensor]) -> Tensor:
    """Log-probabilities of the joint value of the first heads, taken as independent given the image: [B, combinations]."""
    total = None
    for name in joint_heads({name: logits.shape[1] for name, logits in heads.items()}):
        one = heads[name].log_softmax(dim=1)
        total = one if total is None else (total[:, :, None] + one[:, None, :]).flatten(1)  # [B, n, m] -> [B, n * m]
    assert total is not None
    return total


def register(name: str, network: nn.Module) -> str:
    """Makes `<kind>:<data set>` (or TORCHVISION) known to torch-fidelity with this network; a name known before is replaced."""
    kind = KINDS[name.partition(":")[0]]
    FEATURE_EXTRACTORS_REGISTRY.pop(name, None)
    register_feature_extractor(name, type(kind.__name__, (kind,), {"given": network}))
    return name


def register_torchvision() -> str:
    """Makes `inception-v3-torchvision` known; its weights are fetched if need be. Raises InputError if they can't be had."""
    trunk = InceptionTrunk()
    trunk.load_imagenet(imagenet_weights("inception_v3"))
    return register(TORCHVISION, trunk.eval())


def compat_weights() -> Path:
    """Torch-fidelity's Inception weights, fetched if missing. Raises InputError if they can't be had."""
    return weights_file("fidelity")


def extract(name: str, images: Dataset) -> dict[str, Tensor]:
    """All outputs of a registered extractor, in one pass over uint8 images [3, H, W]: name of output -> float32 [n, F].

    The log says so, with the images' name if they have one.
    """
    cuda = device().type == "cuda"
    outputs = OUTPUTS[name.partition(":")[0]]
    more = {"feature_extractor_weights_path": str(compat_weights())} if name == COMPAT else {}
    network = create_feature_extractor(name, list(outputs), cuda=cuda, verbose=False, **more)
    log.info("%s: one pass over %d %s", name, len(images), getattr(images, "name", "images"))  # type: ignore[arg-type]
    return get_featuresdict_from_dataset(images, network, BATCH, cuda, save_cpu_ram=True, verbose=sys.stderr.isatty())
