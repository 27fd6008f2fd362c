"""Step: what the real images of a data set score, and all about them that scoring samples needs (SPEC 12).

reference.safetensors: features and statistics of the real test images, features of the training images, embeddings of the test
captions. real.json: the row "Real Images" (its FID is that of training against test images), ceilings and chance levels.
"""

from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor
from typer import Option

from memgan import steps
from memgan.artifacts import load_tensors, manifest, save_tensors, write_json
from memgan.data.shards import ImageFolder
from memgan.errors import InputError
from memgan.metrics import ceiling, fidelity
from memgan.metrics.extractor import TORCHVISION
from memgan.metrics.judge import Pairs, Real, image_quality, inception_score, objects, text_image, wrong_captions
from memgan.metrics.protocol import Inputs, Passes, Protocol, draw
from memgan.metrics.samples import RealImages
from memgan.params.load import Settings

STEP = "memgan.metrics.reference"


def main(
    dataset: Annotated[str, Option(help="entry under `data` of params.yaml")],
    images: Annotated[Path, Option(help="preprocessed images")],
    vocabulary: Annotated[Path, Option(help="the words known")],
    damsm: Annotated[Path, Option(help="text and image encoders")],
    evaluator: Annotated[Path, Option(help="the network that judges")],
    out: Annotated[Path, Option(help="features and statistics of the real images, safetensors")],
    real: Annotated[Path, Option(help="their scores, JSON")],
) -> None:
    """Scores the real images of a data set and keeps their features."""
    settings = Settings(dataset)
    steps.set_threads(settings.value("threads"))
    protocol = Protocol(settings, Inputs(images, vocabulary, damsm, evaluator))
    training, rows = ImageFolder(images, "train"), protocol.drawn()
    shown = RealImages(protocol.test, protocol.images.size, rows)
    tested = protocol.passes(shown)
    trained = protocol.passes(RealImages(training, protocol.images.size), protocol.of_quality)
    found = _real(protocol, tested)
    inputs = {"images": images, "vocabulary": vocabulary, "damsm": damsm, "evaluator": evaluator}
    written = manifest(STEP, {"metrics": protocol.params.model_dump()}, inputs, protocol.seed)
    save_tensors(out, _tensors(found, protocol.features(trained)), written | {"signature": protocol.signature})
    some = draw(len(training), protocol.params.real_images, protocol.seed, "training images")
    pairs = every_caption(protocol, rows)
    scores = image_quality(protocol, trained, found, some) | inception_score(protocol, tested)
    scores |= text_image(protocol, tested, pairs, found.sentences) | objects(protocol, shown, pairs, tested)
    content = {"resolved": {"dataset": dataset, "method": "Real Images"}, "metrics": scores}
    if protocol.world:
        content["ceilings"] = _ceilings(protocol, training, rows, pairs)
    write_json(real, content | {"manifest": written})
    say("real images", scores)


def say(whose: str, scores: dict[str, Any]) -> None:
    """Logs the scores, one line each."""
    for name, found in scores.items():
        steps.log.info("%s: %s %.4f (n %d, %s)", whose, name, found["value"], found["n"], found["extractor"])


def every_caption(protocol: Protocol, rows: list[int]) -> Pairs:
    """All captions of the real test images `rows`, which the passes took in this order."""
    found = [(i, row, caption) for i, row in enumerate(rows) for caption in protocol.test.rows[row]["captions"]]
    return Pairs(*(list(column) for column in zip(*found, strict=True)))


def load_reference(path: Path, protocol: Protocol) -> tuple[Real, Tensor]:
    """What `main` kept: the real test images, and the training images' features [N, F] in float16.

    Raises InputError if they come from another protocol than `protocol`.
    """
    tensors, written = load_tensors(path)
    if other := [name for name, value in protocol.signature.items() if written.get("signature", {}).get(name) != value]:
        raise InputError(f"{path}: made with other {', '.join(other)}; make it again: `snakemake --cores all {path}`")
    theirs = fidelity.statistics_of(tensors, "test_torchvision") if protocol.params.fid_tv else None
    real = Real(tensors["test.features"], fidelity.statistics_of(tensors, "test"), theirs, tensors["captions.sentences"])
    return real, tensors["train.features"]


def _real(protocol: Protocol, tested: Passes) -> Real:
    features = protocol.features(tested)
    theirs = fidelity.statistics(protocol.features(tested, TORCHVISION)) if protocol.params.fid_tv else None
    return Real(features, fidelity.statistics(features), theirs, protocol.sentences(protocol.captions.texts))


def _tensors(real: Real, training: Tensor) -> dict[str, Tensor]:
    tensors = {"test.features": real.features, "train.features": training.half(), "captions.sentences": real.sentences}
    tensors |= fidelity.tensors_of(real.statistics, "test")
    return tensors | (fidelity.tensors_of(real.torchvision, "test_torchvision") if real.torchvision else {})


def _ceilings(protocol: Protocol, training: ImageFolder, rows: list[int], pairs: Pairs) -> dict[str, Any]:
    """What an ideal reader reaches, over the same captions and the same wrong captions as the scores."""
    true = protocol.truth([protocol.test.rows[row] for row in rows])
    texts = protocol.allowed(protocol.captions.texts)
    position = protocol.captions.positions(pairs.captions)
    told = {name: mask[position] for name, mask in texts.items()}
    of_pairs = {name: values[pairs.images] for name, values in true.items()}
    return {
        **ceiling.rprecision_ceiling(true, pairs.images, position, texts, wrong_captions(protocol, pairs)),
        **ceiling.attribute_ceiling(of_pairs, told, protocol.truth(training.rows)),
    }


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    steps.run(main)
