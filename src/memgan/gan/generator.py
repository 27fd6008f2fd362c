"""The generator: caption, noise and an image feature in, one image a stage out (SPEC 5; the paper's section 4.1)."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from memgan.artifacts import load_tensors
from memgan.device import placed
from memgan.errors import InputError
from memgan.gan.blocks import ACM, Affine, ResidualBlock, UpBlock, conv3x3
from memgan.gan.whitening import Whitening
from memgan.gan.wide_linear import WideLinear
from memgan.params.data import Images
from memgan.params.gan import Gan


class Inputs(NamedTuple):
    """What the generator is given; B images."""

    sentence: Tensor  # B x D
    words: Tensor  # B x D, the mean of the caption's word embeddings
    noise: Tensor  # B x z, N(0, I)
    jitter: Tensor  # B x condition, N(0, I), of the conditioning augmentation
    feature: Tensor  # B x C x h x h, relu5_3


class Outputs(NamedTuple):
    """What it gives back."""

    images: list[Tensor]  # B x 3 x p x p a stage, in (-1, 1)
    mean: Tensor  # B x condition
    log_variance: Tensor  # B x condition


class ConditioningAugmentation(nn.Module):
    """s -> c ~ N(mu(s), sigma(s)^2) by reparametrisation (StackGAN, section 3.2)."""

    def __init__(self, dimension: int, condition: int):
        super().__init__()
        self.linear = nn.Sequential(nn.Linear(dimension, 4 * condition), nn.GLU(1))

    def forward(self, sentence: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(c, mu, log sigma^2), each B x condition."""
        mean, log_variance = self.linear(sentence).chunk(2, dim=1)
        return mean + jitter * torch.exp(0.5 * log_variance), mean, log_variance


