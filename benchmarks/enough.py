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
import typer
from torch import Tensor, from_numpy
from typer import Option

from memgan import steps
from memgan.artifacts import load_tensors
from memgan.metrics.fidelity import frechet, statistics
from memgan.metrics.protocol import Inputs, Protocol
from memgan.metrics.samples import Samples
from memgan.params.load import Settings

DRAWS, PARTS = 5, (2, 3, 4, 6)


def against(made: Tensor, real: Tensor, rng: np.random.Generator) -> dict[str, object]:
    """The figures of one set of features [n, D] against the test images'."""

    def part(features: Tensor, count: int) -> Tensor:
        return features[from_numpy(rng.permutation(len(features))[:count])]

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
    files = (results / name for name in ("images", "vocabulary.json", "damsm.safetensors", "evaluator.safetensors"))
    protocol, (known, _) = Protocol(Settings(dataset), Inputs(*files)), load_tensors(results / "reference.safetensors")
    samples = Samples(sorted((results / run / str(seed) / "samples").glob("[0-9]*.tar")))
    made = protocol.features(protocol.passes(samples, [protocol.fidelity]))
    real, training = known["test.features"], known["train.features"].float()
    print(json.dumps(against(made, real, rng) | {"training": against(training, real, rng)}))


if __name__ == "__main__":
    typer.run(main)
