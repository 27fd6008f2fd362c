"""Step: trains the three stages against their discriminators (SPEC 5-9).

python -m memgan.gan.train --dataset D --run R --seed S ... --out generator.safetensors --curves curves.csv

To resume after a kill, run the same command again: the result is the same to the last bit.
"""

import csv
import io
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor
from typer import Option

from memgan import steps
from memgan.artifacts import manifest, save_tensors, seed_of, write_text
from memgan.data.loader import Batch, TrainingBatches
from memgan.data.shards import ImageFolder
from memgan.encoders.damsm import load_damsm
from memgan.encoders.vgg import load_vgg
from memgan.encoders.vocabulary import Vocabulary
from memgan.errors import InputError
from memgan.gan.engine import Engine, Recipe
from memgan.gan.neighbours import Neighbours
from memgan.gan.texts import TextReader
from memgan.memory.features import FeatureStore
from memgan.params.data import Images
from memgan.params.encoders import Damsm, Features
from memgan.params.gan import Gan, Train
from memgan.params.load import Settings
from memgan.params.memory import Memory
from memgan.state import TrainingState
from memgan.steps import log

POINTS = 400  # of each curve


def main(
    dataset: Annotated[str, Option(help="a name under `data` in params.yaml")],
    run: Annotated[str, Option(help="a name under `runs`")],
    seed: Annotated[int, Option(help="of the networks' start, the batches and the noise")],
    images: Annotated[Path, Option(help="preprocessed images")],
    vocabulary: Annotated[Path, Option(help="the words known")],
    damsm: Annotated[Path, Option(help="text and image encoders")],
    vgg: Annotated[Path, Option(help="the network of v, used with features.online")],
    features: Annotated[Path, Option(help="v of the training images")],
    bank: Annotated[Path, Option(help="memory bank, used with train.neighbours: retrieved")],
    out: Annotated[Path, Option(help="the averaged generator")],
    curves: Annotated[Path, Option(help="losses by step, CSV")],
) -> None:
    """Trains the generator of one run."""
    settings = Settings(dataset, run)
    steps.set_threads(settings.value("threads"))
    recipe = Recipe(
        gan=settings.block("gan", Gan),
        train=settings.block("train", Train),
        images=settings.block("images", Images),
        damsm=settings.block("damsm", Damsm),
        pooling=settings.value("pooling"),
        seed=seed_of(seed, "gan"),
    )
    features_block, memory = settings.block("features", Features), settings.block("memory", Memory)
    words = Vocabulary.load(vocabulary)
    text_encoder, image_encoder = load_damsm(damsm, recipe.damsm, recipe.images, words)
    store = FeatureStore(features)
    engine = Engine(recipe, TextReader(words, text_encoder, recipe.damsm.words), image_encoder, store.shape[0])
    folder = ImageFolder(images, "train")
    network = load_vgg(vgg, features_block, recipe.images) if features_block.online else None
    chosen = Neighbours(folder, store, network, memory, recipe, bank, engine.reader)
    written = manifest(
        "memgan.gan.train",
        {
            **{name: block.model_dump() for name, block in recipe._asdict().items() if hasattr(block, "model_dump")},
            "features": features_block.model_dump(),
            "memory": memory.model_dump(),
            "pooling": recipe.pooling,
            "threads": settings.value("threads"),
            "networks": {"dimension": recipe.damsm.dimension, "channels": store.shape[0]},
        },
        {"images": images, "vocabulary": vocabulary, "damsm": damsm, "vgg": vgg, "features": features, "bank": bank},
        seed,
    )
    with TrainingState(out, written) as state:
        rows = fit(
            engine, TrainingBatches(images, recipe.images, recipe.gan.stages, recipe.train.batch, recipe.seed), chosen, state
        )
        write_text(curves, table(rows))
        save_tensors(out, engine.average.state_dict(), written)
        state.clear()


def fit(engine: Engine, batches: TrainingBatches, chosen: Neighbours, state: TrainingState) -> list[dict[str, float]]:
    """Trains from the last state, if there is one, to the end. Returns the curves' points."""
    last = math.ceil(engine.recipe.train.epochs * batches.steps_per_epoch)
    first, rows = 0, []
    if saved := state.load():
        engine.restore(saved["engine"])
        first, rows = saved["step"], saved["rows"]
    every = max(1, last // POINTS)
    started = time.monotonic()
    for step, batch, feature in _steps(batches, chosen, first, last):
        terms = engine.step(batch, feature, step)
        refuse_infinite(terms, step)
        if step % every == 0 or step == last - 1:
            rows.append({"step": step, **terms})
        if (step + 1) % max(1, last // 20) == 0:
            pace = (step + 1 - first) * len(feature) / (time.monotonic() - started)
            shown = " ".join(f"{name} {value:.3f}" for name, value in terms.items())
            log.info("step %d of %d, %.0f images/s: %s", step + 1, last, pace, shown)
        if state.due():
            state.save({"step": step + 1, "engine": engine.state(), "rows": rows})
    return rows


def _steps(batches: TrainingBatches, chosen: Neighbours, first: int, last: int) -> Iterator[tuple[int, Batch, Tensor]]:
    for step, batch in enumerate(batches.stream(first, last), start=first):
        yield step, batch, chosen.features(batch)


def refuse_infinite(terms: Mapping[str, float], step: int) -> None:
    """Raises InputError if a loss is no number: the last good state stays."""
    for name, value in terms.items():
        if not math.isfinite(value):
            raise InputError(
                f"training: at step {step} the loss `{name}` is {value}; the last good state is kept; lower train.lr_*"
            )


def table(rows: list[dict[str, Any]]) -> str:
    """The curves as CSV; losses that a step did not compute (lazy R1) stay empty."""
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["step"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: v if k == "step" else f"{v:.6g}" for k, v in row.items()} for row in rows)
    return text.getvalue()


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    steps.run(main)
