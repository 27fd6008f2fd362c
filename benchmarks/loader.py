"""How long a training step waits for data: real shards and the real loader beside a real step. Prints a JSON object last.

python -m benchmarks.loader [--dataset birdworld] [--images 1000] [--steps 60]     (in the repository's root, PYTHONPATH=src)
python -m benchmarks.loader --dataset cub --images 640 --side 500 --alone

Pictures of the data set's side are packed into shards by preprocess. A training step of its networks, on synthetic data, then runs
for each batch that the loader's threads have decoded and cropped meanwhile, as in training. Keys: idle, the share of the time spent
waiting for batches; images_per_s of both together; loader_images_per_s of the loader alone. With `--alone` there is no step, for
networks that a GPU trains: each picture is decoded once, and there is no idle and no images_per_s.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from benchmarks.preprocess import archives
from benchmarks.train_step import Bench
from memgan import artifacts, steps
from memgan.data.loader import TrainingBatches
from memgan.data.prepare import Workers
from memgan.data.preprocess import index_text, pack
from memgan.data.readers import read
from memgan.data.readers.records import Skips
from memgan.data.writer import Writer
from memgan.params.data import Images, Source

OUT = Path("benchmarks/.out/loader")


def packed(folder: Path, number: int, images: Images, side: int) -> Path:
    """A folder of preprocessed pictures, as the loader reads it."""
    files = archives(folder, number, (side, side))
    source = Source(layout="cub", split="official", archives={role: {"path": str(path)} for role, path in files.items()})
    raw, out = read(files, source, Skips(0, "")), folder / "images"
    with Workers(1) as workers, Writer(out, {}, images.format) as writer:
        pack(raw.records, images, Skips(0, ""), writer, workers)
        rows = {split: shards.rows for split, shards in writer.shards.items()}
        artifacts.write_text(writer.folder / "index.json", index_text({**rows, "classes": raw.classes, "categories": []}))
        writer.finish()
    return out


def waits(batches: Iterable[Any], work: Callable[[int], Any]) -> tuple[float, float]:
    """Seconds spent waiting for batches, and in all; `work(k)` is done on each."""
    began = asked = time.perf_counter()
    waited = 0.0
    for k, _ in enumerate(batches):
        waited += time.perf_counter() - asked
        work(k)
        asked = time.perf_counter()
    return waited, time.perf_counter() - began


def main(
    dataset: Annotated[str, Option(help="whose networks and pictures: a name under `data` in params.yaml")] = "birdworld",
    images: Annotated[int, Option(help="pictures to load from")] = 1000,
    number: Annotated[int, Option("--steps", help="steps timed")] = 60,
    batch: Annotated[int, Option(help="images that a network sees at once")] = 16,
    side: Annotated[int, Option(help="of the raw pictures, px")] = 96,
    threads: Annotated[int, Option(help="of torch")] = 1,
    alone: Annotated[bool, Option("--alone", help="the loader without a step, once through the pictures")] = False,
) -> None:
    """Measures both, or the loader alone."""
    steps.set_threads(threads)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    bench = Bench(dataset, batch, {})
    each = bench.train.images
    batches = TrainingBatches(packed(OUT, images, bench.images, side), bench.images, bench.gan.stages, each, seed=0)
    found: dict[str, Any] = {"dataset": dataset}
    if alone:
        number = batches.steps_per_epoch
        _, lasted = waits(batches.stream(0, number), lambda _: None)
    else:
        case = bench.training()
        case.work(0)
        waited, both = waits(batches.stream(0, number), case.work)
        _, lasted = waits(batches.stream(number, 2 * number), lambda _: None)
        found |= {"idle": round(waited / both, 4), "images_per_s": round(number * each / both, 1)}
    shutil.rmtree(OUT)
    print(json.dumps(found | {"steps": number, "loader_images_per_s": round(number * each / lasted, 1)}))


if __name__ == "__main__":
    steps.start_log(None)
    typer.run(main)
