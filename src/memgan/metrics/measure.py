"""Step: scores the samples of one run (SPEC 12).

python -m memgan.metrics.measure --dataset D --run R --seed S ... --out metrics.json samples/0.tar samples/1.tar ...
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor
from typer import Argument, Option

from memgan import steps
from memgan.artifacts import manifest, seed_of, write_json
from memgan.metrics import diversity
from memgan.metrics.judge import Pairs, Real, image_quality, inception_score, objects, text_image
from memgan.metrics.protocol import Inputs, Passes, Protocol
from memgan.metrics.reference import load_reference, say
from memgan.metrics.samples import Samples, made_with
from memgan.params.load import Settings

STEP = "memgan.metrics.measure"


def main(
    samples: Annotated[list[Path], Argument(help="all shards of the samples, tar; their JSON lies beside them")],
    dataset: Annotated[str, Option(help="entry under `data` of params.yaml")],
    run: Annotated[str, Option(help="entry under `runs`")],
    seed: Annotated[int, Option(help="of the run")],
    images: Annotated[Path, Option(help="preprocessed images")],
    vocabulary: Annotated[Path, Option(help="the words known")],
    damsm: Annotated[Path, Option(help="text and image encoders")],
    evaluator: Annotated[Path, Option(help="the network that judges")],
    reference: Annotated[Path, Option(help="features and statistics of the real images")],
    out: Annotated[Path, Option(help="scores, JSON")],
    variations: Annotated[Path | None, Option(help="few captions with many z, tar; for the diversity score")] = None,
    soa: Annotated[Path | None, Option(help="captions that name a category, tar; for SOA, else that of the samples")] = None,
) -> None:
    """Scores the samples of one run."""
    settings = Settings(dataset)
    steps.set_threads(settings.value("threads"))
    found = Samples(samples)
    protocol = Protocol(settings, Inputs(images, vocabulary, damsm, evaluator))
    real, bank = load_reference(reference, protocol)
    scores, passes = score_samples(protocol, found, real, Samples([soa], "samples for SOA") if soa else None)
    made = made_with(samples)
    bars = {}
    if made["memory"]["strategy"] != "oracle":  # whose neighbours are test images, not of the bank
        near, far = to_bank(protocol.features(passes), bank, found.column("neighbour"), protocol.seed)
        scores |= diversity.copy_check(near, far, protocol.fidelity)
        bars["copy check"] = diversity.histogram(near, far)
    if variations:
        scores |= diverse(protocol, Samples([variations], "samples for diversity"))
    files = {"images": images, "vocabulary": vocabulary, "damsm": damsm, "evaluator": evaluator, "reference": reference}
    files |= {f"samples/{path.name}": path for path in sorted(samples)}
    files |= {path.name: path for path in (variations, soa) if path}
    written = manifest(STEP, {"metrics": protocol.params.model_dump()}, files, seed)
    resolved = {"dataset": dataset, "run": run, "seed": seed} | made
    write_json(out, {"metrics": scores, "histograms": bars, "resolved": resolved, "manifest": written})
    say(f"{dataset}, {run}, seed {seed}", scores)


def score_samples(protocol: Protocol, samples: Samples, real: Real, soa: Samples | None = None) -> tuple[dict[str, Any], Passes]:
    """All scores of a set of samples, ours or anybody's, and the passes they come from. `soa`: samples of its own for SOA."""
    passes, pairs = protocol.passes(samples), told(samples)
    scores = image_quality(protocol, passes, real) | inception_score(protocol, passes)
    scores |= text_image(protocol, passes, pairs, real.sentences)
    seen = objects(protocol, samples, pairs, passes) if soa is None else objects(protocol, soa, told(soa))
    return scores | seen, passes


def told(samples: Samples) -> Pairs:
    """What each sample should show."""
    return Pairs(range(len(samples)), samples.column("row"), samples.column("caption"))


def diverse(protocol: Protocol, variations: Samples) -> dict[str, Any]:
    """The diversity (`diversity.diversity`) of images that share caption and retrieved image."""
    passes = protocol.passes(variations, [protocol.fidelity])
    return diversity.diversity(protocol.features(passes), variations.column("caption_id"), protocol.fidelity)


def to_bank(features: Tensor, bank: Tensor, neighbours: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances of the samples to their retrieved images and to one random image of the bank each: float64 [n] both."""
    rng = np.random.default_rng(seed_of(seed, "copy check"))
    drawn = rng.integers(len(bank), size=len(features)).tolist()
    return diversity.distances(features, bank, neighbours), diversity.distances(features, bank, drawn)


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    steps.run(main)
