"""The network that gives v (SPEC 2): VGG-16 up to relu5_3, or a small network of its kind trained on the data set.

python -m memgan.encoders.vgg --images ... --vocabulary ... --dataset ... --out vgg.safetensors
"""

from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typer import Option

from memgan import artifacts, steps
from memgan.data.loader import TrainingBatches
from memgan.device import beside, placed
from memgan.encoders import fit
from memgan.encoders.blocks import halvings
from memgan.encoders.imagenet import imagenet_weights, normalised
from memgan.encoders.vocabulary import Vocabulary
from memgan.params.data import Images
from memgan.params.encoders import Features
from memgan.params.load import Settings

STEP = "memgan.encoders.vgg"
SHAPE = ("network", "channels", "width", "normalise")  # entries that v depends on
RELU5_3 = 29  # its index in torchvision's vgg16().features
STRIDE = 16  # pixels a side of one position of relu5_3
RARE = 1e-3  # words are taken to occur in at least this share of the images, and to lack in as many


class FeatureNetwork(nn.Module):
    """Images in [-1, 1] -> v, after a ReLU. Input is normalised as `features.normalise` says."""

    def __init__(self, params: Features, images: Images):
        super().__init__()
        self.side, self.imagenet, self.large = images.feature_side, params.normalise == "imagenet", params.network == "vgg16"
        self.layers = vgg16_layers() if self.large else small_layers(params, images)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, size, size] in [-1, 1] -> v [B, C, h, h], h = images.feature_side.

        VGG-16 takes 16 px for a position of v; images so small that h would be below 4 are enlarged for it first.
        """
        if self.large and images.shape[-1] != self.side * STRIDE:
            images = F.interpolate(images, (self.side * STRIDE,) * 2, mode="bilinear", align_corners=False)
        return self.layers(normalised(images) if self.imagenet else images)


def vgg16_layers() -> nn.Sequential:
    """VGG-16 from its input to relu5_3, with torchvision's numbering; the weights are not yet ImageNet's."""
    from torchvision.models import vgg16  # here, since it takes as long to import as all of torch, and worlds do without

    return vgg16(weights=None, init_weights=False).features[: RELU5_3 + 1]


def small_layers(params: Features, images: Images) -> nn.Sequential:
    """VGG's plan on a small scale: pairs of conv3x3-ReLU, max-pooling between them, the width doubling up to `channels`.

    With batch normalisation before each ReLU, as in torchvision's `vgg16_bn`: in the few minutes that it is trained for, it learns
    little without. On birdworld the words' loss falls from 45.6 to 36.9 in four epochs, and to 42.1 without.
    As many poolings as bring `images.size` down to `images.feature_side`; the last pair is `channels` wide. Weights He-normal.
    """
    pools = halvings(images.size, images.feature_side)
    widths = [min(params.width * 2**i, params.channels) for i in range(pools)] + [params.channels]
    layers, inner = [], 3
    for stage, width in enumerate(widths):
        layers += [nn.MaxPool2d(2)] if stage else []
        for _ in range(2):
            layers += [nn.Conv2d(inner, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            nn.init.kaiming_normal_(layers[-3].weight, nonlinearity="relu")
            inner = width
    return nn.Sequential(*layers)


def load_vgg(path: Path, params: Features, images: Images) -> FeatureNetwork:
    """The network in eval mode, without gradients on its parameters. Raises InputError if the file belongs to other parameters."""
    expected = {f"features.{name}": getattr(params, name) for name in SHAPE} | {"images.size": images.size}
    tensors, _ = fit.read_network(path, STEP, expected)
    network = FeatureNetwork(params, images)
    network.load_state_dict(tensors)
    return placed(network).eval().requires_grad_(False)


def bags(rows: list[dict], vocabulary: Vocabulary) -> Tensor:
    """Which words occur in an image's captions: float32 [n, words], 1 or 0; the column of padding stays 0."""
    bag = torch.zeros(len(rows), len(vocabulary))
    for i, row in enumerate(rows):
        bag[i, [number for caption in row["captions"] for number in vocabulary.tokens(caption)]] = 1
    return bag


def train_small(network: FeatureNetwork, batches: TrainingBatches, vocabulary: Vocabulary, params: Features) -> float:
    """Trains the network to name the words of an image's captions (Joulin et al. 2016: features without labels).

    A linear map of v's spatial mean to one logit a word, binary cross entropy summed over the words, mean over images; Adam, its
    rate falling by half a cosine. The map starts from how often each word occurs, which would else take the first third of a
    short training to learn, and is thrown away in the end. Returns the last epoch's mean loss.
    """
    words, targets = nn.Linear(params.channels, len(vocabulary)), bags(batches.source.rows, vocabulary)
    nn.init.zeros_(words.weight)
    words.bias.data.copy_(targets.mean(dim=0).clamp(RARE, 1 - RARE).logit())
    words, targets = words.to(next(network.parameters()).device), beside(network, targets)
    optimizer = torch.optim.Adam([*network.parameters(), *words.parameters()], lr=params.lr)
    total, mean = round(params.epochs * batches.steps_per_epoch), float("nan")
    for epoch, start, stop in fit.spans(params.epochs, batches.steps_per_epoch):
        began, losses = perf_counter(), []
        for step, batch in enumerate(batches.stream(start, stop), start):
            fit.set_lr(optimizer, fit.cosine_lr(params.lr, step, total))
            logits = words(network(beside(network, batch.images[-1])).mean(dim=(2, 3)))
            said = targets[beside(network, batch.rows)]
            loss = F.binary_cross_entropy_with_logits(logits, said, reduction="sum") / len(batch.rows)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(fit.checked(loss.item(), "features", step))
        mean = float(np.mean(losses))
        steps.log.info("vgg: epoch %d: loss %.3f, %.0f s", epoch + 1, mean, perf_counter() - began)
    return mean


def main(
    images: Annotated[Path, Option(help="preprocessed images, a folder")],
    vocabulary: Annotated[Path, Option(help="words of the training captions, JSON")],
    dataset: Annotated[str, Option(help="entry under `data` of params.yaml")],
    out: Annotated[Path, Option(help="network to write, safetensors")],
) -> None:
    """Trains the small network, or takes VGG-16 as it is."""
    settings = Settings(dataset)
    params, geometry = settings.block("features", Features), settings.block("images", Images)
    seed = settings.value("seed")
    steps.set_threads(settings.value("threads"))
    fit.reseed(seed, "vgg")
    network = FeatureNetwork(params, geometry)
    if params.network == "vgg16":
        weights = fit.under("features", imagenet_weights("vgg16"))
        network.layers.load_state_dict({name: weights[name] for name in network.layers.state_dict()})
    else:
        batches = TrainingBatches(images, geometry, 1, params.batch, artifacts.seed_of(seed, "vgg images"))
        train_small(placed(network), batches, Vocabulary.load(vocabulary), params)
    used = {"features": params.model_dump(), "images": geometry.model_dump()}
    manifest = artifacts.manifest(STEP, used, {"images": images, "vocabulary": vocabulary}, seed)
    artifacts.save_tensors(out, network.state_dict(), manifest)


if __name__ == "__main__":
    steps.run(main)
