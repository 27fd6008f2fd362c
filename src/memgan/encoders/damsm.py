"""DAMSM pre-training (SPEC 7): text and image encoder learn a common space by the matching losses of AttnGAN.

python -m memgan.encoders.damsm --images ... --vocabulary ... --dataset ... --out damsm.safetensors
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn
from typer import Option

from memgan import artifacts, steps
from memgan.data.loader import Batch, TrainingBatches, to_tensor
from memgan.data.shards import ImageFolder
from memgan.device import beside, placed
from memgan.encoders import fit
from memgan.encoders.foils import Foils
from memgan.encoders.image import ImageEncoder
from memgan.encoders.imagenet import imagenet_weights
from memgan.encoders.matched import STEP
from memgan.encoders.matching import Wrong, damsm_loss, sentence_scores
from memgan.encoders.text import TextEncoder, mask_of
from memgan.encoders.vocabulary import Vocabulary
from memgan.params.data import Images
from memgan.params.encoders import Damsm
from memgan.params.load import Settings
from memgan.signals import Stop
from memgan.state import TrainingState


@dataclass
class Encoders:
    """What is trained, and what it is trained with."""

    text: TextEncoder
    image: ImageEncoder
    vocabulary: Vocabulary
    params: Damsm
    seed: int
    foils: Foils | None = None

    @classmethod
    def fresh(
        cls, vocabulary: Vocabulary, params: Damsm, images: Images, seed: int, captions: Sequence[Sequence[str]] = ()
    ) -> "Encoders":
        """Untrained encoders; Inception's trunk comes with ImageNet's weights. Foils are learnt from each image's `captions`."""
        fit.reseed(seed, "damsm")
        text, image = TextEncoder(len(vocabulary), params), ImageEncoder(params, images.size)
        if params.image_encoder == "inception_v3":
            image.trunk.load_imagenet(imagenet_weights("inception_v3"))
        return cls(placed(text), placed(image), vocabulary, params, seed, Foils(captions) if params.foils else None)

    def parameters(self) -> list[nn.Parameter]:
        """All that is trained."""
        return [p for network in (self.text, self.image) for p in network.parameters() if p.requires_grad]

    def state(self) -> dict[str, Tensor]:
        """All tensors, `text.*` and `image.*`, as they are now."""
        both = fit.prefixed("text", self.text.state_dict()) | fit.prefixed("image", self.image.state_dict())
        return {name: tensor.clone() for name, tensor in both.items()}

    def train(self, mode: bool = True) -> None:
        """Dropout and batch statistics on or off."""
        self.text.train(mode)
        self.image.train(mode)

    def loss(self, images: Tensor, captions: list[str], labels: Tensor, rng: np.random.Generator | None = None) -> Tensor:
        """L_DAMSM of images [B, 3, H, W] with their captions.

        In training, `rng` draws the words of captions that are too long, and the foils; without it there are none.
        """
        params, count = self.params, len(captions)
        foils, there = self.foils.of_each(captions, params.foils, rng) if self.foils and rng else ([], None)
        tokens, lengths = self.tokens([*captions, *foils], rng)
        seen, (words, sentences) = self.image(beside(self.image, images)), self.text(tokens, lengths)
        mask = mask_of(lengths, params.words)
        told, own = (words[:count], sentences[:count]), mask[:count]
        wrong = (
            Wrong.of(words[count:], sentences[count:], mask[count:], beside(self.text, torch.from_numpy(there))) if foils else None
        )
        return damsm_loss(seen, told, own, beside(self.image, labels), params, wrong)

    def tokens(self, captions: list[str], rng: np.random.Generator | None = None) -> tuple[Tensor, Tensor]:
        """The captions' words and lengths, for the text encoder."""
        tokens, lengths = self.vocabulary.encode(captions, self.params.words, rng)
        return beside(self.text, tokens), beside(self.text, lengths)


def train_step(encoders: Encoders, optimizer: torch.optim.Optimizer, batch: Batch, step: int) -> float:
    """One update; all its randomness comes from (seed, step). Returns the loss."""
    fit.reseed(encoders.seed, "damsm", step)
    rng = np.random.default_rng(artifacts.seed_of(encoders.seed, "damsm words", step))
    images = noisy(batch.images[-1], encoders.params.noise)
    loss = encoders.loss(images, batch.captions, batch.labels, rng)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(encoders.text.parameters(), encoders.params.clip)
    optimizer.step()
    return loss.item()


def noisy(images: Tensor, largest: float) -> Tensor:
    """The images, B x 3 x H x W, with normal noise, whose deviation is another one for each: uniform from 0 to `largest`.

    An encoder that has not seen any takes faint patterns for colours, and a generator that it trains learns to draw those
    instead of the colours.
    """
    if largest == 0:
        return images
    noise = torch.randn(images.shape)  # not randn_like: channels_last tensors are filled one number at a time
    return images + largest * torch.rand(len(images), 1, 1, 1) * noise


