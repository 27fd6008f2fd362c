"""Step: samples for the diversity score and figure: few captions, each with its retrieved image and many z (paper, Fig. 5).

Images and records are written as `memgan.gan.sample` writes them: a tar and a JSON.
"""

from pathlib import Path
from typing import Annotated, Any

import torch
from typer import Option

from memgan import steps
from memgan.artifacts import manifest, write_json
from memgan.data.shards import ImageFolder
from memgan.gan.sample import Painter, Plan, paint
from memgan.params.load import Settings

STEP = "memgan.metrics.variations"


def plan(rows: list[dict[str, Any]], captions: int, noises: int) -> list[Plan]:
    """The first caption of test images that are spread evenly over the split, each `noises` times; index tells the noise."""
    chosen = [i * len(rows) // min(captions, len(rows)) for i in range(min(captions, len(rows)))]
    pairs = [(row, k) for row in chosen for k in range(noises)]
    return [Plan(index, row, f"{rows[row]['id']}#0", rows[row]["captions"][0]) for index, (row, _) in enumerate(pairs)]


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
    """Samples few captions with many z."""
    settings = Settings(dataset, run)
    steps.set_threads(settings.value("threads"))
    paths = {"vocabulary": vocabulary, "damsm": damsm, "vgg": vgg, "features": features, "bank": bank, "generator": generator}
    painter, folder = Painter(settings, paths, seed), ImageFolder(images, "test")
    plans = plan(folder.rows, painter.sampling.diverse_captions, painter.sampling.diverse_noises)
    records = paint(painter, folder, plans, seed, out)
    said = manifest(STEP, painter.blocks, {"images": images, **paths}, seed)
    write_json(record, {"samples": records, "manifest": said})
    steps.log.info("variations: %d captions, %d images", len({p.caption_id for p in plans}), len(plans))


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    steps.run(main)
