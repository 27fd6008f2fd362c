"""Encoders: `damsm` (text and image, SPEC 7), `evaluator` (SPEC 12), `features` (v, SPEC 2)."""

from typing import Literal, Self

from pydantic import model_validator

from memgan.params.base import Block, entry, optional


class Damsm(Block):
    """Text and image encoders and the loss that trains them (SPEC 7)."""

    dimension: int = entry("D, size of word, sentence, region and image embeddings, even; paper 256", gt=0, multiple_of=2)
    word_embedding: int = entry("size of the word table's rows; lineage 300", gt=0)
    words: int = entry("L, longest caption in words; lineage 18 on CUB, 12 on COCO", gt=0)
    min_count: int = entry("words seen less often in training become the unknown token [ours]", ge=1)
    dropout: float = entry("on word embeddings; lineage 0.5", ge=0, lt=1)
    gamma1: float = entry("sharpness of attention; lineage 4", gt=0)
    gamma2: float = entry("sharpness of the word-level score; lineage 5", gt=0)
    gamma3: float = entry("sharpness of the matching loss in this training (the generator's: train.damsm_gamma3); lineage 10", gt=0)
    foils: int = entry(
        "captions with one wrong word that each image is also told from, in this training (the generator's: train.damsm_foils); "
        "lineage 0 [ours: captions of other classes differ in so much that small parts need not be seen]",
        ge=0,
    )
    image_encoder: Literal["small", "inception_v3"] = entry("small is trained whole, inception_v3 is ImageNet's, frozen")
    width: int = entry("first width of the small image encoder", gt=0)
    epochs: float = entry("passes over the training images", ge=0)
    batch: int = entry("pairs a step; lineage 48", ge=2)
    lr: float = entry("Adam; lineage 2e-3", gt=0)
    decay: float = entry("factor on lr an epoch; lineage 0.98", gt=0, le=1)
    lowest: float = entry("where the decay ends, a share of lr; lineage a tenth", gt=0, le=1)
    noise: float = entry("largest deviation of the normal noise on training images in [-1, 1]; lineage none", ge=0)
    clip: float = entry("largest gradient norm of the text encoder; lineage 0.25", gt=0)
    validation: float = entry("share of the training images that picks the best epoch [ours]", ge=0, lt=1)


class Evaluator(Block):
    """The network whose features score images where Inception is no fair judge (SPEC 12)."""

    network: Literal["small", "inception_v3"] = optional(
        "inception_v3: ImageNet's, fine-tuned on the classes [lineage: IS on CUB]; small: trained from nothing [ours]", "small"
    )
    split: Literal["train", "test"] = optional(
        "whose images it learns from (labelled data); lineage: on CUB test, since its 50 classes are those of the samples", "train"
    )
    width: int = entry("first width (small)", gt=0)
    features: int = entry("size of the feature vector that FID is computed on (small)", gt=0)
    images: int = entry("free attribute combinations to render for training (worlds)", ge=0)
    epochs: float = entry("passes over the images", ge=0)
    batch: int = entry("images a step", ge=2)
    lr: float = entry("Adam", gt=0)


class Features(Block):
    """The network that gives v (SPEC 2, 3)."""

    network: Literal["small", "vgg16"] = entry("vgg16: ImageNet's, frozen, relu5_3 [paper]; small: trained on the data set [ours]")
    channels: int = entry("C, channels of v; paper 512", gt=0)
    width: int = entry("first width of the small network", gt=0)
    normalise: Literal["imagenet", "none"] = entry("imagenet mean and std [ours]; none feeds [-1, 1] as the lineage does")
    online: bool = entry("compute v from the very training crop instead of the cached centre crop [ours]")
    epochs: float = entry("passes over the training images (small)", ge=0)
    batch: int = entry("images a step (small)", ge=2)
    lr: float = entry("Adam (small)", gt=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.network == "vgg16" and self.channels != 512:
            raise ValueError("vgg16 has 512 channels; set `channels: 512`")
        return self
