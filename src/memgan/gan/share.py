"""Step: gives a run that only samples in another way (another retrieval, other samples) the generator of `ours`.

python -m memgan.gan.share --dataset D --run R --trained generator.safetensors --trained-curves curves.csv --out ... --curves ...

Training on own neighbours never asks the memory, so that all such runs would train the same generator, to the last bit.
"""

import shutil
from pathlib import Path
from typing import Annotated

from typer import Option

from memgan import steps
from memgan.artifacts import atomic_file, load_tensors, save_tensors
from memgan.errors import InputError
from memgan.params.gan import Gan, Train
from memgan.params.load import Settings


def main(
    dataset: Annotated[str, Option(help="a name under `data` in params.yaml")],
    run: Annotated[str, Option(help="a name under `runs` that changes nothing of the training")],
    trained: Annotated[Path, Option(help="the generator to share")],
    trained_curves: Annotated[Path, Option(help="its losses by step, CSV")],
    out: Annotated[Path, Option(help="the same generator for this run")],
    curves: Annotated[Path, Option(help="the same losses for this run")],
) -> None:
    """Shares a trained generator, if this run's training would be the same."""
    settings = Settings(dataset, run)
    wanted = {"gan": settings.block("gan", Gan).model_dump(), "train": settings.block("train", Train).model_dump()}
    wanted["pooling"] = settings.value("pooling")
    tensors, manifest = load_tensors(trained)
    for name, value in wanted.items():
        if manifest["params"].get(name) != value:
            raise InputError(f"{trained}: trained with another `{name}` than run `{run}` asks for; it needs a training of its own")
    if wanted["train"]["neighbours"] != "own":
        raise InputError(f"runs.{run}: trained on retrieved neighbours, a generator fits one retrieval only; give it its own")
    with atomic_file(curves) as temporary:
        shutil.copyfile(trained_curves, temporary)
    save_tensors(out, tensors, manifest)
    steps.log.info("run %s: the generator of %s", run, trained.parent)


if __name__ == "__main__":
    steps.run(main)
