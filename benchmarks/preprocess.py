"""Images a second of preprocess beside those of a plain Pillow loop. Prints a JSON object last.

python -m benchmarks.preprocess [--images 3000] [--processes 2]     (in the repository's root, PYTHONPATH=src)

Both read the same archive in CUB's layout, JPEGs of 500 x 375 px as CUB's are, cut the square around the box, scale it to a short
side of 304 px and write JPEG of quality 95. The loop does it picture by picture: open, convert, crop, resize, save. Each round is a
process of its own, as a script is: how the C library deals out memory depends on what a process has done before.
Keys: plain_ips, ours_ips images a second (the best of the rounds); ratio; small_*: the same of pictures of 1600 x 1200 px for
networks of 64 px, where JPEG is decoded at a part of its size.
"""

import io
import json
import shutil
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from typer import Option

from memgan import steps
from memgan.data.prepare import Workers
from memgan.data.preprocess import pack
from memgan.data.readers import read
from memgan.data.readers.records import Skips
from memgan.data.source import inflated_once
from memgan.data.writer import Writer
from memgan.params.data import Images, Source

OUT = Path("benchmarks/.out/preprocess")
SIZES = {"": ((500, 375), 256, 304), "small_": ((1600, 1200), 64, 76)}


def picture(seed: int, size: tuple[int, int]) -> Image.Image:
    """Coarse shapes and fine grain: it compresses to about as many bytes as a photograph of its size."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = rng.normal(0, 9, (size[1], size[0], 1))
    return Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8))


def archives(folder: Path, count: int, size: tuple[int, int]) -> dict[str, Path]:
    """A data set in CUB's layout; every twentieth picture is drawn, the others repeat them."""
    drawn = []
    for seed in range(max(1, count // 20)):
        buffer = io.BytesIO()
        picture(seed, size).save(buffer, "JPEG", quality=90)
        drawn.append(buffer.getvalue())
    w, h = size
    box = f"{w / 5} {h / 5} {w / 2} {h / 2}"
    names = [f"001.a/{i:05d}.jpg" if i % 4 else f"002.b/{i:05d}.jpg" for i in range(count)]
    tables = {
        "images.txt": [f"{i} {name}" for i, name in enumerate(names)],
        "classes.txt": ["1 001.a", "2 002.b"],
        "image_class_labels.txt": [f"{i} {1 if name.startswith('001') else 2}" for i, name in enumerate(names)],
        "train_test_split.txt": [f"{i} {int(name.startswith('001'))}" for i, name in enumerate(names)],
        "bounding_boxes.txt": [f"{i} {box}" for i in range(count)],
    }
    images = {f"C/images/{name}": drawn[i % len(drawn)] for i, name in enumerate(names)}
    images |= {f"C/{name}": "\n".join(lines).encode() for name, lines in tables.items()}
    captions = {f"text/{name.removesuffix('.jpg')}.txt": b"a picture" for name in names}
    return {role: packed(folder / f"{role}.tgz", files) for role, files in {"images": images, "captions": captions}.items()}


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def plain(files: dict[str, Path], box: tuple[float, ...], short: int, out: Path) -> None:
    """The loop that anybody would write."""
    x, y, w, h = box
    half, cx, cy = int(max(w, h) * 0.75), int(x + w / 2), int(y + h / 2)
    with tarfile.open(files["images"]) as archive, tarfile.open(out, "w") as shard:
        for info in archive:
            if not info.name.endswith(".jpg"):
                continue
            image = Image.open(archive.extractfile(info)).convert("RGB")
            edges = max(0, cx - half), max(0, cy - half), min(image.width, cx + half), min(image.height, cy + half)
            image = image.crop(edges)
            scale = short / min(image.size)
            image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=95, subsampling=0)
            member = tarfile.TarInfo(info.name)
            member.size = buffer.tell()
            buffer.seek(0)
            shard.addfile(member, buffer)


def ours(files: dict[str, Path], images: Images, processes: int, out: Path) -> None:
    """The step without its manifest."""
    source = Source(layout="cub", split="official", archives={role: {"path": str(path)} for role, path in files.items()})
    with inflated_once(out.parent), Workers(processes) as workers:
        raw = read(files, source, Skips(0, ""))
        with Writer(out, {"run": time.time_ns()}, images.format) as writer:
            pack(raw.records, images, Skips(0, ""), writer, workers)
            writer.finish()


def best(run: Callable[[], None], count: int, rounds: int) -> float:
    """Images a second of the fastest round."""
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as fresh:
        return count / min(list(fresh.map(seconds, [run] * rounds)))


def seconds(run: Callable[[], None]) -> float:
    """Of a round, without its process's start."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main(
    images: Annotated[int, Option(help="how many; CUB has 11,788, and of few the start of the processes is a large part")] = 3000,
    processes: Annotated[int, Option(help="of ours")] = 2,
    rounds: Annotated[int, Option(help="of each; the fastest counts")] = 2,
) -> None:
    """Measures both."""
    found: dict[str, float] = {"processes": processes}
    for name, (size, side, short) in SIZES.items():
        count = images if not name else images // 4
        shutil.rmtree(OUT, ignore_errors=True)
        OUT.mkdir(parents=True)
        files = archives(OUT, count, size)
        geometry = Images(size=side, short_side=short, box_crop=0.75, flip=False, format="jpg")
        box = (size[0] / 5, size[1] / 5, size[0] / 2, size[1] / 2)
        loop = best(partial(plain, files, box, short, OUT / "plain.tar"), count, rounds)
        step = best(partial(ours, files, geometry, processes, OUT / "images"), count, rounds)
        found |= {f"{name}plain_ips": round(loop, 1), f"{name}ours_ips": round(step, 1), f"{name}ratio": round(step / loop, 2)}
    shutil.rmtree(OUT)
    print(json.dumps(found))


if __name__ == "__main__":
    steps.start_log(None)
    typer.run(main)
