"""All scores of a set of images under a data set's protocol: image quality against real images, and agreement with the captions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from memgan.metrics import attributes, fidelity, rprecision, soa
from memgan.metrics.extractor import TORCHVISION
from memgan.metrics.protocol import Passes, Protocol


class Real(NamedTuple):
    """What generated images are compared with."""

    features: Tensor  # [n, F] of the real test images, by the extractor of fidelity
    statistics: fidelity.Statistics  # of the same
    torchvision: fidelity.Statistics | None  # by torchvision's Inception, where FID-tv is wanted
    sentences: Tensor  # [T, D], DAMSM's embeddings of the distinct test captions


class Pairs(NamedTuple):
    """Images and what they should show: pair i is image `images[i]` of a pass with `captions[i]`, written for row `rows[i]`."""

    images: Sequence[int]
    rows: Sequence[int]
    captions: Sequence[str]


def image_quality(protocol: Protocol, passes: Passes, real: Real, some: Sequence[int] | None = None) -> dict[str, Any]:
    """FID, FID-tv, KID, precision and recall; `some` limits KID, precision and recall to these images."""
    params, name, n_real = protocol.params, protocol.fidelity, len(real.features)
    features = protocol.features(passes)
    scores = fidelity.fid(features, real.statistics, n_real, name)
    if real.torchvision is not None:
        scores |= fidelity.fid(protocol.features(passes, TORCHVISION), real.torchvision, n_real, TORCHVISION, "FID-tv")
    few = features if some is None else features[some]
    scores |= fidelity.kid(few, real.features, params, name)
    return scores | fidelity.precision_recall(few, real.features, params, name)


def inception_score(protocol: Protocol, passes: Passes) -> dict[str, Any]:
    """IS by the extractor that the protocol names for it."""
    logits, name = protocol.logits(passes)
    return fidelity.inception_score(logits, protocol.params, name)


def wrong_captions(protocol: Protocol, pairs: Pairs) -> np.ndarray:
    """R-precision's wrong captions for each pair: `rprecision.draw_negatives` over the test captions."""
    groups = rprecision.groups_of(protocol.test.rows)
    right = protocol.captions.positions(pairs.captions)
    own = [groups[row] for row in pairs.rows]
    return rprecision.draw_negatives(protocol.captions, own, right, protocol.params.negatives, protocol.seed)


def text_image(protocol: Protocol, passes: Passes, pairs: Pairs, sentences: Tensor) -> dict[str, Any]:
    """R-precision and, on the worlds, attribute accuracy."""
    right = protocol.captions.positions(pairs.captions)
    told = sentences[right] if (right >= 0).all() else protocol.sentences(pairs.captions)
    embedded = passes[protocol.damsm]["embedding"][pairs.images]
    wrong = wrong_captions(protocol, pairs)
    scores = rprecision.rprecision(embedded, told, sentences, wrong, protocol.params.folds, protocol.damsm)
    if protocol.world is None:
        return scores
    seen = {name: values[pairs.images] for name, values in protocol.seen(passes).items()}
    masks, true = protocol.allowed(pairs.captions), protocol.truth([protocol.test.rows[row] for row in pairs.rows])
    return scores | attributes.attribute_accuracy(seen, masks, true, protocol.evaluator)


def objects(protocol: Protocol, images: Dataset, pairs: Pairs, passes: Passes | None = None) -> dict[str, Any]:
    """SOA of the pairs' images, over which there may have been `passes`; empty where the data set has no categories."""
    if protocol.detector is None or not len(pairs.images):
        return {}
    found, named = protocol.found(images, passes), protocol.named(pairs.captions)
    shown = {"captions": len(set(pairs.captions)), "images": len(set(pairs.images))}
    return soa.soa(found[pairs.images], named, protocol.detector, **shown)
