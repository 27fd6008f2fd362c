"""Step: trains the three stages against their discriminators (SPEC 5-9).

python -m memgan.gan.train --dataset D --run R --seed S ... --out generator.safetensors --curves curves.csv

To resume after a kill, run the same command again: the result is the same to the last bit. With `train.processes` above 1 the
step starts its processes by itself.
"""

import csv
import io
import math
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor
from typer import Option

from memgan import steps
from memgan.allocator import keep_pages
from memgan.artifacts import manifest, save_tensors, seed_of, write_text
from memgan.data.loader import Batch, TrainingBatches
from memgan.data.shards import ImageFolder
from memgan.device import device
from memgan.encoders.feature_network import load_vgg
from memgan.encoders.foils import Foils
from memgan.encoders.matched import load_damsm
from memgan.encoders.vocabulary import Vocabulary
from memgan.errors import InputError
from memgan.gan.engine import Engine
from memgan.gan.live import ROOT, Clock, Curves
from memgan.gan.neighbours import Neighbours
from memgan.gan.processes import listening, start
from memgan.gan.recipe import Recipe
from memgan.gan.texts import TextReader
from memgan.gan.watch import Showcase, Watch
from memgan.memory.features import FeatureStore
from memgan.params.data import Images
from memgan.params.encoders import Damsm, Features
from memgan.params.gan import Gan, Train
from memgan.params.load import Settings
from memgan.params.memory import Memory
from memgan.signals import Stop
from memgan.state import PATIENCE, TrainingState
from memgan.weight_gradients import use_products


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
    keep_pages()
    use_products()
    recipe = Recipe(
        gan=settings.block("gan", Gan),
        train=settings.block("train", Train),
        images=settings.block("images", Images),
        damsm=settings.block("damsm", Damsm),
        pooling=settings.value("pooling"),
        seed=seed_of(seed, "gan"),
    )
    processes = start(recipe.train.processes, recipe.train.batch)
    features_block, memory = settings.block("features", Features), settings.block("memory", Memory)
    words = Vocabulary.load(vocabulary)
    text_encoder, image_encoder = load_damsm(damsm, recipe.damsm, recipe.images, words)
    store = FeatureStore(features)
    batches = TrainingBatches(
        images, recipe.images, recipe.gan.stages, recipe.train.images, recipe.seed, processes.part(recipe.train.images)
    )
    reader, count = TextReader(words, text_encoder, recipe.damsm.words), steps_of(recipe.train, batches)
    folder = ImageFolder(images, "train")
    captions = [row["captions"] for row in folder.rows]
    foils = Foils(captions) if recipe.train.damsm_foils else None
    engine = Engine(recipe, reader, image_encoder, store.shape[0], processes, count, foils)
    engine.whiten([caption for own in captions for caption in own])
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
    live = ROOT / dataset / run / str(seed) if processes.writes else None
    # another kind of device rounds otherwise: it would not end in the same weights
    patience = math.inf if processes.size == 1 else PATIENCE
    with TrainingState(out, written | {"device": device().type}, processes.writes, patience) as state:
        with listening("before the first step"):
            made = processes.told(state.finished(out, curves))
        if made:
            return
        rows = fit(engine, batches, chosen, state, live)
        if processes.writes:
            write_text(curves, table(rows))
            save_tensors(out, engine.average.state_dict(), written)
            state.finish(out, curves)


def steps_of(train: Train, batches: TrainingBatches) -> int:
    """How many steps a whole training has."""
    return math.ceil(train.epochs * batches.steps_per_epoch)


def fit(
    engine: Engine, batches: TrainingBatches, chosen: Neighbours, state: TrainingState, live: Path | None = None
) -> list[dict[str, float]]:
    """Trains from the last state, if there is one, to the end. Returns the curves' points; DVCLive's are written to `live`.

    Ends the program, with exit code 0 and a state of the last step, on SIGTERM and SIGINT.
    """
    last = steps_of(engine.recipe.train, batches)
    first, rows = resumed(engine, state)
    clock, told = Clock(first, last, engine.recipe.train.images), {}
    watch = Watch(engine, state, Curves(live if last else None, state.root, first), Showcase(engine, chosen), clock)
    with Stop() as stop:
        for step, batch, feature in watch.over(batches, chosen):
            told, stopping = train_step(engine, batch, feature, step, stop)
            if step % watch.every == 0 or step == last - 1:
                rows.append({"step": step, **told})
            watch.tell(step, told)
            if state.due() or (stopping and state.writes):
                state.save({"step": step + 1, "engine": engine.state(), "rows": rows})
            if stopping:
                watch.leave(step + 1, told, stop.name or "a signal to another process")
    watch.finish(told)
    return rows


def resumed(engine: Engine, state: TrainingState) -> tuple[int, list[dict[str, float]]]:
    """Takes up the last state, in all processes the same: (the next step, the curves' points so far)."""
    with listening("before the first step"):
        saved = state.load() if state.writes else None
        source = engine.processes.told(str(state.source) if saved else None)
        if source and not state.writes:
            saved = torch.load(str(source), weights_only=True, map_location="cpu")
        if saved is None:
            return 0, []
        engine.restore(saved["engine"])
        engine.processes.any(False)  # nobody goes on, and writes a state, before all have read this one
    return saved["step"], saved["rows"]


def train_step(engine: Engine, batch: Batch, feature: Tensor, step: int, stop: Stop) -> tuple[dict[str, float], bool]:
    """`Engine.step`, and whether one of the processes was told to stop.

    Raises InputError if another process is gone, or if a GPU has too little memory.
    """
    try:
        with listening(f"at step {step}"):
            return engine.step(batch, feature, step), engine.processes.any(bool(stop.name))
    except torch.OutOfMemoryError as fault:
        said = str(fault).partition(". ")[0]
        raise InputError(f"training: at step {step} {said}; lower train.batch, or gan.ngf and gan.ndf") from None


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
