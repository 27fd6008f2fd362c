"""Losses of the generator and the discriminators, all on logits (SPEC 8; the paper's eqs. 1-4).

softplus(-x) = -log sigmoid(x) and softplus(x) = -log(1 - sigmoid(x)): no sigmoid is ever followed by a log.
"""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, softplus

CLOSE = 0.02  # a cosine distance that the diversity loss takes for hardly any: its slope is at most 1 / CLOSE


def as_real(logits: Tensor) -> Tensor:
    """-E[log D], the loss of calling the images real."""
    return softplus(-logits).mean()


def as_fake(logits: Tensor) -> Tensor:
    """-E[log(1 - D)], the loss of calling the images fake."""
    return softplus(logits).mean()


def generator_loss(unconditional: Tensor, conditional: Tensor) -> Tensor:
    """Non-saturating form of the adversarial part of eq. (1), one stage: -1/2 E[log D(x)] - 1/2 E[log D(x, S)]."""
    return 0.5 * as_real(unconditional) + 0.5 * as_real(conditional)


def discriminator_loss(
    real: Tensor, real_text: Tensor, fake: Tensor, fake_text: Tensor, wrong_text: Tensor | None = None
) -> Tensor:
    """Eq. (3), one stage, from logits: unconditional and conditional, on real and on fake images.

    With `wrong_text`, the conditional logits of real images with captions of others, the lineage's matching-aware weights:
    (real + real,S) / 2 + (fake + fake,S + wrong,S) / 3 (AttnGAN `miscc/losses.py: discriminator_loss`).
    """
    truth = 0.5 * (as_real(real) + as_real(real_text))
    if wrong_text is None:
        return truth + 0.5 * (as_fake(fake) + as_fake(fake_text))
    return truth + (as_fake(fake) + as_fake(fake_text) + as_fake(wrong_text)) / 3


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """E ||grad_x D(x)||^2 over a batch, without the weight gamma / 2 (Mescheder et al. 2018, eq. 9).

    `logits`: B, the sum of both heads; `images`: B x 3 x p x p, real, requiring grad. The result can be differentiated again.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, I)), averaged over batch and elements (lineage: `KL_loss`)."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).mean()


def diversity_loss(one: Tensor, other: Tensor) -> Tensor:
    """-E log(1 - cos(one, other) + CLOSE): falls as two images of one caption with different noise drift apart.

    Embeddings of the whole images, B x D each. In the manner of Yang et al. 2019 and Mao et al. 2019, who enlarge the distance of
    two images over that of their noise; here of what an encoder sees in them, since pixels differ with a shift that says nothing,
    and in logarithms, so that the first differences count most.
    """
    return -(1 - cosine_similarity(one, other, dim=1) + CLOSE).log().mean()
