"""The ablations of SPEC 13: exactly the named part is gone, and the rest is what it was.

Each switched-off network gets the weights of the whole one. It must then do what the whole one does once the named part is
silenced there by hand: an affine combination that hands its input on, columns of zeros, content of zeros.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memgan.gan.blocks import Affine
from memgan.gan.discriminator import Discriminator
from memgan.gan.generator import Generator, Inputs
from memgan.params.load import Settings
from memgan.params.schema import BLOCKS
from tests.factory import ROOT, gan_block, images_block

D, C, B = 16, 12, 4
SMALL = {"ngf": 4, "ndf": 2, "acm_width": 6, "z": 10, "condition": 8}
CONTENT = 3  # channels of the image


pytestmark = pytest.mark.usefixtures("double")


def generator(size: int = 32, **changes: Any) -> Generator:
    torch.manual_seed(0)
    return Generator(gan_block(**SMALL | changes), images_block(size=size, short_side=size), D, C)


def discriminator(side: int, pooling: str = "avg", **changes: Any) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(side, gan_block(**SMALL | changes), pooling, D)


def inputs(seed: int = 1) -> Inputs:
    rng = torch.Generator().manual_seed(seed)
    shapes = ((B, D), (B, D), (B, SMALL["z"]), (B, SMALL["condition"]), (B, C, 4, 4))
    return Inputs(*(torch.randn(shape, generator=rng) for shape in shapes))


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def settled(network: Generator) -> Generator:
    """In eval mode with running statistics of its own, so that images are independent of each other."""
    with torch.no_grad():
        for seed in range(30):
            network(inputs(seed))
    return network.eval()


def moved(network: Generator, field: str, change: Tensor | None = None) -> list[float]:
    """How far each stage's image moves when one of the inputs does."""
    given, network = inputs(), settled(network)
    other = given._replace(**{field: getattr(given, field) + 1 if change is None else change})
    with torch.no_grad():
        pairs = zip(network(given).images, network(other).images, strict=True)
        return [float((a - b).abs().max()) for a, b in pairs]


