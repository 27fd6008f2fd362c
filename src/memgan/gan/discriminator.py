"""The discriminators: is this image real, and does it fit the caption? (SPEC 6; the paper's section 4.2)

One for each stage. Beside what its convolutions find, each sees content: the image itself, pooled again and again to the size of
every hidden feature.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from memgan.gan.blocks import Norm, down_block, normalise_spectrum, same_block
from memgan.params.gan import Gan, Pooling


class ContentPyramid(nn.Module):
    """Image 3 x p x p -> a_0 3 x p/2 x p/2, ..., 3 x 4 x 4: one fixed kernel, stride 2, again and again (the paper's eq. a_i)."""

    def __init__(self, scales: int, pooling: Pooling, gan: Gan):
        super().__init__()
        self.scales = scales
        window = {"kernel_size": gan.content_kernel, "stride": 2, "padding": gan.content_padding}
        average = partial(nn.AvgPool2d, count_include_pad=gan.count_include_pad)
        self.pool = {"avg": average, "max": nn.MaxPool2d}[pooling](**window)

    def forward(self, images: Tensor) -> list[Tensor]:
        """images: B x 3 x p x p. Returns `scales` maps, each half the size of the one before."""
        contents = []
        for _ in range(self.scales):
            images = self.pool(images)
            contents.append(images)
        return contents


class Encoder(nn.Module):
    """3 x p x p -> width x 4 x 4: stride-2 blocks, each hidden feature joined by the content of its size.

    Widths ndf, 2 ndf, 4 ndf, ... doubled by each block; above 8 ndf, 3x3 blocks halve the last down to 8 ndf (lineage: `D_NET256`).
    """

    def __init__(self, side: int, gan: Gan, pooling: Pooling):
        super().__init__()
        downs = (side // 4).bit_length() - 1
        widths = [gan.ndf << k for k in range(downs)]
        extra = 3 if gan.content else 0
        self.content = ContentPyramid(downs, pooling, gan) if gan.content else None
        inputs = [3, *(width + extra for width in widths)]
        norms = ["none", *[gan.d_norm] * (downs - 1)]  # the lineage leaves the first block without norm
        self.downs = nn.ModuleList(down_block(a, b, n) for a, b, n in zip(inputs, widths, norms, strict=False))
        tail, last = [], inputs[-1]
        for width in [w for w in reversed(widths[:-1]) if w >= 8 * gan.ndf]:
            tail.append(same_block(last, width, gan.d_norm))
            last = width
        self.tail, self.width = nn.Sequential(*tail), last

    def forward(self, images: Tensor) -> Tensor:
        """images: B x 3 x p x p. Returns B x width x 4 x 4."""
        contents = self.content(images) if self.content is not None else [None] * len(self.downs)
        hidden = images
        for down, content in zip(self.downs, contents, strict=True):
            hidden = down(hidden)
            if content is not None:
                hidden = torch.cat([hidden, content], dim=1)
        return self.tail(hidden)


class Seen(NamedTuple):
    """What a discriminator found in B images."""

    hidden: Tensor  # B x width x 4 x 4
    joint: Tensor  # B x width x 4 x 4, the part of the joint convolution that does not depend on the caption


class Joint(nn.Module):
    """3x3 block on [hidden, sentence spread over 4 x 4], without ever spreading it.

    A convolution is linear in its input, so the hidden part is computed once for all captions of an image, and the sentence, the
    same everywhere, only needs its product with each of the nine taps, summed over those that lie inside at each place: a
    sixteenth of the multiply-adds.
    """

    def __init__(self, width: int, dimension: int, norm: Norm):
        super().__init__()
        self.width = width
        self.conv, self.norm, self.act = same_block(width + dimension, width, norm)
        inside = nn.functional.unfold(torch.ones(1, 1, 4, 4), 3, padding=1)  # 1 x 9 x 16: which taps fall on the map
        self.register_buffer("inside", inside[0], persistent=False)

    def of_hidden(self, hidden: Tensor) -> Tensor:
        """B x width x 4 x 4 -> the same shape."""
        return nn.functional.conv2d(hidden, self.conv.weight[:, : self.width], self.conv.bias, padding=1)

    def forward(self, part: Tensor, sentence: Tensor) -> Tensor:
        """part: from `of_hidden`; sentence: B x D. Returns B x width x 4 x 4."""
        taps = self.conv.weight[:, self.width :].flatten(2)  # width x D x 9
        told = torch.einsum("bd,odt->bot", sentence, taps) @ self.inside  # B x width x 16
        return self.act(self.norm(part + told.view(-1, self.width, 4, 4)))


class Discriminator(nn.Module):
    """Encoder and two heads on its 4 x 4 feature. Both heads return logits, one number an image."""

    def __init__(self, side: int, gan: Gan, pooling: Pooling, dimension: int):
        super().__init__()
        self.encoder = Encoder(side, gan, pooling)
        width = self.encoder.width
        self.unconditional = nn.Conv2d(width, 1, 4)
        self.joint = Joint(width, dimension, gan.d_norm)
        self.conditional = nn.Conv2d(width, 1, 4)
        if gan.spectral_norm:
            normalise_spectrum(self)

    def see(self, images: Tensor) -> Seen:
        """images: B x 3 x p x p."""
        hidden = self.encoder(images)
        return Seen(hidden, self.joint.of_hidden(hidden))

    def judge(self, seen: Seen) -> Tensor:
        """Unconditional logits, B."""
        return self.unconditional(seen.hidden).flatten()

    def judge_with(self, seen: Seen, sentence: Tensor) -> Tensor:
        """Logits conditional on the sentence embedding (B x D), B."""
        return self.conditional(self.joint(seen.joint, sentence)).flatten()
