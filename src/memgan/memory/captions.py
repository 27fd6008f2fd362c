"""Captions as queries: the text encoder's words and sentence for a list of captions, the same whatever they come with."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional as F

from memgan.device import beside
from memgan.encoders.text import TextEncoder
from memgan.encoders.vocabulary import UNKNOWN, Vocabulary, words_of
from memgan.errors import InputError

CHUNK = 32  # captions encoded together, always this many: a matrix product's last bits depend on its shape


@dataclass
class Encoded:
    """Q captions, float32, in RAM."""

    sentences: np.ndarray  # Q x D, normalised
    words: np.ndarray  # Q x L x D, as the encoder gives them (eq. (8) of AttnGAN is no cosine), zero at padding
    lengths: np.ndarray  # Q, int64

    def __len__(self) -> int:
        return len(self.lengths)


class CaptionEncoder:
    """Vocabulary, text encoder and the longest caption in words (damsm.words)."""

    def __init__(self, vocabulary: Vocabulary, encoder: TextEncoder, words: int):
        self.vocabulary, self.encoder, self.words = vocabulary, encoder.eval(), words

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the weights, the vocabulary and the caption length: a bank made with another encoder is refused by it."""
        total = hashlib.sha256(f"{self.vocabulary.digest} {self.words}".encode())
        for name, tensor in sorted(self.encoder.state_dict().items()):
            total.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return total.hexdigest()

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> Encoded:
        """Captions of one length go through together, in chunks filled up to one size, so that none depends on its company."""
        tokens, lengths = self.vocabulary.encode(list(captions), self.words)
        dimension = 2 * self.encoder.rnn.hidden_size
        sentences, words = torch.zeros(len(captions), dimension), torch.zeros(len(captions), self.words, dimension)
        for length in lengths.unique():
            for rows in torch.nonzero(lengths == length)[:, 0].split(CHUNK):
                filled = torch.cat([rows, rows[:1].expand(CHUNK - len(rows))])
                w, s = self.encoder(beside(self.encoder, tokens[filled]), lengths[filled])  # [CHUNK, D, L], [CHUNK, D]
                words[rows], sentences[rows] = w[: len(rows)].transpose(1, 2).cpu(), s[: len(rows)].cpu()
        return Encoded(F.normalize(sentences, dim=1).numpy(), words.numpy(), lengths.numpy())

    def refuse_unreadable(self, captions: Sequence[str]) -> None:
        """Raises InputError for a caption that is empty, or of whose words none is known."""
        for caption in captions:
            if not words_of(caption):
                raise InputError(f"query {caption!r}: there is no word in it; describe the image in words")
            if all(number == UNKNOWN for number in self.vocabulary.tokens(caption)[: self.words]):
                known = ", ".join(self.vocabulary.words[:8])
                raise InputError(f"query {caption!r}: none of its words is in the training captions; they have words like {known}")