@dataclass
class Held:
    """Training images that are kept back to pick the best epoch: centre crops, one caption each."""

    rows: Tensor
    images: Tensor
    captions: list[str]
    labels: Tensor

    @classmethod
    def draw(cls, folder: ImageFolder, share: float, size: int, seed: int) -> "Held | None":
        """A random share of the training images; None if that is less than two."""
        count = int(share * len(folder))
        if count < 2:
            return None
        rows = np.random.default_rng(artifacts.seed_of(seed, "damsm validation")).permutation(len(folder))[:count]
        entries = [folder.rows[row] for row in rows]
        labels = [row if entry["label"] is None else entry["label"] for row, entry in zip(rows, entries, strict=True)]
        return cls(
            torch.from_numpy(rows),
            to_tensor([folder.centre(int(row), size) for row in rows]),
            [entry["captions"][row % len(entry["captions"])] for row, entry in zip(rows, entries, strict=True)],
            torch.tensor([int(label) for label in labels]),
        )

    @torch.no_grad()
    def measure(self, encoders: Encoders) -> tuple[float, float]:
        """(Mean loss, share of images whose own caption is the nearest sentence among those of other classes)."""
        encoders.train(False)
        losses, globals_, sentences = [], [], []
        for part in torch.arange(len(self.rows)).split(encoders.params.batch):
            captions = [self.captions[i] for i in part]
            losses.append(encoders.loss(self.images[part], captions, self.labels[part]) * len(part))
            globals_.append(encoders.image(beside(encoders.image, self.images[part]))[1])
            sentences.append(encoders.text(*encoders.tokens(captions))[1])
        encoders.train()
        scores = sentence_scores(torch.cat(globals_), torch.cat(sentences)).cpu()
        same = (self.labels[:, None] == self.labels[None, :]).fill_diagonal_(False)
        hits = scores.masked_fill(same, -torch.inf).argmax(dim=1) == torch.arange(len(self.rows))
        return float(sum(losses)) / len(self.rows), float(hits.float().mean())


def without(batch: Batch, rows: Tensor) -> Batch:
    """The batch without the images of `rows`."""
    kept = ~torch.isin(batch.rows, rows)
    captions = [caption for caption, keep in zip(batch.captions, kept.tolist(), strict=True) if keep]
    images = [stage[kept].contiguous(memory_format=torch.channels_last) for stage in batch.images]
    return Batch(images, batch.rows[kept], captions, batch.labels[kept], batch.flipped[kept])


def train(
    encoders: Encoders, batches: TrainingBatches, held: Held | None, state: TrainingState | None = None, stop: Stop | None = None
) -> dict[str, Tensor]:
    """Trains for `params.epochs`. Returns the tensors of the epoch with the lowest validation loss (of the last without any)."""
    params = encoders.params
    optimizer = torch.optim.Adam(encoders.parameters(), lr=params.lr, betas=(0.5, 0.999), fused=True)
    kept = fit.Kept(state, text=encoders.text, image=encoders.image, optimizer=optimizer)
    best, lowest = kept.known.get("best") or encoders.state(), kept.known.get("lowest", math.inf)
    for epoch, start, end in kept.spans(params.epochs, batches.steps_per_epoch):
        began = perf_counter()
        encoders.train()
        fit.set_lr(optimizer, params.lr * max(params.decay**epoch, params.lowest))
        for step, batch in enumerate(batches.stream(start, end), start):
            shown = batch if held is None else without(batch, held.rows)
            if len(shown.rows) > 1:
                kept.losses.append(fit.checked(train_step(encoders, optimizer, shown, step), "damsm", step))
            kept.after(step, stop, best=best, lowest=lowest)
        said = f"epoch {epoch + 1}: loss {np.mean(kept.losses):.3f}"
        loss = -math.inf
        if held:
            loss, top1 = held.measure(encoders)
            said += f", validation {loss:.3f}, own caption first {top1:.1%} of {len(held.rows)}"
        steps.log.info("damsm: %s, %.0f s", said, perf_counter() - began)
        if loss <= lowest:
            best, lowest = encoders.state(), loss
    return best


def main(
    images: Annotated[Path, Option(help="preprocessed images, a folder")],
    vocabulary: Annotated[Path, Option(help="words of the training captions, JSON")],
    dataset: Annotated[str, Option(help="entry under `data` of params.yaml")],
    out: Annotated[Path, Option(help="encoders to write, safetensors")],
) -> None:
    """Trains the text and the image encoder of a data set."""
    settings = Settings(dataset)
    params, geometry = settings.block("damsm", Damsm), settings.block("images", Images)
    seed = settings.value("seed")
    steps.set_threads(settings.value("threads"))
    used = {"damsm": params.model_dump(), "images": geometry.model_dump()}
    manifest = artifacts.manifest(STEP, used, {"images": images, "vocabulary": vocabulary}, seed)
    with fit.resumed(out, manifest) as (state, stop):
        if state.finished(out):
            return
        batches = TrainingBatches(images, geometry, 1, params.batch, artifacts.seed_of(seed, "damsm images"))
        captions = [row["captions"] for row in batches.source.rows]
        encoders = Encoders.fresh(Vocabulary.load(vocabulary), params, geometry, seed, captions)
        held = Held.draw(batches.source, params.validation, geometry.size, seed)
        tensors = train(encoders, batches, held, state, stop)
        artifacts.save_tensors(out, tensors, manifest | {"vocabulary": encoders.vocabulary.digest})
        state.finish(out)


if __name__ == "__main__":
    steps.run(main)
