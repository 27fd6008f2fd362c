"""Step: samples for SOA: test captions that name an object category, three images each (SPEC 12; Hinz et al. 2020).

Images and records are written as `memgan.gan.sample` writes them: a tar and a JSON. Where the data set has no categories, both
are empty.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from typer import Option

from memgan import steps
from memgan.artifacts import manifest, seed_of, write_json
from memgan.data.shards import ImageFolder
from memgan.gan.sample import Painter, Plan, paint
from memgan.metrics.naming import named_categories
from memgan.params.evaluation import Sampling
from memgan.params.load import Settings

STEP = "memgan.metrics.soa_samples"


def plan(rows: list[dict[str, Any]], named: np.ndarray, sampling: Sampling, seed: int) -> list[Plan]:
    """At most `soa_captions` captions of each category, drawn by seed, each `soa_images` times.

    `named` bool [captions, C]: what each caption of the rows, in their order, names. A caption that is drawn for one category
    counts for all that it names.
    """
    captions = [(row, j) for row, entry in enumerate(rows) for j in range(len(entry["captions"]))]
    drawn: set[int] = set()
    for c in range(named.shape[1]):
        those = np.flatnonzero(named[:, c])
        rng = np.random.default_rng(seed_of(seed, "SOA", c))
        drawn.update(rng.choice(those, min(sampling.soa_captions, len(those)), replace=False).tolist())
    chosen = [captions[i] for i in sorted(drawn) for _ in range(sampling.soa_images)]
    return [Plan(index, row, f"{rows[row]['id']}#{j}", rows[row]["captions"][j]) for index, (row, j) in enumerate(chosen)]


def main(
    dataset: Annotated[str, Option(help="entry under `data` of params.yaml")],
    run: Annotated[str, Option(help="entry under `runs`")],
    seed: Annotated[int, Option(help="of the run")],
    images: Annotated[Path, Option(help="preprocessed images, for the test captions")],
    vocabulary: Annotated[Path, Option(help="the words known")],
    damsm: Annotated[Path, Option(help="text encoder")],
    vgg: Annotated[Path, Option(help="the network of v, used by the oracle")],
    features: Annotated[Path, Option(help="v of the training images")],
    bank: Annotated[Path, Option(help="memory bank")],
    generator: Annotated[Path, Option(help="trained generator")],
    out: Annotated[Path, Option(help="the images, tar")],
    record: Annotated[Path, Option(help="caption, neighbour and seed of each, JSON")],
) -> None:
    """Samples captions that name an object category."""
    settings = Settings(dataset, run)
    steps.set_threads(settings.value("threads"))
    paths = {"vocabulary": vocabulary, "damsm": damsm, "vgg": vgg, "features": features, "bank": bank, "generator": generator}
    painter, world, folder = Painter(settings, paths, seed), settings.source().world, ImageFolder(images, "test")
    captions = [caption for row in folder.rows for caption in row["captions"]]
    named = named_categories(captions, folder.categories, world.name if world else None)
    plans = plan(folder.rows, named, painter.sampling, settings.value("seed"))
    records = paint(painter, folder, plans, seed, out)
    write_json(record, {"samples": records, "manifest": manifest(STEP, painter.blocks, {"images": images, **paths}, seed)})
    if plans:
        steps.log.info("SOA: %d images, %d categories", len(plans), named.shape[1])
    else:
        steps.log.info("SOA: the data set has no object categories, or no caption names one: nothing to sample")


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    steps.run(main)
