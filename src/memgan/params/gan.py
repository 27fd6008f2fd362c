"""The generator and discriminators: `gan` (SPEC 5, 6) and their training: `train` (SPEC 8, 9)."""

from typing import Literal, Self

from pydantic import model_validator

from memgan.params.base import Block, Pooling, entry
from memgan.params.data import Images

__all__ = ["Gan", "Pooling", "Train"]


class Gan(Block):
    """Networks."""

    stages: int = entry("K, each with twice the side of the one before, the last with `images.size`; paper 3", ge=1)
    z: int = entry("size of the noise; paper's lineage 100", gt=0)
    condition: int = entry("size of the conditioning augmentation; lineage 100", gt=0)
    text: Literal["sentence", "both"] = entry("both: the mean of the words joins the condition [ours, after the paper's text]")
    whiten: bool = entry(
        "the caption's embeddings are whitened over the training captions before G and D see them; paper false [ours]"
    )
    ngf: int = entry("width of the generator's stages; lineage 32 on CUB, 48 on COCO", gt=0)
    ndf: int = entry("first width of the discriminators; lineage 64 on CUB, 96 on COCO", gt=0)
    residual_blocks: int = entry("R_NUM, residual blocks a stage; lineage 2 on CUB, 3 on COCO", ge=0)
    norm: Literal["batch", "instance"] = entry("of the generator's blocks; AttnGAN batch, ManiGAN instance")
    d_norm: Literal["batch", "instance", "none"] = entry(
        "of the discriminators' blocks; lineage batch, whose statistics tell of a whole batch and not of an image [ours: none on "
        "birdworld]"
    )
    acm_width: int = entry("inner width of the affine combination; lineage 128", gt=0)
    acm_start: Literal["lineage", "one"] = entry(
        "how an affine combination starts: W around 0, orthogonal as all convolutions are [lineage]; or W around 1, so that the "
        "text passes [ours: a short training else spends itself on undoing W]"
    )
    image_features: bool = entry("regional v enters every stage through the ACMs [paper]; false: ablation")
    global_feature: bool = entry("v_G enters the first stage [paper]; false: ablation")
    content: bool = entry("discriminators see the pooled image [paper]; false: ablation")
    content_kernel: int = entry("kernel of the content pooling, stride 2 [ours: 3]", ge=1)
    content_padding: int = entry("padding of the content pooling, so that it halves: (kernel - 1) // 2 [ours]", ge=0)
    count_include_pad: bool = entry("average pooling counts the padding [ours: false]")
    spectral_norm: bool = entry("on the discriminators' convolutions; off in the paper")

    @model_validator(mode="after")
    def _halves(self) -> Self:
        padding = (self.content_kernel - 1) // 2
        if self.content_padding != padding:  # the content of a scale would not be as large as the hidden feature it joins
            raise ValueError(f"content_padding must be {padding} for a content_kernel of {self.content_kernel}")
        return self

    def misfit(self, images: Images) -> str | None:
        """What is wrong with so many stages for images of this size, and the mend; None if nothing is."""
        first = images.size >> (self.stages - 1)
        if first < 8:
            return f"{self.stages} stages up to {images.size} px start below 8 px; use fewer stages"
        if self.image_features and first <= images.feature_side:  # v is enlarged at least once on its way to the first stage
            return f"the first stage's {first} px must be larger than v's {images.feature_side}; use fewer stages"
        return None


class Train(Block):
    """Losses and recipe."""

    epochs: float = entry("passes over the training images; lineage 600 on CUB, 120 on COCO", ge=0)
    batch: int = entry("images that a network sees at once; AttnGAN 20 on CUB, 14 on COCO", ge=2)
    d_steps: int = entry(
        "steps of the discriminators, each on a batch of its own, for one of the generator; lineage 1 [ours: one that moves too "
        "fast for them learns little from them]",
        ge=1,
    )
    lr_g: float = entry("Adam, generator; paper 2e-4", gt=0)
    lr_d: float = entry("Adam, each discriminator; paper 2e-4", gt=0)
    beta1: float = entry("Adam; lineage 0.5", ge=0, lt=1)
    beta2: float = entry("Adam; lineage 0.999", ge=0, lt=1)
    cooldown: float = entry(
        "share of the training, at its end, over which the learning rates fall to 0 in a line; paper 0 [ours: short trainings]",
        ge=0,
        le=1,
    )
    ema: float = entry("decay of the averaged generator, which is what is sampled; lineage 0.999", ge=0, lt=1)
    damsm_weight: float = entry("lambda1; lineage 5 on CUB, 50 on COCO", ge=0)
    damsm_stages: Literal["last", "all"] = entry("stages with the DAMSM loss; eq. (1) has it per stage, the lineage in the last")
    damsm_gamma3: float = entry("gamma3 of the DAMSM loss here; lineage 10, in DAMSM's own training as well", gt=0)
    damsm_foils: int = entry("captions with one wrong word that the DAMSM loss here also tells an image from; lineage 0", ge=0)
    damsm_jitter: float = entry(
        "spread of the noise on images that the DAMSM loss sees, which are also shifted by up to 2 px; paper 0 "
        "[ours: a generator else writes for the encoder what no eye sees]",
        ge=0,
    )
    diversity_weight: float = entry(
        "of the loss that asks for images of one caption and v to differ with their noise, in what DAMSM's image encoder sees; "
        "paper 0 [ours: a generator else ignores its noise and draws what a caption leaves open as its species had it]",
        ge=0,
    )
    kl_weight: float = entry("of the conditioning augmentation's KL term; lineage 1", ge=0)
    wrong_caption: bool = entry("matching-aware term: real image, wrong caption [lineage]")
    r1_gamma: float = entry(
        "weight of R1; the paper gives none [ours: it grows with the pixels of an image, 0.2 at 32 px, 1 at 256 px]", ge=0
    )
    r1_interval: int = entry("a discriminator's steps between R1 terms, each weighted by the interval", ge=1)
    neighbours: Literal["own", "retrieved", "retrieved_excluding_self"] = entry("whose v a training caption gets; paper own")
    augment: Literal["none", "diffaugment"] = entry("of what the discriminators see; paper none")
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = entry(
        "of convolutions and matrix products; tf32: a GPU's, 10 bits of mantissa; float16 with a loss scale; R1 never in 16 bits"
    )
    compile: bool = entry("torch.compile on generator and discriminators; needs a C++ compiler; not for the steps with R1")
    channels_last: bool = entry("memory layout of the networks")
    fused: bool = entry("Adam in one kernel")
    processes: int = entry("that share a batch; started by MEMGAN_LAUNCHER, by default torchrun on this machine", ge=1)

    @property
    def images(self) -> int:
        """Images of a whole step: a batch for each turn of the discriminators."""
        return self.batch * self.d_steps
