"""Time of all metrics for as many samples as the paper has, of a world's size. Prints a JSON object last.

python -m benchmarks.metrics [--samples 30000] [--threads 2] [--dataset birdworld]     (in the repository's root, PYTHONPATH=src)

Encoders and evaluator are untrained, which changes no time; samples are test images with noise. Keys: measure_* the step that
scores one run, with its samples for SOA and diversity; reference_* the step that scores the real images, once a data set; *_s
seconds of wall time, *_cpu_s of processor time (both threads'), on a machine that may be busy; peak_gb largest memory.
"""

import json
import os
import resource
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml
from typer import Option

from memgan import steps
from memgan.artifacts import write_json
from memgan.data import preprocess, render
from memgan.data.shards import ImageFolder
from memgan.encoders import damsm, evaluator, vocabulary
from memgan.gan.sample import add_picture
from memgan.metrics import measure, reference

OUT = Path("benchmarks/.out/metrics")
TRAINING, TEST = 400, 1000  # images of the world
SHARDS, SOA, VARIATIONS = 2, 1500, 200
UNTRAINED = {"damsm": {"epochs": 0}, "evaluator": {"epochs": 0, "images": 64}}
PARTS = ("images", "vocabulary.json", "damsm.safetensors", "evaluator.safetensors")


def main(
    samples: Annotated[int, Option(help="generated images")] = 30000,
    threads: Annotated[int, Option(help="of torch")] = 2,
    dataset: Annotated[str, Option(help="an embedded world")] = "birdworld",
) -> None:
    """Measures, and prints the figures."""
    steps.start_log(None)
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    os.chdir(OUT)
    made = prepared(params, dataset, threads)
    shards, more = pictures(dataset, samples, params)
    inputs = dict(zip(("images", "vocabulary", "damsm", "evaluator"), map(Path, PARTS), strict=True))
    kept = Path("reference.safetensors")
    figures = {"samples": samples, "threads": threads, "side": made["images"]["size"]}
    figures |= timed("reference", lambda: reference.main(dataset, **inputs, out=kept, real=Path("real.json")))
    run = {"run": "ours", "seed": 0, "reference": kept, "out": Path("metrics.json")}
    figures |= timed("measure", lambda: measure.main(shards, dataset, **inputs, **run, **more))
    figures["scores"] = len(json.loads(Path("metrics.json").read_text())["metrics"])
    figures["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2)
    print(json.dumps(figures))


def timed(name: str, work: Callable[[], None]) -> dict[str, float]:
    """Seconds of wall and of processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {f"{name}_s": round(time.perf_counter() - wall, 1), f"{name}_cpu_s": round(time.process_time() - cpu, 1)}


def prepared(params: dict[str, Any], dataset: str, threads: int) -> dict[str, Any]:
    """A small world with untrained networks, in the files that scoring reads; the parameters that made it."""
    params = params | {"threads": threads} | {name: params[name] | changes for name, changes in UNTRAINED.items()}
    params["data"][dataset]["source"]["world"] |= {"train_images": TRAINING, "test_images": TEST}
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    images, words, encoders, judge = map(Path, PARTS)
    render.main(dataset, archives=Path("archives"), sources=Path("sources.json"))
    preprocess.main(dataset, sources=Path("sources.json"), out=images)
    vocabulary.main(dataset=dataset, images=images, out=words)
    damsm.main(dataset=dataset, images=images, vocabulary=words, out=encoders)
    evaluator.main(dataset=dataset, images=images, vocabulary=words, out=judge)
    return params


def pictures(dataset: str, count: int, params: dict[str, Any]) -> tuple[list[Path], dict[str, Path]]:
    """Shards of samples, and the samples for SOA and diversity, as the sampling steps leave them."""
    rng, folder, size = np.random.default_rng(0), ImageFolder(Path("images"), "test"), params["images"]["size"]
    made = {"memory": params["memory"], "training": {name: params[name] for name in ("pooling", "gan", "train")}}
    sizes = {f"samples/{shard}.tar": part for shard, part in enumerate(np.array_split(np.arange(count), SHARDS))}
    sizes |= {"soa.tar": np.arange(SOA), "variations.tar": np.arange(VARIATIONS) // 10}
    for name, numbers in sizes.items():
        records, path = [], Path(name)
        path.parent.mkdir(exist_ok=True)
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            for index, number in enumerate(numbers.tolist(), start=int(numbers[0])):
                row = number % len(folder)
                entry = folder.rows[row]
                pick = number // len(folder) % len(entry["captions"])
                noise = rng.integers(-20, 21, (size, size, 3))
                add_picture(archive, f"{index:06d}.png", (folder.centre(row, size) + noise).clip(0, 255).astype(np.uint8))
                said = {"caption": entry["captions"][pick], "caption_id": f"{entry['id']}#{pick}", "image_id": entry["id"]}
                records.append({"index": index, "row": row, "neighbour": int(rng.integers(TRAINING)), **said})
        write_json(path.with_suffix(".json"), {"samples": records, "manifest": {"params": made}})
    return [Path(name) for name in sizes if "/" in name], {name: Path(f"{name}.tar") for name in ("soa", "variations")}


if __name__ == "__main__":
    typer.run(main)
