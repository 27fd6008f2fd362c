"""Text encoder of DAMSM (SPEC 7; Xu et al. 2018, AttnGAN, section 3.2): a bi-directional LSTM."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from memgan.params.encoders import Damsm


def mask_of(lengths: Tensor, words: int) -> Tensor:
    """Where words stand: bool [B, L = words] for lengths [B], True at a word, False at padding."""
    return torch.arange(words, device=lengths.device) < lengths[:, None]


class TextEncoder(nn.Module):
    """Embedding, dropout, one-layer bi-LSTM with D / 2 a direction [lineage: AttnGAN, RNN_ENCODER]."""

    def __init__(self, vocabulary_size: int, params: Damsm):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, params.word_embedding)
        self.dropout = nn.Dropout(params.dropout)
        self.rnn = nn.LSTM(params.word_embedding, params.dimension // 2, batch_first=True, bidirectional=True)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Words and sentence of captions.

        tokens int64 [B, L], lengths int64 [B], at least 1. Returns w [B, D, L], the outputs of both directions, zero at padding,
        and s [B, D], the last state of each direction: forwards after the last word, backwards after the first.
        """
        embedded = self.dropout(self.embedding(tokens))  # [B, L, E]
        packed = pack_padded_sequence(embedded, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, (last, _) = self.rnn(packed)
        words, _ = pad_packed_sequence(outputs, batch_first=True, total_length=tokens.shape[1])  # [B, L, D]
        sentence = last.transpose(0, 1).flatten(1)  # [2, B, D / 2] -> [B, D]
        return words.transpose(1, 2), sentence
