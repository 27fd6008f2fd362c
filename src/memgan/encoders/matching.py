"""Deep attentional multimodal similarity: scores and losses (SPEC 7; Xu et al. 2018, AttnGAN, eqs. (7)-(14)).

Everything is differentiable; nothing is detached and no caption is looped over. Two notes on the lineage's code: its losses are
means over the batch where eqs. (12) and (13) write sums, which is followed; its word score leaves out the exponent 1 / gamma2 of
eq. (10), which is not.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from memgan.params.encoders import Damsm

EPSILON = 1e-8  # smallest norm in a cosine
LARGEST = 2**25  # numbers in one [I, C, L, R] block of attention: 128 MiB in float32


class Wrong(NamedTuple):
    """K foils of each of B captions, encoded (`memgan.encoders.foils`)."""

    words: Tensor  # B x K x D x L, zero at padding
    sentences: Tensor  # B x K x D
    mask: Tensor  # B x K x L, True at words
    there: Tensor  # B, False for a caption that has none

    @classmethod
    def of(cls, words: Tensor, sentences: Tensor, mask: Tensor, there: Tensor) -> "Wrong":
        """From the encodings of B * K captions, those of one after another: [B * K, D, L], [B * K, D], [B * K, L]."""
        parted = (encoded.unflatten(0, (len(there), -1)) for encoded in (words, sentences, mask))
        return cls(*parted, there)

    def known(self, scores: Tensor) -> Tensor:
        """Scores of images with these foils [B, K]; -inf where there are none."""
        return scores.masked_fill(~self.there[:, None], -torch.inf)


def word_scores(regions: Tensor, words: Tensor, mask: Tensor, gamma1: float, gamma2: float) -> Tensor:
    """R(Q, D) of every image with every caption, eqs. (7)-(10).

    regions [I, D, ...] (any spatial shape, R regions), words [C, D, L], mask bool [C, L] with at least one word a caption.
    Returns [I, C]. Large inputs go through in blocks of captions; the numbers are the same.
    """
    regions = regions.flatten(2)  # [I, D, h, w] -> [I, D, R]
    images, _, count = regions.shape
    block = max(1, LARGEST // (images * count * words.shape[2]))
    pairs = zip(words.split(block), mask.split(block), strict=True)
    return torch.cat([_word_scores(regions, w, m, gamma1, gamma2) for w, m in pairs], dim=1)


def _word_scores(regions: Tensor, words: Tensor, mask: Tensor, gamma1: float, gamma2: float) -> Tensor:
    """regions [I, D, R]; words [C, D, L], mask [C, L] for captions that all images share, with another dimension I before for an
    image's own ones: [I, C]."""
    images, (captions, _, length) = len(regions), words.shape[-3:]
    flat = words.transpose(-2, -1).flatten(-3, -2)  # [C, D, L] -> [C * L, D]
    similarity = (flat @ regions).unflatten(1, (captions, length))  # eq. (7): [I, C, L, R]
    padding = ~mask[..., None]
    share = similarity.masked_fill(padding, -torch.inf).softmax(dim=2)  # eq. (8): over the words, for each region
    attention = (gamma1 * share).softmax(dim=3)  # eq. (9): over the regions, for each word
    # eq. (9) goes on with c = attention-weighted regions, but the cosine needs only c . e, which is the attention-weighted
    # similarity, and |c|, for which the regions' own products do: cheaper than c itself, and the same number
    product = (attention * similarity).sum(dim=3)  # [I, C, L]
    gram = regions.transpose(1, 2) @ regions  # [I, R, R]
    spread = (attention.flatten(1, 2) @ gram).unflatten(1, (captions, length))  # [I, C * L, R] -> [I, C, L, R]
    context = _norm((attention * spread).sum(dim=3))
    cosine = product / (context * _norm(words.square().sum(dim=-2)))  # R(c_i, e_i): [I, C, L]
    scores = (gamma2 * cosine).masked_fill(~mask, -torch.inf).logsumexp(dim=2) / gamma2  # eq. (10)
    return scores.view(images, captions)


def _norm(square: Tensor) -> Tensor:
    return square.clamp_min(EPSILON**2).sqrt()  # clamped before the root, whose slope at 0 is infinite


def sentence_scores(globals_: Tensor, sentences: Tensor) -> Tensor:
    """Cosine of every image's global embedding [I, D] with every sentence [C, D]: [I, C]."""
    return F.normalize(globals_, dim=1, eps=EPSILON) @ F.normalize(sentences, dim=1, eps=EPSILON).T


def contrast(scores: Tensor, labels: Tensor, gamma3: float, foils: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Eqs. (11)-(13) for scores [B, B] of images (rows) with captions: losses (image to text, text to image), batch means.

    Pairs of different images with the same label are no wrong answers and are left out of the softmax [lineage]; labels int64
    [B]; the diagonal, the right answers, always stays. `foils` [B, K]: scores of each image with foils of its caption, more wrong
    answers from image to text [ours].
    """
    same = (labels[:, None] == labels[None, :]).fill_diagonal_(False)
    logits = (gamma3 * scores).masked_fill(same, -torch.inf)
    right = torch.arange(len(labels), device=labels.device)
    to_text = logits if foils is None else torch.cat([logits, gamma3 * foils], dim=1)
    return F.cross_entropy(to_text, right), F.cross_entropy(logits.T, right)


def words_loss(
    regions: Tensor, words: Tensor, mask: Tensor, labels: Tensor, params: Damsm, wrong: Wrong | None = None
) -> tuple[Tensor, Tensor]:
    """Word level, L1^w and L2^w: (image to text, text to image). Shapes as in `word_scores`, labels as in `contrast`."""
    gammas = params.gamma1, params.gamma2
    foils = wrong.known(_word_scores(regions.flatten(2), wrong.words, wrong.mask, *gammas)) if wrong else None
    return contrast(word_scores(regions, words, mask, *gammas), labels, params.gamma3, foils)


def sentence_loss(
    globals_: Tensor, sentences: Tensor, labels: Tensor, params: Damsm, wrong: Wrong | None = None
) -> tuple[Tensor, Tensor]:
    """Sentence level, L1^s and L2^s: (image to text, text to image), for global [B, D] and sentences [B, D]."""
    foils = wrong.known(F.cosine_similarity(globals_[:, None], wrong.sentences, dim=2, eps=EPSILON)) if wrong else None
    return contrast(sentence_scores(globals_, sentences), labels, params.gamma3, foils)


def damsm_loss(
    images_out: tuple[Tensor, Tensor],
    text_out: tuple[Tensor, Tensor],
    mask: Tensor,
    labels: Tensor,
    params: Damsm,
    wrong: Wrong | None = None,
) -> Tensor:
    """L_DAMSM, eq. (14): the sum of the four losses, a scalar.

    images_out: (regions [B, D, h, w], global [B, D]); text_out: (words [B, D, L], sentences [B, D]); mask bool [B, L]; `wrong`:
    foils of the captions, if there are any.
    """
    regions, globals_ = images_out
    words, sentences = text_out
    by_words = words_loss(regions, words, mask, labels, params, wrong)
    return sum(by_words) + sum(sentence_loss(globals_, sentences, labels, params, wrong))
