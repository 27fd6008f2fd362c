"""What does a discriminator's norm let it see of one bird? Prints a JSON object last.

python -m benchmarks.blends [--steps 1000] [--birds 3000]     (in the repository's root, PYTHONPATH=src)

A generator in doubt about a colour paints a blend. So the world draws birds, and as many whose crown has the mean of two colours,
which no bird has. A discriminator of birdworld's last stage, begun anew with each of the norms, learns to tell them apart as in
training, a batch of each; then it judges birds that it has not seen. `together`: the chance that a right crown gets the larger
logit, each judged in a batch of its own kind, as in training; `alone`: the same with the running statistics, each for itself. What
the first has beyond the second, the norm gives away: all of a batch are of one kind, which the batch's statistics show.
"""

import json
from typing import Annotated, Literal, get_args

import torch
import typer
from torch import Tensor
from typer import Option

from benchmarks.drawn import drawn
from memgan.data.loader import to_tensor
from memgan.data.worlds import birdworld
from memgan.data.worlds.drawing import COLOURS, mixed
from memgan.data.worlds.packing import rng_for
from memgan.data.worlds.species import TRAIN
from memgan.gan.blocks import Norm, initialise
from memgan.gan.discriminator import Discriminator
from memgan.gan.engine import adam
from memgan.gan.losses import as_fake, as_real
from memgan.params.data import Images
from memgan.params.gan import Gan, Train
from memgan.params.load import Settings
from memgan.weight_gradients import use_products

DATASET, HELD, SEED = "birdworld", 480, 0
Kind = Literal["right", "blended"]


def main(
    steps: Annotated[int, Option(help="of each discriminator")] = 1000,
    birds: Annotated[int, Option(help="drawn of each kind; the last 480 are not learnt from")] = 3000,
) -> None:
    """Measures, and prints the figures."""
    torch.set_num_threads(1)
    use_products()
    settings = Settings(DATASET)
    between = blends()
    pictures = {kind: pictures_of(settings, kind, between, birds) for kind in get_args(Kind)}
    figures = {norm: told_apart(settings, norm, pictures, steps) for norm in get_args(Norm)}
    print(json.dumps(figures | {"steps": steps, "birds": birds}))


def blends() -> list[str]:
    """Adds the mean of any two colours to the world's palette; their names."""
    pairs = {f"{one} and {other}": mixed(COLOURS[one], COLOURS[other], 0.5) for one in COLOURS for other in COLOURS if one < other}
    COLOURS.update(pairs)
    return list(pairs)


def pictures_of(settings: Settings, kind: Kind, between: list[str], count: int) -> Tensor:
    """Individuals of the training species, with a right crown or one of a colour `between`: [count, 3, size, size]."""
    images, world = settings.block("images", Images), settings.source().world
    assert world is not None  # birdworld is drawn
    made = []
    for number in range(count):
        rng = rng_for(SEED, "benchmarks", "blends", kind, number)
        bird = birdworld.individual(TRAIN[int(rng.integers(len(TRAIN)))], world.variation, rng)
        if kind == "blended":
            bird["crown_color"] = between[int(rng.integers(len(between)))]
        made.append(drawn(bird, rng, world, images))
    return to_tensor(made)


def told_apart(settings: Settings, norm: Norm, pictures: dict[str, Tensor], steps: int) -> dict[str, float]:
    """Trains a discriminator with this norm; its areas under the ROC curve by how it judges what it has not seen."""
    gan, train = settings.block("gan", Gan).model_copy(update={"d_norm": norm}), settings.block("train", Train)
    side, dimension = pictures["right"].shape[-1], 1  # of a sentence that it is not shown
    judge = Discriminator(side, gan, settings.value("pooling"), dimension)
    initialise(judge, torch.Generator().manual_seed(SEED))
    judge.to(memory_format=torch.channels_last)
    optimiser, rng = adam(judge, train.lr_d, train), torch.Generator().manual_seed(SEED)
    for _ in range(steps):
        loss = torch.zeros(())
        for kind, calling in (("right", as_real), ("blended", as_fake)):
            chosen = torch.randint(len(pictures[kind]) - HELD, (train.batch,), generator=rng)
            loss = loss + calling(judge.judge(judge.see(pictures[kind][chosen])))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = {"together": area(judge, pictures, train.batch)}
    judge.eval()
    return found | {"alone": area(judge, pictures, train.batch)}


@torch.no_grad()
def area(judge: Discriminator, pictures: dict[str, Tensor], batch: int) -> float:
    """Chance that an unseen bird with a right crown has a larger logit than one with a blended crown."""
    right, blended = (
        torch.cat([judge.judge(judge.see(part)) for part in pictures[kind][-HELD:].split(batch)]) for kind in get_args(Kind)
    )
    return round(float((right[:, None] > blended[None]).float().mean()), 3)


if __name__ == "__main__":
    typer.run(main)
