"""How much of a FID is owed to how few images it is measured on? Prints a JSON object last.

python -m benchmarks.enough [--dataset birdworld] [--run ours] [--seed 0]     (in the repository's root, PYTHONPATH=src)

FID of finite sets is too large, by about a / n for each set of n (Chong and Forsyth 2020). Here it is measured again on parts of
the test images and on parts of the samples, drawn DRAWS times, and what is left for infinitely many is read off a least-squares
plane. Needs Table 1 to have been made. Keys: `all` FID of all samples to all test images, with `samples` and `test` how many;
`fewer_test`, `fewer_samples` FID (mean, standard deviation between draws) by how many; `infinite` the plane at 1 / n = 0; the same
under `training`, of the training images in place of samples.
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor
from torch.utils.data import Dataset
from typer import Option

from memgan import steps
from memgan.data.shards import ImageFolder
from memgan.encoders.judges import Judge, load_evaluator
from memgan.metrics.fidelity import frechet, statistics
from memgan.metrics.samples import RealImages, Samples
from memgan.params.data import Images
from memgan.params.load import Settings

DRAWS, PARTS, BATCH = 5, (2, 3, 4, 6), 100


@torch.no_grad()
def seen(judge: Judge, images: Dataset) -> Tensor:
    """The evaluator's features of uint8 [3, H, W] images: [n, D]."""
    count = len(images)  # type: ignore[arg-type]
    batches = (torch.stack([images[i] for i in range(at, min(count, at + BATCH))]) for at in range(0, count, BATCH))
    return torch.cat([judge.features((b / 127.5 - 1).contiguous(memory_format=torch.channels_last)) for b in batches])


def against(made: Tensor, real: Tensor, rng: np.random.Generator) -> dict[str, object]:
    """The figures of one set of features [n, D] against the test images'."""

    def part(features: Tensor, count: int) -> Tensor:
        return features[torch.from_numpy(rng.permutation(len(features))[:count])]

    whole = float(frechet(statistics(made), statistics(real)))
    told: dict[str, dict[int, tuple[float, float]]] = {"fewer_test": {}, "fewer_samples": {}}
    rows, values = [(1.0, 1 / len(made), 1 / len(real))], [whole]
    for parts in PARTS:
        n, m = len(real) // parts, len(made) // parts
        fewer = [float(frechet(statistics(made), statistics(part(real, n)))) for _ in range(DRAWS)]
        less = [float(frechet(statistics(part(made, m)), statistics(real))) for _ in range(DRAWS)]
        for key, count, found in (("fewer_test", n, fewer), ("fewer_samples", m, less)):
            told[key][count] = round(float(np.mean(found)), 2), round(float(np.std(found)), 2)
        rows += [(1.0, 1 / len(made), 1 / n), (1.0, 1 / m, 1 / len(real))]
        values += [float(np.mean(fewer)), float(np.mean(less))]
    plane = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    return {"all": round(whole, 2), "samples": len(made), "test": len(real), **told, "infinite": round(float(plane[0]), 2)}


def main(
    dataset: Annotated[str, Option(help="entry under `data`")] = "birdworld",
    run: Annotated[str, Option(help="entry under `runs`")] = "ours",
    seed: Annotated[int, Option(help="its seed")] = 0,
) -> None:
    """Measures, and prints the figures."""
    steps.start_log(None)
    results, rng = Path("results") / dataset, np.random.default_rng(0)
    judge, size = load_evaluator(results / "evaluator.safetensors").eval(), Settings(dataset).block("images", Images).size
    real, training = (seen(judge, RealImages(ImageFolder(results / "images", split), size)) for split in ("test", "train"))
    made = seen(judge, Samples(sorted((results / run / str(seed) / "samples").glob("[0-9]*.tar"))))
    print(json.dumps(against(made, real, rng) | {"training": against(training, real, rng)}))


if __name__ == "__main__":
    typer.run(main)
