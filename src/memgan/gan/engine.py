"""One training step: every discriminator, then the generator, then its average (SPEC 8, 9).

Nothing random outlives a step: noise is drawn anew from (seed, step), so that a resumed run goes on exactly where it was.
"""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from memgan.artifacts import seed_of
from memgan.data.loader import Batch
from memgan.encoders.image import ImageEncoder
from memgan.encoders.matching import damsm_loss
from memgan.gan.augment import augment
from memgan.gan.blocks import initialise
from memgan.gan.discriminator import Discriminator
from memgan.gan.generator import Generator, Inputs, Outputs
from memgan.gan.losses import discriminator_loss, generator_loss, kl_divergence, r1_penalty
from memgan.gan.texts import TextReader, Texts
from memgan.params.data import Images
from memgan.params.encoders import Damsm
from memgan.params.gan import Gan, Pooling, Train


class Recipe(NamedTuple):
    """The blocks that a training follows."""

    gan: Gan
    train: Train
    images: Images
    damsm: Damsm
    pooling: Pooling
    seed: int


class Engine:
    """Networks, optimisers and the step. `reader` and `image_encoder` are frozen; `channels` is C of v."""

    def __init__(self, recipe: Recipe, reader: TextReader, image_encoder: ImageEncoder, channels: int):
        self.recipe, self.reader, self.image_encoder = recipe, reader, image_encoder
        gan, train, dimension = recipe.gan, recipe.train, recipe.damsm.dimension
        self.generator = Generator(gan, recipe.images, dimension, channels)
        self.discriminators = nn.ModuleList(Discriminator(side, gan, recipe.pooling, dimension) for side in self.generator.sides)
        start = torch.Generator().manual_seed(seed_of(recipe.seed, "initialise"))
        for network in (self.generator, *self.discriminators):
            initialise(network, start)
            network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.optimisers = [adam(self.generator, train.lr_g, train), *(adam(d, train.lr_d, train) for d in self.discriminators)]

    def step(self, batch: Batch, feature: Tensor, step: int) -> dict[str, float]:
        """Trains on one batch; `feature` is v, B x C x h x h. Returns the losses by name."""
        seed = seed_of(self.recipe.seed, "step", step)
        rng = torch.Generator().manual_seed(seed)
        texts = self.reader(batch.captions, np.random.default_rng(seed))
        made = self.generator(self.inputs(texts, feature, rng))
        terms = {}
        for stage, discriminator in enumerate(self.discriminators):
            terms |= self._train_discriminator(stage, discriminator, batch.images[stage], made.images[stage], texts, rng, step)
        terms |= self._train_generator(batch, made, texts, rng)
        self._average()
        return terms

    def inputs(self, texts: Texts, feature: Tensor, rng: torch.Generator) -> Inputs:
        """The generator's inputs for these captions, with fresh noise."""
        noise = torch.randn(len(feature), self.recipe.gan.z, generator=rng)
        jitter = torch.randn(len(feature), self.recipe.gan.condition, generator=rng)
        return Inputs(texts.sentence, texts.mean, noise, jitter, feature)

    def _shown(self, images: Tensor, rng: torch.Generator) -> Tensor:
        return augment(images, rng) if self.recipe.train.augment == "diffaugment" else images

    def _train_discriminator(
        self, stage: int, network: Discriminator, real: Tensor, fake: Tensor, texts: Texts, rng: torch.Generator, step: int
    ) -> dict[str, float]:
        train, sentence = self.recipe.train, texts.sentence
        lazy = train.r1_gamma > 0 and step % train.r1_interval == 0
        real = real.requires_grad_(lazy)
        seen = network.see(self._shown(real, rng))
        real_logits, text_logits = network.judge(seen), network.judge_with(seen, sentence)
        wrong = network.judge_with(seen, sentence.roll(1, 0)) if train.wrong_caption else None
        seen = network.see(self._shown(fake.detach(), rng))
        loss = discriminator_loss(real_logits, text_logits, network.judge(seen), network.judge_with(seen, sentence), wrong)
        terms = {f"d{stage}": loss.item()}
        if lazy:
            penalty = r1_penalty(real_logits + text_logits, real)
            loss = loss + 0.5 * train.r1_gamma * train.r1_interval * penalty
            terms[f"r1_{stage}"] = penalty.item()
        descend(self.optimisers[1 + stage], loss)
        return terms

    def _train_generator(self, batch: Batch, made: Outputs, texts: Texts, rng: torch.Generator) -> dict[str, float]:
        train = self.recipe.train
        self.discriminators.requires_grad_(False)  # no weight gradients that nobody needs
        terms, total = {}, train.kl_weight * kl_divergence(made.mean, made.log_variance)
        terms["kl"] = total.item()
        for stage, network in enumerate(self.discriminators):
            seen = network.see(self._shown(made.images[stage], rng))
            adversarial = generator_loss(network.judge(seen), network.judge_with(seen, texts.sentence))
            terms[f"g{stage}"] = adversarial.item()
            total = total + adversarial
        if train.damsm_weight > 0:
            matching = self._matching(batch, made, texts)
            terms["damsm"] = matching.item()
            total = total + train.damsm_weight * matching
        descend(self.optimisers[0], total)
        self.discriminators.requires_grad_(True)
        return terms

    def _matching(self, batch: Batch, made: Outputs, texts: Texts) -> Tensor:
        """L_DAMSM of the last stage's images, or summed over all stages', enlarged to the last size."""
        size, last = self.recipe.images.size, made.images[-1:]
        chosen = last if self.recipe.train.damsm_stages == "last" else [interpolate(i, size) for i in made.images]
        heard = (texts.words, texts.sentence)
        losses = [damsm_loss(self.image_encoder(i), heard, texts.mask, batch.labels, self.recipe.damsm) for i in chosen]
        return torch.stack(losses).sum()

    @torch.no_grad()
    def _average(self) -> None:
        """EMA of the parameters and of BatchNorm's running statistics, which belong to them; counters are copied."""
        theirs, ours = self.generator.state_dict(), self.average.state_dict()
        floats = [name for name, tensor in ours.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([ours[name] for name in floats], [theirs[name] for name in floats], 1 - self.recipe.train.ema)
        for name in ours.keys() - set(floats):
            ours[name].copy_(theirs[name])

    def state(self) -> dict[str, Any]:
        """All that training changes."""
        return {
            "generator": self.generator.state_dict(),
            "average": self.average.state_dict(),
            "discriminators": self.discriminators.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state` gave."""
        self.generator.load_state_dict(state["generator"])
        self.average.load_state_dict(state["average"])
        self.discriminators.load_state_dict(state["discriminators"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)


def adam(network: nn.Module, lr: float, train: Train) -> torch.optim.Adam:
    """The paper's optimiser."""
    return torch.optim.Adam(network.parameters(), lr=lr, betas=(train.beta1, train.beta2), fused=True)


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step down the gradient."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
