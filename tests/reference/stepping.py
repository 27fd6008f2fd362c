"""One step of the engine on a tiny configuration, kept with what it was before and what went in."""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memgan.data.loader import Batch
from memgan.encoders.foils import Foils
from memgan.encoders.image import ImageEncoder
from memgan.encoders.matching import Wrong
from memgan.encoders.text import TextEncoder
from memgan.encoders.vocabulary import Vocabulary
from memgan.gan.engine import Engine
from memgan.gan.generator import Inputs
from memgan.gan.recipe import Recipe
from memgan.gan.texts import TextReader, Texts
from memgan.params.gan import Pooling
from tests.factory import damsm_block, gan_block, images_block, train_block

BATCH, SIZE, C = 4, 16, 5
CAPTIONS = ["a red bird", "a blue bird with a black head and white wings", "bird", "a white bird on blue"]
DAMSM = damsm_block(dimension=8, word_embedding=5, width=2, words=6)
COLOURS = ("red", "blue", "white", "black")
CORPUS = [[f"a {colour} bird"] * 3 for colour in COLOURS for _ in range(20)] + [["a white bird on blue"] * 3] * 5
GAMMA3 = 7.0  # of the generator's training; not the one that DAMSM was trained with
BOUND = 1e-10


class Step(NamedTuple):
    """An engine after one step, what it was before, and what went in: texts and inputs of the last turn, `given` of all."""

    engine: Engine
    generator: torch.nn.Module
    discriminators: torch.nn.ModuleList
    texts: Texts
    inputs: Inputs
    batch: Batch
    terms: dict[str, float]
    wrong: Wrong | None
    given: list[tuple[Texts, Inputs]]


def stepped(step: int = 0, gan: dict[str, Any] | None = None, pooling: Pooling = "avg", **train: Any) -> Step:
    torch.manual_seed(0)
    words = Vocabulary(["a", "red", "blue", "black", "white", "bird", "with", "head", "wings", "and"])
    gan = {"stages": 2, "ngf": 2, "ndf": 2, "acm_width": 3, "z": 4, "condition": 3} | (gan or {})
    recipe = Recipe(
        gan_block(**gan),
        train_block(batch=BATCH, damsm_gamma3=GAMMA3, **train),
        images_block(size=SIZE, short_side=SIZE),
        DAMSM,
        pooling,
        5,
    )
    text = TextEncoder(len(words), DAMSM).eval()  # whoever forgets to freeze it: its reader does not let gradients through
    picture = ImageEncoder(DAMSM, SIZE).eval().requires_grad_(False)
    engine = Engine(recipe, TextReader(words, text, DAMSM.words), picture, C, foils=Foils(CORPUS))
    turns = recipe.train.d_steps
    rows = torch.arange(BATCH * turns)
    images = [torch.rand(len(rows), 3, SIZE >> k, SIZE >> k) * 2 - 1 for k in reversed(range(gan["stages"]))]
    captions = [caption for caption in CAPTIONS for _ in range(turns)]
    labels = torch.tensor([0, 1, 1, 2]).repeat_interleave(turns)
    batch = Batch(images, rows, captions, labels, torch.zeros(len(rows), dtype=torch.bool))
    before, given, draw = copy.deepcopy((engine.generator, engine.discriminators)), [], engine.inputs
    wrong, contradict = [], engine.encoder_losses.wrong
    engine.encoder_losses.wrong = lambda *told: wrong.append(contradict(*told)) or wrong[-1]
    engine.inputs = lambda texts, *others: given.append((texts, draw(texts, *others))) or given[-1][1]
    terms = engine.step(batch, torch.rand(len(rows), C, 4, 4), step)
    assert len(given) == turns
    return Step(engine, *before, *given[-1], batch, terms, wrong[-1] if wrong else None, given)


def probabilities(network: torch.nn.Module, images: Tensor, *sentences: Tensor) -> list[Tensor]:
    """D(x), then D(x, S) for each S."""
    seen = network.see(images)
    return [1 / (1 + torch.exp(-x)) for x in (network.judge(seen), *(network.judge_with(seen, s) for s in sentences))]


def assert_gradients(loss: Tensor, network: torch.nn.Module, moved: torch.nn.Module) -> None:
    """The loss's gradient in `network`, a copy, is what the engine left in `moved`."""
    wanted = torch.autograd.grad(loss, list(network.parameters()))
    for (name, parameter), want in zip(moved.named_parameters(), wanted, strict=True):
        assert (parameter.grad - want).abs().max() < BOUND * max(1.0, float(want.abs().max())), name
