"""Whitening of the captions' embeddings, for generator and discriminators (`gan.whiten`).

DAMSM compares by angle, so that nothing gives its embeddings a scale: on birdworld the mean of the words varies by 0.12 a dimension
beside noise that varies by 1, by 0.45 along its main axis and by 0.10 along the 25th. A short training ends before its first layer
has made up for that. Whitening does so at the start; it changes nothing that the networks could not learn.
"""

import torch
from torch import Tensor, nn

FLOOR = 0.01  # of the largest variance, added to all: directions in which captions hardly differ are not blown up
LEAST = 1e-8  # variance that is added where all captions are the same


class Whitening(nn.Module):
    """Embeddings [N, D] -> the same, centred, with about equal variance in every direction: (x - mean) (C + FLOOR max C)^(-1/2).

    C is the covariance of what `fit` was given, max C its largest eigenvalue (ZCA: Kessy et al. 2018). Before `fit` the identity.
    """

    def __init__(self, dimension: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("matrix", torch.eye(dimension))

    @torch.no_grad()
    def fit(self, embeddings: Tensor) -> None:
        """Takes mean and covariance of N x D embeddings, in float64."""
        embeddings = embeddings.double().cpu()  # the same matrix whatever the device
        values, vectors = torch.linalg.eigh(torch.cov(embeddings.T, correction=min(1, len(embeddings) - 1)))
        scales = (values.clamp(min=0) + max(FLOOR * float(values.max()), LEAST)).rsqrt()
        self.mean.copy_(embeddings.mean(dim=0))
        self.matrix.copy_((vectors * scales) @ vectors.T)

    def forward(self, embeddings: Tensor) -> Tensor:
        """N x D."""
        return (embeddings - self.mean) @ self.matrix