def assert_same_images(one: Generator, two: Generator) -> None:
    for a, b in zip(one(inputs()).images, two(inputs()).images, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


# SPEC 13's ablations by their names under `runs`: all that each of them changes
STRATEGIES = ("sentence_sentence", "words_words", "sentence_image", "words_image", "random", "oracle")
ABLATIONS: dict[str, dict[str, Any]] = {
    "parametric": {"gan.image_features": False, "gan.global_feature": False},
    "no_v_g": {"gan.global_feature": False},
    "no_regional_v": {"gan.image_features": False},
    "no_content": {"gan.content": False},
    "max": {"pooling": "max"},
    "one_stage": {"gan.stages": 1},
    "two_stages": {"gan.stages": 2},
    **{strategy: {"memory.strategy": strategy} for strategy in STRATEGIES},
    **{whose: {"train.neighbours": whose} for whose in ("retrieved", "retrieved_excluding_self")},
}


@pytest.mark.parametrize("dataset", ["birdworld_short", "cub", "coco"])
@pytest.mark.parametrize("run", ABLATIONS)
def test_an_ablation_switches_what_its_name_says_and_nothing_else(run: str, dataset: str) -> None:
    """Of all entries, as the data set sees them; so that no part is switched off in `ours` (only a choice may be its own)."""

    def resolved(run: str) -> dict[str, Any]:
        settings = Settings(dataset, run, ROOT / "params.yaml")
        blocks = {name: settings.block(name, block).model_dump() for name, block in BLOCKS.items()}
        entries = {f"{name}.{field}": value for name, block in blocks.items() for field, value in block.items()}
        return entries | {"pooling": settings.value("pooling")}

    ours = resolved("ours")
    wanted = {} if run in (ours["memory.strategy"], ours["train.neighbours"]) else ABLATIONS[run]
    assert {key: value for key, value in resolved(run).items() if value != ours[key]} == wanted


# ---------------------------------------------------------------- generator


def test_without_regional_v_exactly_the_acms_and_the_branch_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, without = generator(), generator(image_features=False)
    gone = shapes(whole).keys() - shapes(without).keys()
    assert {name.split(".")[0] for name in gone} == {"branch", "nexts", "heads"}
    assert all(".acm." in name or name.startswith("branch.") for name in gone)
    assert not any(".acm." in name or name.startswith("branch.") for name in shapes(without))
    assert shapes(without).items() <= shapes(whole).items()
    without.load_state_dict({name: whole.state_dict()[name] for name in shapes(without)})
    assert (whole(inputs()).images[0] - without(inputs()).images[0]).abs().max() > 1e-3
    monkeypatch.setattr(Affine, "of", lambda self, hidden: hidden)
    assert_same_images(whole, without)


def test_without_regional_v_only_its_mean_matters() -> None:
    turned = inputs().feature.flip(3)
    assert max(moved(generator(image_features=False), "feature", turned)) < 1e-12
    assert min(moved(generator(image_features=False), "feature")) > 1e-4
    assert min(moved(generator(), "feature", turned)) > 1e-4  # in every stage


def test_without_v_g_only_the_first_layer_is_narrower() -> None:
    whole, without = generator(), generator(global_feature=False)
    differ = {name for name, shape in shapes(without).items() if shape != shapes(whole)[name]}
    assert shapes(whole).keys() == shapes(without).keys()
    assert differ == {"first.linear.weight"}
    assert whole.first.linear.in_features - without.first.linear.in_features == C
    with torch.no_grad():
        whole.first.linear.weight[:, -C:] = 0
    state = whole.state_dict() | {"first.linear.weight": whole.first.linear.weight[:, :-C]}
    without.load_state_dict(state)
    assert_same_images(whole, without)


@pytest.mark.parametrize("used", [True, False])
def test_v_g_reaches_the_first_stage_and_nothing_else_of_v_does(used: bool) -> None:
    network, seen = settled(generator(global_feature=used)), []
    network.first.register_forward_hook(lambda module, given, made: seen.append(made))
    feature = inputs().feature
    for v in (feature, feature.flip(2), feature + 1):
        network(inputs()._replace(feature=v))
    torch.testing.assert_close(seen[0], seen[1], atol=1e-12, rtol=0)
    assert bool((seen[0] - seen[2]).abs().max() > 1e-4) == used


def test_purely_parametric_knows_no_v() -> None:
    network = generator(image_features=False, global_feature=False)
    assert moved(network, "feature") == [0, 0, 0]
    given = inputs()._replace(feature=inputs().feature.requires_grad_())
    total = sum(image.sum() for image in network(given).images)
    assert torch.autograd.grad(total, given.feature, allow_unused=True) == (None,)
    given = inputs()._replace(feature=inputs().feature.requires_grad_())
    total = sum(image.square().sum() for image in generator()(given).images)
    assert torch.autograd.grad(total, given.feature)[0].abs().min() > 0


def test_text_of_sentences_ignores_the_words() -> None:
    whole, without = generator(), generator(text="sentence")
    assert {name for name, shape in shapes(without).items() if shape != shapes(whole)[name]} == {"first.linear.weight"}
    assert min(moved(generator(), "words")) > 1e-4
    assert moved(without, "words") == [0, 0, 0]


@pytest.mark.parametrize("field", ["sentence", "noise", "jitter"])
def test_every_input_matters_in_every_stage(field: str) -> None:
    assert min(moved(generator(), field)) > 1e-5


def test_fewer_stages_are_the_first_of_more() -> None:
    """Three stages up to 32 px and two up to 16 px, with the same weights: the same first two images."""
    three, two = generator(32, stages=3), generator(16, stages=2)
    gone = shapes(three).keys() - shapes(two).keys()
    assert {".".join(name.split(".")[: 2 if name[0] != "b" else 3]) for name in gone} == {"nexts.1", "heads.2", "branch.ups.2"}
    assert shapes(two).items() <= shapes(three).items()
    two.load_state_dict({name: three.state_dict()[name] for name in shapes(two)})
    for few, many in zip(two(inputs()).images, three(inputs()).images[:2], strict=True):
        assert torch.equal(few, many)


# ------------------------------------------------------------ discriminators


@pytest.mark.parametrize("side", [16, 128])
def test_without_content_the_layers_are_as_much_narrower(side: int) -> None:
    """By three channels where content is joined. Small discriminators carry the last ones into their heads; large ones have 3x3
    blocks there, which end at 8 ndf either way."""
    whole, without = shapes(discriminator(side)), shapes(discriminator(side, content=False))
    assert whole.keys() == without.keys()
    differ = {name: tuple(a - b for a, b in zip(whole[name], without[name], strict=True)) for name in whole}
    differ = {name: change for name, change in differ.items() if any(change)}
    downs = {f"encoder.downs.{k}.0.weight": (0, CONTENT, 0, 0) for k in range(1, side.bit_length() - 3)}
    ends = {"encoder.tail.0.0.weight": (0, CONTENT, 0, 0)}
    if side == 16:
        norms = {f"joint.norm.{name}": (CONTENT,) for name in ("weight", "bias", "running_mean", "running_var")}
        heads = {f"{head}.weight": (0, CONTENT, 0, 0) for head in ("unconditional", "conditional")}
        ends = norms | heads | {"joint.conv.weight": (CONTENT, CONTENT, 0, 0)}
    assert differ == downs | ends


def test_content_is_all_that_is_gone_without_it() -> None:
    """With zeros where content is read, the whole discriminator is the one without it."""
    whole, without = discriminator(128), discriminator(128, content=False)
    images, sentence = torch.randn(2, 3, 128, 128), torch.randn(2, D)
    state = whole.state_dict()
    for k, block in enumerate([*whole.encoder.downs[1:], whole.encoder.tail[0]], start=1):
        width = block[0].in_channels - CONTENT
        name = f"encoder.downs.{k}.0.weight" if k < 5 else "encoder.tail.0.0.weight"
        state[name] = state[name][:, :width]
    without.load_state_dict(state)
    assert (heard(whole, images, sentence) - heard(without, images, sentence)).abs().max() > 1e-3
    whole.encoder.content.register_forward_hook(lambda module, given, made: [torch.zeros_like(c) for c in made])
    torch.testing.assert_close(heard(whole, images, sentence), heard(without, images, sentence), atol=1e-12, rtol=0)


def heard(network: Discriminator, images: Tensor, sentence: Tensor) -> Tensor:
    """Both heads' logits, 2 x B."""
    with torch.no_grad():
        seen = network.see(images)
        return torch.stack([network.judge(seen), network.judge_with(seen, sentence)])


@pytest.mark.parametrize("scale", range(5))
def test_every_scale_of_content_is_seen(scale: int) -> None:
    network, images, sentence = discriminator(128), torch.randn(2, 3, 128, 128), torch.randn(2, D)
    before = heard(network, images, sentence)
    network.encoder.content.register_forward_hook(
        lambda module, given, made: [c if k != scale else torch.zeros_like(c) for k, c in enumerate(made)]
    )
    assert (heard(network, images, sentence) - before).abs().amax(dim=1).min() > 1e-5  # both heads


def test_pooling_is_all_that_max_changes() -> None:
    average, largest = discriminator(32), discriminator(32, "max")
    largest.load_state_dict(average.state_dict())
    images, sentence = torch.randn(2, 3, 32, 32), torch.randn(2, D)
    assert (heard(average, images, sentence) - heard(largest, images, sentence)).abs().min() > 1e-5
    largest.encoder.content.pool = average.encoder.content.pool
    assert torch.equal(heard(average, images, sentence), heard(largest, images, sentence))