class FirstStage(nn.Module):
    """[c, mean w, z, v_G] -> ngf x p_1 x p_1: a linear layer to 16 ngf x 4 x 4, then up-blocks that narrow it in equal ratios.

    At the paper's 64 x 64 each of the four halves the width. A smaller p_1 has fewer, and as wide a start: this layer alone is
    told the caption.
    """

    def __init__(self, inputs: int, side: int, gan: Gan):
        super().__init__()
        ups = (side // 4).bit_length() - 1
        widths = [round(gan.ngf * 16 ** (1 - k / ups)) for k in range(ups + 1)]
        self.width = widths[0]
        self.linear = WideLinear(inputs, self.width * 4 * 4 * 2)
        self.norm = nn.BatchNorm1d(self.width * 4 * 4 * 2)
        self.ups = nn.Sequential(*(UpBlock(a, b, gan.norm) for a, b in pairwise(widths)))

    def forward(self, x: Tensor) -> Tensor:
        """x: B x inputs."""
        x = nn.functional.glu(self.norm(self.linear(x)), 1)
        x = x.view(-1, self.width, 4, 4)  # B x (w*4*4) -> B x w x 4 x 4
        return self.ups(x.contiguous(memory_format=torch.channels_last))


def combination(gan: Gan) -> ACM:
    """An ACM as wide as the stages."""
    return ACM(gan.ngf, gan.ngf, gan.acm_width, gan.acm_start == "one")


class NextStage(nn.Module):
    """ngf x p x p -> ngf x 2p x 2p: ACM, residual blocks, up-block."""

    def __init__(self, gan: Gan):
        super().__init__()
        self.acm = combination(gan) if gan.image_features else None
        self.residuals = nn.Sequential(*(ResidualBlock(gan.ngf, gan.norm) for _ in range(gan.residual_blocks)))
        self.up = UpBlock(gan.ngf, gan.ngf, gan.norm)

    def forward(self, hidden: Tensor, affine: Affine | None) -> Tensor:
        """hidden: B x ngf x p x p; affine: the ACM's, if the image feature is used."""
        if affine is not None:
            hidden = affine.of(hidden)
        return self.up(self.residuals(hidden))


class Head(nn.Module):
    """ngf x p x p -> 3 x p x p in (-1, 1): ACM, conv3x3, tanh."""

    def __init__(self, gan: Gan):
        super().__init__()
        self.acm = combination(gan) if gan.image_features else None
        self.rgb = conv3x3(gan.ngf, 3)

    def forward(self, hidden: Tensor, affine: Affine | None) -> Tensor:
        """hidden: B x ngf x p x p; affine: the ACM's, if the image feature is used."""
        if affine is not None:
            hidden = affine.of(hidden)
        return torch.tanh(self.rgb(hidden))


class FeatureBranch(nn.Module):
    """v -> the image feature at every stage's size, width ngf: up-blocks to the first, then one up-block a stage."""

    def __init__(self, channels: int, side: int, sides: list[int], gan: Gan):
        super().__init__()
        ups = (sides[0] // side).bit_length() - 1
        widths = [channels] + [gan.ngf] * ups
        first = nn.Sequential(*(UpBlock(a, b, gan.norm) for a, b in pairwise(widths)))
        self.ups = nn.ModuleList([first, *(UpBlock(gan.ngf, gan.ngf, gan.norm) for _ in sides[1:])])

    def forward(self, feature: Tensor) -> list[Tensor]:
        """feature: B x C x h x h. Returns B x ngf x p x p for each stage."""
        outputs = []
        for up in self.ups:
            feature = up(feature)
            outputs.append(feature)
        return outputs


class Generator(nn.Module):
    """All stages, one image each.

    `dimension` is D of the text embedding, `channels` C of v, both as the encoders were trained. Raises InputError if there are too
    many stages for the images.
    """

    def __init__(self, gan: Gan, images: Images, dimension: int, channels: int):
        super().__init__()
        if misfit := gan.misfit(images):
            raise InputError(f"params.yaml: `gan.stages`: {misfit}")
        self.gan, self.sides = gan, stage_sides(images.size, gan.stages)
        self.sentence = Whitening(dimension) if gan.whiten else nn.Identity()
        self.words = Whitening(dimension) if gan.whiten and gan.text == "both" else nn.Identity()
        self.augmentation = ConditioningAugmentation(dimension, gan.condition)
        inputs = gan.condition + gan.z + dimension * (gan.text == "both") + channels * gan.global_feature
        self.first = FirstStage(inputs, self.sides[0], gan)
        self.nexts = nn.ModuleList(NextStage(gan) for _ in self.sides[1:])
        self.heads = nn.ModuleList(Head(gan) for _ in self.sides)
        self.branch = FeatureBranch(channels, images.feature_side, self.sides, gan) if gan.image_features else None

    def forward(self, inputs: Inputs, affines: Iterable[Affine | None] | None = None) -> Outputs:
        """One image a stage for each of the B inputs. `affines` are those of the feature, if it has been looked at before."""
        condition, mean, log_variance = self.augmentation(self.sentence(inputs.sentence), inputs.jitter)
        parts = [condition, inputs.noise]
        if self.gan.text == "both":
            parts.append(self.words(inputs.words))
        if self.gan.global_feature:
            parts.append(inputs.feature.mean(dim=(2, 3)))  # v_G: B x C
        hidden = self.first(torch.cat(parts, dim=1))
        told = iter(self._affines(inputs.feature) if affines is None else affines)
        images = [self.heads[0](hidden, next(told))]
        for following, head in zip(self.nexts, self.heads[1:], strict=True):
            hidden = following(hidden, next(told))
            images.append(head(hidden, next(told)))
        return Outputs(images, mean, log_variance)

    def look(self, feature: Tensor) -> list[Affine | None]:
        """What v, B x C x h x h, tells each ACM, in the order in which hidden maps pass them; None for each without image features.

        Neither caption nor noise is in it: several images of one v need it once.
        """
        return list(self._affines(feature))

    def _affines(self, feature: Tensor) -> Iterator[Affine | None]:
        """Made when they are asked for: at 256 px all of them together are much memory."""
        if self.branch is None:
            yield from [None] * (len(self.heads) + len(self.nexts))
            return
        features = self.branch(feature)
        yield self.heads[0].acm(features[0])
        for stage, (following, head) in enumerate(zip(self.nexts, self.heads[1:], strict=True)):
            yield following.acm(features[stage])
            yield head.acm(features[stage + 1])


def stage_sides(size: int, stages: int) -> list[int]:
    """Sides of the stages' images in px, each half of the next, the last `size`."""
    return [size >> (stages - 1 - k) for k in range(stages)]


def load_generator(path: Path, gan: Gan, images: Images) -> tuple[Generator, Mapping[str, Any]]:
    """The averaged generator, ready to sample, and its manifest. Raises InputError if it was trained with other networks."""
    tensors, manifest = load_tensors(path)
    sizes = manifest["params"]["networks"]
    with torch.device("meta"):
        generator = Generator(gan, images, sizes["dimension"], sizes["channels"])
    if {k: v.shape for k, v in generator.state_dict().items()} != {k: v.shape for k, v in tensors.items()}:
        raise InputError(f"{path}: trained with other `gan` or `images` entries than params.yaml has now; train again")
    generator.load_state_dict(tensors, assign=True)
    return placed(generator).eval().requires_grad_(False).to(memory_format=torch.channels_last), manifest
