"""What the generator and the discriminators read of a caption, from the frozen text encoder."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from memgan.device import beside
from memgan.encoders.text import TextEncoder, mask_of
from memgan.encoders.vocabulary import Vocabulary


class Texts(NamedTuple):
    """B captions, encoded."""

    words: Tensor  # w, B x D x L, zero at padding
    sentence: Tensor  # s, B x D
    mask: Tensor  # B x L, True at words
    mean: Tensor  # B x D, the mean of w over the caption's words


class TextReader:
    """Captions in, embeddings out, on the device of the encoder."""

    def __init__(self, vocabulary: Vocabulary, encoder: TextEncoder, words: int):
        self.vocabulary, self.encoder, self.words = vocabulary, encoder, words

    @torch.no_grad()
    def __call__(self, captions: list[str], rng: np.random.Generator | None = None) -> Texts:
        """Encodes captions; with `rng`, longer ones keep a random subset of their words, as in training."""
        tokens, lengths = (beside(self.encoder, part) for part in self.vocabulary.encode(captions, self.words, rng))
        words, sentence = self.encoder(tokens, lengths)
        return Texts(words, sentence, mask_of(lengths, self.words), words.sum(dim=2) / lengths[:, None])
