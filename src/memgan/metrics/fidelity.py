"""Image quality on one extractor's features: FID, IS, KID, precision and recall, all by torch-fidelity's own code (SPEC 12)."""

from typing import Any

import torch
from torch import Tensor
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from memgan.errors import InputError
from memgan.metrics.score import score
from memgan.params.evaluation import Metrics

RNG_SEED = 2020  # torch-fidelity's default: order of IS splits, draw of KID subsets
PRC_ROWS = 2000  # rows of a distance matrix held at once: 30,000 images stay below a gigabyte
Statistics = dict[str, Any]


def statistics(features: Tensor) -> Statistics:
    """Mean and covariance of features [n, F], as FID wants them. Raises InputError for fewer than two images."""
    if len(features) < 2:
        raise InputError(f"FID: it needs at least 2 images and there are {len(features)}; give more images")
    return fid_features_to_statistics(features)


def frechet(one: Statistics, other: Statistics) -> float:
    """Frechet distance of two Gaussians (Heusel et al. 2017, eq. 6)."""
    return fid_statistics_to_metric(one, other, verbose=False)[KEY_METRIC_FID]


def fid(features: Tensor, real: Statistics, n_real: int, extractor: str, name: str = "FID") -> dict[str, Any]:
    """FID of features [n, F] against the statistics of `n_real` real images."""
    return {name: score(frechet(statistics(features), real), len(features), extractor, n_real=n_real)}


def inception_score(logits: Tensor, params: Metrics, extractor: str) -> dict[str, Any]:
    """IS (Salimans et al. 2016) of logits [n, classes]: mean and std over the splits, in shuffled order."""
    splits = min(params.splits, len(logits))
    found = isc_features_to_metric(logits, splits, shuffle=True, rng_seed=RNG_SEED)
    more = {"splits": splits, "classes": logits.shape[1]}
    return {"IS": score(found[KEY_METRIC_ISC_MEAN], len(logits), extractor, found[KEY_METRIC_ISC_STD], **more)}


def kid(features: Tensor, real: Tensor, params: Metrics, extractor: str) -> dict[str, Any]:
    """KID (Binkowski et al. 2018), cubic kernel, mean and std over subsets of features [n, F] and [n_real, F]."""
    size = min(params.kid_subset, len(features), len(real))
    subsets = {"kid_subsets": params.kid_subsets, "kid_subset_size": size}
    found = kid_features_to_metric(features, real, **subsets, rng_seed=RNG_SEED, verbose=False)
    more = {"n_real": len(real), "subset": size}
    return {"KID": score(found[KEY_METRIC_KID_MEAN], len(features), extractor, found[KEY_METRIC_KID_STD], **more)}


def precision_recall(features: Tensor, real: Tensor, params: Metrics, extractor: str) -> dict[str, Any]:
    """Precision and recall (Kynkaanniemi et al. 2019) of features [n, F] and [n_real, F]; k is `metrics.neighbours`."""
    k = min(params.neighbours, len(features) - 1, len(real) - 1)
    found = prc_features_to_metric(features, real, prc_neighborhood=k, prc_batch_size=PRC_ROWS, save_cpu_ram=True, verbose=False)
    more = {"n_real": len(real), "neighbours": k}
    return {
        "precision": score(found[KEY_METRIC_PRECISION], len(features), extractor, **more),
        "recall": score(found[KEY_METRIC_RECALL], len(features), extractor, **more),
    }


def statistics_of(tensors: dict[str, Tensor], prefix: str) -> Statistics:
    """Statistics from the tensors `<prefix>.mu` and `<prefix>.sigma` of a reference file."""
    return {"mu": tensors[f"{prefix}.mu"].numpy(), "sigma": tensors[f"{prefix}.sigma"].numpy()}


def tensors_of(found: Statistics, prefix: str) -> dict[str, Tensor]:
    """The inverse of `statistics_of`."""
    return {f"{prefix}.mu": torch.from_numpy(found["mu"]), f"{prefix}.sigma": torch.from_numpy(found["sigma"])}
