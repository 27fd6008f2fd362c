"""The generator that a training saves is the averaged one, and that one is sampled (SPEC 9)."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from memgan.artifacts import load_tensors
from memgan.data.loader import to_uint8
from memgan.gan import train
from memgan.gan.engine import Engine
from memgan.gan.generator import Generator
from memgan.gan.sample import Painter, draw
from memgan.gan.watch import Showcase
from memgan.params.load import Settings, read_yaml
from tests.trainings import Trainings

DECAY, STEPS = 0.8, 12
RUNS = {"averaged": {"train": {"ema": DECAY, "cooldown": 0.5}}}
CAPTIONS, SEEDS = ["a red bird", "this bird is blue with a long beak", "green"], [5, 6, 7]


class Trained(NamedTuple):
    """A training that is over: the engine as it was left, and the generator's weights before and after each step."""

    engine: Engine
    path: list[dict[str, Tensor]]
    trainings: Trainings

    @property
    def file(self) -> Path:
        return self.trainings.folder("averaged") / "generator.safetensors"


def weights(engine: Engine) -> dict[str, Tensor]:
    return {name: tensor.double().clone() for name, tensor in engine.generator.state_dict().items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    trainings = Trainings(tmp_path_factory.mktemp("saved"), RUNS)
    engines: list[Engine] = []
    path: list[dict[str, Tensor]] = []
    step = Engine.step

    def noted(self: Engine, *given: Any) -> dict[str, float]:
        if not path:
            engines.append(self)
            path.append(weights(self))
        told = step(self, *given)
        path.append(weights(self))
        return told

    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(trainings.root)
        patch.setenv("MEMGAN_LIVE", "off")
        patch.setattr(Engine, "step", noted)
        read_yaml.cache_clear()
        train.main(**trainings.arguments("averaged"))
        yield Trained(engines[0], path, trainings)
    read_yaml.cache_clear()
    torch.set_num_threads(threads)


def test_the_averaged_generator_is_saved(trained: Trained) -> None:
    """m^T g_0 + (1 - m) sum_t m^(T - t) g_t of the weights that the steps left, and not the last of these."""
    saved, path = load_tensors(trained.file)[0], trained.path
    assert len(path) == STEPS + 1
    assert saved.keys() == path[0].keys()
    for name, tensor in saved.items():
        if not tensor.is_floating_point():
            assert tensor == path[-1][name] == STEPS
            continue
        if name.startswith(("sentence.", "words.")):  # the whitening, from before the first step, for good
            assert torch.equal(tensor, path[-1][name])
            continue
        want = DECAY**STEPS * path[0][name]
        want = want + (1 - DECAY) * sum(DECAY ** (STEPS - t) * path[t][name] for t in range(1, STEPS + 1))
        assert (tensor - want).abs().max() < 1e-5, name
        assert (tensor - path[-1][name]).abs().max() > 1e-4, name


def test_rates_have_fallen_when_the_training_ends(trained: Trained) -> None:
    recipe, left = trained.engine.recipe.train, 1 / (0.5 * STEPS)  # of a line that is 0 one step after the last
    rates = [group["lr"] for optimiser in trained.engine.optimisers for group in optimiser.param_groups]
    assert rates == pytest.approx([recipe.lr_g * left] + [recipe.lr_d * left] * len(trained.engine.discriminators))


def test_samples_and_sheets_are_the_averaged_generators(trained: Trained) -> None:
    """What the step `sample` and a training's own sheets draw, to the last level; the weights of the last step draw another."""
    arguments, engine = trained.trainings.arguments("averaged"), trained.engine
    paths = {name: arguments[name] for name in ("vocabulary", "damsm", "vgg", "features", "bank")}
    painter = Painter(Settings("birdworld", "averaged"), paths | {"generator": trained.file}, 0)
    assert not any(module.training for module in painter.generator.modules())
    feature = painter.store.v(np.array([3, 0, 7]))
    made = painter.paint(CAPTIONS, SEEDS, feature)
    by_average, by_last = (drawn(network, engine, feature) for network in (engine.average, engine.generator))
    for found, wanted, other in zip(made, by_average, by_last, strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert np.abs(found.astype(int) - other).max() > 2

    rows = [{"captions": [caption]} for caption in CAPTIONS]
    showcase = Showcase(engine, SimpleNamespace(folder=SimpleNamespace(rows=rows), store=painter.store))  # type: ignore[arg-type]
    sheet, hidden = showcase.sheet(), engine.generator
    engine.generator = None  # type: ignore[assignment]
    np.testing.assert_array_equal(showcase.sheet(), sheet)
    engine.generator = hidden


def drawn(network: Generator, engine: Engine, feature: Tensor) -> list[np.ndarray]:
    """Every stage's images, of a whole batch as the step `sample` draws it."""
    part = [k % len(CAPTIONS) for k in range(Settings("birdworld", "averaged").entry("sampling", "batch"))]
    captions, seeds = [CAPTIONS[k] for k in part], [SEEDS[k] for k in part]
    return [to_uint8(images[: len(CAPTIONS)]) for images in draw(network.eval(), engine.reader, captions, seeds, feature[part])]
