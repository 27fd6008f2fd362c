"""Networks that judge images of one data set (SPEC 12): small ones, trained from nothing, and Inception-v3, fine-tuned."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from memgan.device import placed
from memgan.encoders import fit
from memgan.encoders.blocks import conv_block, halvings
from memgan.encoders.image import InceptionTrunk
from memgan.params import encoders

STEP = "memgan.encoders.evaluator"  # which trains them
GRID = 4  # side of the small network's last feature map, which is read with its positions


class Judge(nn.Module, ABC):
    """A network with one softmax head for each thing that is judged, all of them linear maps of one feature vector."""

    heads: dict[str, tuple[str, ...]]
    judge: nn.Linear

    def judging(self, features: int, heads: Mapping[str, Sequence[str]]) -> None:
        """Makes the heads; the last that a network's `__init__` does, so that the layers draw their weights in their order."""
        self.heads = {name: tuple(values) for name, values in heads.items()}
        self.judge = nn.Linear(features, sum(len(values) for values in self.heads.values()))

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Images [B, 3, size, size] in [-1, 1] -> [B, F]."""

    def judged(self, features: Tensor) -> dict[str, Tensor]:
        """Features [B, F] -> logits [B, values] of each head."""
        parts = self.judge(features).split([len(values) for values in self.heads.values()], dim=1)
        return dict(zip(self.heads, parts, strict=True))

    def logits(self, images: Tensor) -> dict[str, Tensor]:
        """Images [B, 3, size, size] in [-1, 1] -> logits [B, values] of each head."""
        return self.judged(self.features(images))


class Evaluator(Judge):
    """A small convolutional network, trained from nothing [ours].

    Its feature vector, on which FID and the like are computed, is the layer before the heads, after batch normalisation and ReLU:
    all features have a similar spread and, as in Inception's last pooling, are not negative.
    """

    def __init__(self, width: int, features: int, size: int, heads: Mapping[str, Sequence[str]]):
        super().__init__()
        downs = halvings(size, GRID)
        widths = [width * min(2**i, 4) for i in range(downs + 1)]
        blocks = [conv_block(3, width)]
        for i in range(downs):
            blocks += [conv_block(widths[i], widths[i + 1], stride=2), conv_block(widths[i + 1], widths[i + 1])]
        self.body = nn.Sequential(*(blocks[:-1] if downs else blocks))
        self.summary = nn.Sequential(nn.Linear(widths[-1] * GRID**2, features, bias=False), nn.BatchNorm1d(features), nn.ReLU())
        self.judging(features, heads)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Images [B, 3, size, size] in [-1, 1] -> [B, F]."""
        return self.summary(self.body(images).flatten(1))  # [B, C, 4, 4] -> [B, C * 16]


class FineTuned(Judge):
    """Inception-v3, trained further from ImageNet's weights [lineage: what StackGAN's and all later IS on CUB look through].

    All weights learn; BatchNorm keeps ImageNet's statistics. The feature vector is Inception's own, of 2048 numbers.
    """

    def __init__(self, heads: Mapping[str, Sequence[str]]):
        super().__init__()
        self.trunk = InceptionTrunk().requires_grad_(True)
        self.judging(InceptionTrunk.channels[1], heads)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Images [B, 3, size, size] in [-1, 1] -> [B, 2048]."""
        return self.trunk(images)[1]


def judge(params: encoders.Evaluator, size: int, heads: Mapping[str, Sequence[str]]) -> Judge:
    """The network that the block `evaluator` describes, untrained, for images of `size` px."""
    return FineTuned(heads) if params.network == "inception_v3" else Evaluator(params.width, params.features, size, heads)


def load_evaluator(path: Path) -> Judge:
    """The trained evaluator in eval mode, without gradients on its parameters; its file tells size and heads.

    Raises InputError if the file is no evaluator's.
    """
    tensors, manifest = fit.read_network(path, STEP, {})
    params = encoders.Evaluator.model_construct(**manifest["params"]["evaluator"])
    network = judge(params, manifest["params"]["images"]["size"], manifest["heads"])
    network.load_state_dict(tensors)
    return placed(network).eval().requires_grad_(False)
