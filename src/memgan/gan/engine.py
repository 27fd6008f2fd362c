"""One training step: every discriminator, `train.d_steps` times, then the generator, then its average (SPEC 8, 9).

Nothing random outlives a step: noise is drawn anew from (seed, step), so that a resumed run goes on exactly where it was.
"""

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from memgan.artifacts import seed_of
from memgan.data.loader import Batch
from memgan.encoders.foils import Foils
from memgan.encoders.image import ImageEncoder
from memgan.errors import InputError
from memgan.gan.arithmetic import Arithmetic, widened
from memgan.gan.augment import Chance, augment
from memgan.gan.blocks import Affine, initialise
from memgan.gan.discriminator import Discriminator
from memgan.gan.encoder_losses import EncoderLosses
from memgan.gan.generator import Generator, Inputs, Outputs
from memgan.gan.losses import discriminator_loss, generator_loss, kl_divergence, r1_penalty
from memgan.gan.processes import Processes
from memgan.gan.recipe import Recipe
from memgan.gan.texts import TextReader, Texts
from memgan.gan.whitening import Whitening
from memgan.params.gan import Train


class Engine:
    """Networks, optimisers and the step.

    `reader` and `image_encoder` are frozen, `foils` are for EncoderLosses, `channels` is C of v. `steps` is how many the whole
    training has, for `train.cooldown`; 0 if the rates stay. `norms` are the last step's gradient norms by network. With several
    `processes`, a step's images and v are this one's share. All runs where `image_encoder` is.
    """

    def __init__(
        self,
        recipe: Recipe,
        reader: TextReader,
        image_encoder: ImageEncoder,
        channels: int,
        processes: Processes | None = None,
        steps: int = 0,
        foils: Foils | None = None,
    ):
        self.recipe, self.reader, self.image_encoder, self.steps = recipe, reader, image_encoder, steps
        self.device = next(image_encoder.parameters()).device
        self.processes, self.arithmetic = processes or Processes(), Arithmetic(recipe.train, self.device.type)
        self.encoder_losses = EncoderLosses(recipe, reader, image_encoder, foils, self.arithmetic, self.processes)
        gan, train, dimension = recipe.gan, recipe.train, recipe.damsm.dimension
        self.generator = Generator(gan, recipe.images, dimension, channels)
        self.discriminators = nn.ModuleList(Discriminator(side, gan, recipe.pooling, dimension) for side in self.generator.sides)
        start = torch.Generator().manual_seed(seed_of(recipe.seed, "initialise"))
        for network in (self.generator, *self.discriminators):
            initialise(network, start)
            self.arithmetic.laid_out(self.processes.joined(network).to(self.device))
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.optimisers = [adam(self.generator, train.lr_g, train), *(adam(d, train.lr_d, train) for d in self.discriminators)]
        self.norms: dict[str, float] = {}
        self._look, self._draw = self.arithmetic.fast(self.generator.look), self.arithmetic.fast(self.generator)
        self._judges = [self.arithmetic.fast(judged) for _ in self.discriminators]

    def whiten(self, captions: Sequence[str], block: int = 1000) -> None:
        """Fits the whitening of the captions' embeddings, if `gan.whiten` asks for it, to these."""
        if not self.recipe.gan.whiten:
            return
        read = [self.reader(list(captions[at : at + block])) for at in range(0, len(captions), block)]
        given = {"sentence": torch.cat([texts.sentence for texts in read]), "words": torch.cat([texts.mean for texts in read])}
        for network in (self.generator, self.average):
            for name, embeddings in given.items():
                if isinstance(whitening := getattr(network, name), Whitening):
                    whitening.fit(embeddings)

    def step(self, batch: Batch, feature: Tensor, step: int) -> dict[str, float]:
        """Trains on the images of a step: each turn of the discriminators on a batch of them, the generator on the last one's.

        `feature` is v, B x C x h x h, B being `train.images`. Returns the losses by name, those of the last turn.
        Raises InputError, before any network has moved by it, if a loss or a gradient is no finite number.
        """
        self._set_rates(step)
        seed = seed_of(self.recipe.seed, "step", step)
        rng, order = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
        turns, terms = self.recipe.train.d_steps, {}
        for turn in range(turns):
            shown = batch.every(turn, turns).on(self.device)
            texts = self.reader(shown.captions, order)
            inputs = self.inputs(texts, feature[turn::turns], rng)
            last = turn == turns - 1
            with self.arithmetic.cast(), torch.set_grad_enabled(last):
                affines = self._look(inputs.feature) if last and self.recipe.train.diversity_weight else None
                made = self._draw(inputs, affines)
            made = Outputs([widened(images) for images in made.images], widened(made.mean), widened(made.log_variance))
            told = self.generator.sentence(texts.sentence)
            for stage in range(len(self.discriminators)):
                terms |= self._train_discriminator(stage, shown.images[stage], made.images[stage], told, rng, step * turns + turn)
        redrawn = partial(self._redrawn, inputs, affines, len(shown.captions))
        terms |= self._train_generator(shown, made, redrawn, texts, told, rng, step)
        self._average()
        return terms

    def _set_rates(self, step: int) -> None:
        """Full learning rates until `train.cooldown` begins; from there they fall in a line, to 0 after the last step."""
        train = self.recipe.train
        cool = train.cooldown * self.steps
        share = min(1.0, (self.steps - step) / cool) if cool else 1.0
        for optimiser, rate in zip(self.optimisers, (train.lr_g, *[train.lr_d] * len(self.discriminators)), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * share

    def inputs(self, texts: Texts, feature: Tensor, rng: torch.Generator) -> Inputs:
        """The generator's inputs for this process' share of the captions, with fresh noise."""
        share = self.processes.share
        return Inputs(share(texts.sentence), share(texts.mean), *self._noise(len(texts.sentence), rng), feature.to(self.device))

    def _noise(self, count: int, rng: torch.Generator) -> list[Tensor]:
        """z and jitter for this process' share of `count` captions."""
        drawn = [torch.randn(count, numbers, generator=rng) for numbers in (self.recipe.gan.z, self.recipe.gan.condition)]
        return [self.processes.share(each).to(self.device) for each in drawn]

    def _redrawn(self, inputs: Inputs, affines: list[Affine | None] | None, count: int, rng: torch.Generator) -> Tensor:
        """The last stage's images of this process' share of `count` captions, with other noise; `affines` are those of their v."""
        noise, jitter = self._noise(count, rng)
        with self.arithmetic.cast():
            made = self._draw(inputs._replace(noise=noise, jitter=jitter), affines)
        return widened(made.images[-1])

    def _shown(self, images: Tensor, rng: torch.Generator) -> Tensor:
        if self.recipe.train.augment == "none":
            return images
        count = len(images) * self.processes.size
        return augment(images, Chance(rng, count, self.processes.part(count)))

    def _train_discriminator(
        self, stage: int, real: Tensor, fake: Tensor, told: Tensor, rng: torch.Generator, step: int
    ) -> dict[str, float]:
        """One turn of a discriminator, its `step`th."""
        train, network = self.recipe.train, self.discriminators[stage]
        lazy = train.r1_gamma > 0 and step % train.r1_interval == 0
        judge = judged if lazy else self._judges[stage]  # what is compiled cannot be differentiated twice
        sentence, wrong = (self.processes.share(s) for s in (told, told.roll(1, 0)))
        real = real.requires_grad_(lazy)
        with self.arithmetic.cast(exact=lazy):
            true = judge(network, self._shown(real, rng), [sentence, wrong] if train.wrong_caption else [sentence])
            false = judge(network, self._shown(fake.detach(), rng), [sentence])
        loss = discriminator_loss(*true[:2], *false, *true[2:])
        terms = {f"d{stage}": loss.item()}
        if lazy:
            penalty = r1_penalty(true[0] + true[1], real)
            loss = loss + 0.5 * train.r1_gamma * train.r1_interval * penalty
            terms[f"r1_{stage}"] = penalty.item()
        return self._descend(f"d{stage}", self.optimisers[1 + stage], loss, terms, step)

    def _train_generator(
        self,
        batch: Batch,
        made: Outputs,
        redrawn: Callable[[torch.Generator], Tensor],
        texts: Texts,
        told: Tensor,
        rng: torch.Generator,
        step: int,
    ) -> dict[str, float]:
        train, sentence = self.recipe.train, self.processes.share(told)
        self.discriminators.requires_grad_(False)  # no weight gradients that nobody needs
        terms, total = {}, train.kl_weight * kl_divergence(made.mean, made.log_variance)
        terms["kl"] = total.item()
        for stage, network in enumerate(self.discriminators):
            with self.arithmetic.cast():
                logits = self._judges[stage](network, self._shown(made.images[stage], rng), [sentence])
            adversarial = generator_loss(*logits)
            terms[f"g{stage}"] = adversarial.item()
            total = total + adversarial
        for name, weight, loss in self.encoder_losses.of(batch, texts, made.images, redrawn, rng, step):
            terms[name] = loss.item()
            total = total + weight * loss
        terms = self._descend("g", self.optimisers[0], total, terms, step)
        self.discriminators.requires_grad_(True)
        return terms

    def _descend(
        self, name: str, optimiser: torch.optim.Optimizer, loss: Tensor, terms: dict[str, float], step: int
    ) -> dict[str, float]:
        """One step down the gradient, if that and all terms are numbers. Returns the terms, of all processes."""
        terms = self.processes.mean(terms)
        refuse_infinite("loss", terms, step)
        self.arithmetic.backward(optimiser, loss)
        self.processes.average_gradients(p for group in optimiser.param_groups for p in group["params"])
        self.norms[name] = self.arithmetic.gradient_norm(optimiser)
        if not self.arithmetic.forgives():
            refuse_infinite("gradient of", {name: self.norms[name]}, step)
        self.arithmetic.update(optimiser)
        return terms

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
            "arithmetic": self.arithmetic.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state` gave."""
        self.generator.load_state_dict(state["generator"])
        self.average.load_state_dict(state["average"])
        self.discriminators.load_state_dict(state["discriminators"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.arithmetic.restore(state["arithmetic"])


def judged(network: Discriminator, images: Tensor, sentences: Iterable[Tensor]) -> list[Tensor]:
    """Unconditional logits, and those with each of the sentence embeddings (B x D): B each, in float32 or more."""
    seen = network.see(images)
    return [widened(logits) for logits in (network.judge(seen), *(network.judge_with(seen, s) for s in sentences))]


def adam(network: nn.Module, lr: float, train: Train) -> torch.optim.Adam:
    """The paper's optimiser."""
    return torch.optim.Adam(network.parameters(), lr=lr, betas=(train.beta1, train.beta2), fused=train.fused)


def refuse_infinite(what: str, terms: Mapping[str, float], step: int) -> None:
    """Raises InputError if one of them is no finite number: the last good state stays."""
    for name, value in terms.items():
        if not math.isfinite(value):
            raise InputError(
                f"training: at step {step} the {what} `{name}` is {value}; the last good state is kept; "
                "lower train.lr_g or train.lr_d, with which training begins anew"
            )
