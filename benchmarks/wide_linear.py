"""What the generator's first layer gains by products in blocks, at a data set's size. Prints a JSON object last.

python -m benchmarks.wide_linear [--dataset birdworld]     (in the repository's root, PYTHONPATH=src, threads as params.yaml)

torch's own layer and ours take turns, each forward and back on the same numbers. Keys: `torch_ms` and `blocks_ms`, medians of both
directions together; `ratio` of the two; `same_bits` of outputs and gradients.
"""

import json
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from torch import Tensor, nn
from typer import Option

from benchmarks.measure import facts, median_seconds
from memgan import steps
from memgan.allocator import keep_pages
from memgan.gan.generator import Generator
from memgan.gan.wide_linear import WideLinear
from memgan.params.data import Images
from memgan.params.encoders import Damsm, Features
from memgan.params.gan import Gan, Train
from memgan.params.load import Settings

ROUNDS, TIMES = 5, 20


def main(dataset: Annotated[str, Option(help="a name under `data` of params.yaml")] = "birdworld") -> None:
    """Measures both."""
    settings = Settings(dataset, "ours")
    steps.set_threads(settings.value("threads"))
    keep_pages()
    batch, dimension = settings.block("train", Train).batch, settings.block("damsm", Damsm).dimension
    channels = settings.block("features", Features).channels
    with torch.device("meta"):
        whole = Generator(settings.block("gan", Gan), settings.block("images", Images), dimension, channels)
    inputs, outputs = whole.first.linear.in_features, whole.first.linear.out_features
    torch.manual_seed(0)
    ours, torchs = WideLinear(inputs, outputs), nn.Linear(inputs, outputs, bias=False)
    torchs.load_state_dict(ours.state_dict())
    x, slope = torch.randn(batch, inputs, requires_grad=True), torch.randn(batch, outputs)

    def pass_of(layer: nn.Linear) -> Callable[[int], list[Tensor]]:
        def work(_: int) -> list[Tensor]:
            layer.weight.grad = x.grad = None
            made = layer(x)
            made.backward(slope)
            return [made.detach(), x.grad, layer.weight.grad]

        return work

    works = [pass_of(torchs), pass_of(ours)]
    times = [min(each) for each in zip(*([median_seconds(work, TIMES) for work in works] for _ in range(ROUNDS)), strict=True)]
    same = all(torch.equal(one, other) for one, other in zip(*(work(0) for work in works), strict=True))
    found = {"torch_ms": round(1e3 * times[0], 2), "blocks_ms": round(1e3 * times[1], 2), "ratio": round(times[1] / times[0], 3)}
    print(json.dumps({"layer": [batch, inputs, outputs], **found, "same_bits": same, "machine": facts()}))


if __name__ == "__main__":
    typer.run(main)
