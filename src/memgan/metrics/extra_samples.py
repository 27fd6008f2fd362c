"""Step: the samples that two scores need for themselves: few captions with many z, for the diversity score and figure (paper,
Fig. 5), and captions that name an object category, for SOA.

Images and records are written as `memgan.gan.sample` writes them: a tar and a JSON. Where the data set has no categories, those for
SOA are empty.
"""

from pathlib import Path
from typing import Annotated

import torch
from typer import Option

from memgan import steps
from memgan.artifacts import manifest, write_json
from memgan.data.shards import ImageFolder
from memgan.gan.sample import Painter, paint
from memgan.metrics import soa_samples, variations
from memgan.metrics.naming import named_categories
from memgan.params.load import Settings

STEP = "memgan.metrics.extra_samples"


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
    varied: Annotated[Path, Option(help="few captions with many z, tar")],
    varied_record: Annotated[Path, Option(help="caption, neighbour and seed of each, JSON")],
    named: Annotated[Path, Option(help="captions that name a category, tar")],
    named_record: Annotated[Path, Option(help="caption, neighbour and seed of each, JSON")],
) -> None:
    """Samples for diversity and for SOA."""
    settings = Settings(dataset, run)
    steps.set_threads(settings.value("threads"))
    paths = {"vocabulary": vocabulary, "damsm": damsm, "vgg": vgg, "features": features, "bank": bank, "generator": generator}
    painter, folder, world = Painter(settings, paths, seed), ImageFolder(images, "test"), settings.source().world
    sampling, written = painter.sampling, manifest(STEP, painter.blocks, {"images": images, **paths}, seed)
    plans = variations.plan(folder.rows, sampling.diverse_captions, sampling.diverse_noises)
    write_json(varied_record, {"samples": paint(painter, folder, plans, seed, varied), "manifest": written})
    steps.log.info("diversity: %d captions, %d images", len({plan.caption_id for plan in plans}), len(plans))
    captions = [caption for row in folder.rows for caption in row["captions"]]
    names = named_categories(captions, folder.categories, world.name if world else None)
    plans = soa_samples.plan(folder.rows, names, sampling, settings.value("seed"))
    write_json(named_record, {"samples": paint(painter, folder, plans, seed, named), "manifest": written})
    if plans:
        steps.log.info("SOA: %d images, %d categories", len(plans), names.shape[1])
    else:
        steps.log.info("SOA: the data set has no object categories, or no caption names one: nothing to sample")


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    steps.run(main)
