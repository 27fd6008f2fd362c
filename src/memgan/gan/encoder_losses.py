"""The generator's losses of what DAMSM's frozen image encoder sees of its images: L_DAMSM (eq. 1) and diversity."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from memgan.artifacts import seed_of
from memgan.data.loader import Batch
from memgan.encoders.foils import Foils
from memgan.encoders.image import ImageEncoder
from memgan.encoders.matching import Wrong, damsm_loss
from memgan.gan.arithmetic import Arithmetic, widened
from memgan.gan.augment import Chance, translate
from memgan.gan.losses import diversity_loss
from memgan.gan.processes import Processes
from memgan.gan.recipe import Recipe
from memgan.gan.texts import TextReader, Texts

JITTER = 2  # pixels that images are shifted by at most, with `train.damsm_jitter`


class EncoderLosses:
    """Both losses, each if it has a weight. `reader` and `image_encoder` are frozen; `foils` make the wrong captions that
    `train.damsm_foils` asks for.
    """

    def __init__(
        self,
        recipe: Recipe,
        reader: TextReader,
        image_encoder: ImageEncoder,
        foils: Foils | None,
        arithmetic: Arithmetic,
        processes: Processes,
    ):
        self.recipe, self.reader, self.image_encoder, self.foils = recipe, reader, image_encoder, foils
        self.arithmetic, self.processes = arithmetic, processes
        self.matching = recipe.damsm.model_copy(update={"gamma3": recipe.train.damsm_gamma3})

    def of(
        self,
        batch: Batch,
        texts: Texts,
        made: Sequence[Tensor],
        redrawn: Callable[[torch.Generator], Tensor],
        rng: torch.Generator,
        step: int,
    ) -> Iterator[tuple[str, float, Tensor]]:
        """Name, weight and loss of each that has a weight.

        `made` are this process' images by stage, B x 3 x s x s; `redrawn` makes the last stage's of the same captions and v with
        noise from another generator of random numbers.
        """
        train = self.recipe.train
        if not train.damsm_weight and not train.diversity_weight:
            return
        seen = [self._seen(images, rng) for images in self._matched(made)]
        if train.damsm_weight:
            wrong = self.wrong(batch.captions, step)
            yield "damsm", train.damsm_weight, self._matching(seen, texts, batch.labels, wrong)
        if train.diversity_weight:
            yield "diversity", train.diversity_weight, self._diversity(seen[-1][1], redrawn, step)

    def _matched(self, made: Sequence[Tensor]) -> Sequence[Tensor]:
        """What the encoder sees: the last stage's images or, for an L_DAMSM that asks, all stages', enlarged to the last size."""
        if self.recipe.train.damsm_weight and self.recipe.train.damsm_stages == "all":
            return [interpolate(images, self.recipe.images.size) for images in made]
        return made[-1:]

    def _seen(self, images: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """What the encoder finds in this process' images: regions and the whole."""
        images = self._jittered(images, rng)
        with self.arithmetic.cast():
            regions, whole = self.image_encoder(images)
        return widened(regions), widened(whole)

    def _jittered(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """What the encoder is shown of images, by `train.damsm_jitter`."""
        if not (spread := self.recipe.train.damsm_jitter):
            return images
        count = len(images) * self.processes.size
        chance = Chance(rng, count, self.processes.part(count))
        noise = self.processes.share(torch.randn((count, *images.shape[1:]), generator=rng)).to(images)
        return translate(images, chance, JITTER / images.shape[-1]) + spread * noise

    def wrong(self, captions: list[str], step: int) -> Wrong | None:
        """Foils of the captions, the same in all processes; None without `train.damsm_foils`."""
        if not self.recipe.train.damsm_foils:
            return None
        assert self.foils, "`train.damsm_foils` asks for foils, and there are none"
        rng = np.random.default_rng(seed_of(self.recipe.seed, "foils", step))
        foils, there = self.foils.of_each(captions, self.recipe.train.damsm_foils, rng)
        texts = self.reader(foils, rng)
        return Wrong.of(texts.words, texts.sentence, texts.mask, torch.from_numpy(there).to(texts.words.device))

    def _matching(self, seen: list[tuple[Tensor, Tensor]], texts: Texts, labels: Tensor, wrong: Wrong | None) -> Tensor:
        """L_DAMSM, summed over what was seen."""
        heard, gathered = (texts.words, texts.sentence), self.processes.gathered
        each = [(gathered(regions), gathered(whole)) for regions, whole in seen]
        return torch.stack([damsm_loss(found, heard, texts.mask, labels, self.matching, wrong) for found in each]).sum()

    def _diversity(self, whole: Tensor, redrawn: Callable[[torch.Generator], Tensor], step: int) -> Tensor:
        """How alike the images are to others of the same captions and v, whose noise is drawn anew; no gradient flows to those."""
        rng = torch.Generator().manual_seed(seed_of(self.recipe.seed, "other", step))
        with torch.no_grad():
            _, other = self._seen(redrawn(rng), rng)
        return diversity_loss(whole, other)
