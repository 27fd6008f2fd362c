"""Makes the network that gives v (SPEC 2): VGG-16 as ImageNet has trained it, or a small network, trained on the data set.

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
from memgan.encoders.feature_network import STEP, FeatureNetwork
from memgan.encoders.imagenet import imagenet_weights
from memgan.encoders.vocabulary import Vocabulary
from memgan.params.data import Images
from memgan.params.encoders import Features
from memgan.params.load import Settings
from memgan.signals import Stop
from memgan.state import TrainingState

RARE = 1e-3  # words are taken to occur in at least this share of the images, and to lack in as many


def bags(rows: list[dict], vocabulary: Vocabulary) -> Tensor:
    """Which words occur in an image's captions: float32 [n, words], 1 or 0; the column of padding stays 0."""
    bag = torch.zeros(len(rows), len(vocabulary))
    for i, row in enumerate(rows):
        bag[i, [number for caption in row["captions"] for number in vocabulary.tokens(caption)]] = 1
    return bag


def train_small(
    network: FeatureNetwork,
    batches: TrainingBatches,
    vocabulary: Vocabulary,
    params: Features,
    state: TrainingState | None = None,
    told: Stop | None = None,
) -> float:
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
    kept = fit.Kept(state, network=network, words=words, optimizer=optimizer)
    for epoch, start, stop in kept.spans(params.epochs, batches.steps_per_epoch):
        began = perf_counter()
        for step, batch in enumerate(batches.stream(start, stop), start):
            fit.set_lr(optimizer, fit.cosine_lr(params.lr, step, total))
            logits = words(network(beside(network, batch.images[-1])).mean(dim=(2, 3)))
            said = targets[beside(network, batch.rows)]
            loss = F.binary_cross_entropy_with_logits(logits, said, reduction="sum") / len(batch.rows)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            kept.losses.append(fit.checked(loss.item(), "features", step))
            kept.after(step, told)
        mean = float(np.mean(kept.losses))
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
    used = {"features": params.model_dump(), "images": geometry.model_dump()}
    manifest = artifacts.manifest(STEP, used, {"images": images, "vocabulary": vocabulary}, seed)
    fit.reseed(seed, "vgg")
    network = FeatureNetwork(params, geometry)
    if params.network == "vgg16":
        weights = fit.under("features", imagenet_weights("vgg16"))
        network.layers.load_state_dict({name: weights[name] for name in network.layers.state_dict()})
        artifacts.save_tensors(out, network.state_dict(), manifest)
        return
    with fit.resumed(out, manifest) as (state, stop):
        if state.finished(out):
            return
        batches = TrainingBatches(images, geometry, 1, params.batch, artifacts.seed_of(seed, "vgg images"))
        train_small(placed(network), batches, Vocabulary.load(vocabulary), params, state, stop)
        artifacts.save_tensors(out, network.state_dict(), manifest)
        state.finish(out)


if __name__ == "__main__":
    steps.run(main)
