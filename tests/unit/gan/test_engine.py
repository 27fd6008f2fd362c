"""The training step: exact, complete, and without leaks."""

import copy
import io
from dataclasses import replace

import pytest
import torch

from memgan.data.loader import Batch, pyramid
from memgan.encoders.foils import Foils
from memgan.encoders.image import ImageEncoder
from memgan.encoders.text import TextEncoder
from memgan.encoders.vocabulary import Vocabulary
from memgan.errors import InputError
from memgan.gan.engine import Engine, refuse_infinite
from memgan.gan.recipe import Recipe
from memgan.gan.texts import TextReader
from memgan.gan.train import table
from tests.factory import damsm_block, gan_block, images_block, train_block

C, B = 12, 4
COLOURS = ["red", "green", "blue", "black", "white"]


def engine(gan: dict | None = None, train: dict | None = None, seed: int = 3, steps: int = 0) -> Engine:
    torch.manual_seed(0)
    damsm = damsm_block(dimension=16, word_embedding=8, width=4, words=6)
    vocabulary = Vocabulary([*COLOURS, "a", "bird"])
    small = {"ngf": 4, "ndf": 4, "acm_width": 6, "z": 10, "condition": 8} | (gan or {})
    images = images_block(size=32, short_side=32)
    recipe = Recipe(gan_block(**small), train_block(**{"batch": B} | (train or {})), images, damsm, "avg", seed)
    text = TextEncoder(len(vocabulary), damsm).eval().requires_grad_(False)
    picture = ImageEncoder(damsm, 32).eval().requires_grad_(False)
    foils = Foils([[f"a {colour} bird"] * 3 for colour in COLOURS for _ in range(20)])
    return Engine(recipe, TextReader(vocabulary, text, damsm.words), picture, C, steps=steps, foils=foils)


def batch(step: int) -> tuple[Batch, torch.Tensor]:
    rng = torch.Generator().manual_seed(step)
    images = torch.rand(B, 3, 32, 32, generator=rng) * 2 - 1
    captions = [f"a {COLOURS[(step + k) % 5]} {COLOURS[(2 * step + k) % 5]} bird" for k in range(B)]
    made = Batch(pyramid(images, [8, 16, 32]), torch.arange(B), captions, torch.arange(B), torch.zeros(B, dtype=torch.bool))
    return made, torch.randn(B, C, 4, 4, generator=rng)


def run(subject: Engine, first: int, last: int) -> list[dict[str, float]]:
    return [subject.step(*batch(step), step) for step in range(first, last)]


def tensors(subject: Engine) -> dict[str, torch.Tensor]:
    parts = {"g": subject.generator, "a": subject.average, "d": subject.discriminators}
    return {f"{part}.{name}": tensor for part, network in parts.items() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize(
    ("cooldown", "shares"),
    [(0.0, [1, 1, 1, 1, 1, 1, 1, 1]), (0.5, [1, 1, 1, 1, 1, 3 / 4, 2 / 4, 1 / 4]), (1.0, [1 - k / 8 for k in range(8)])],
)
def test_rates_fall_in_a_line_to_nothing(cooldown: float, shares: list[float]) -> None:
    subject = engine(train={"cooldown": cooldown, "lr_g": 8e-4, "lr_d": 4e-4}, steps=8)
    for step, share in enumerate(shares):
        subject.step(*batch(step), step)
        found = [group["lr"] for optimiser in subject.optimisers for group in optimiser.param_groups]
        assert found == pytest.approx([8e-4 * share, *[4e-4 * share] * 3])


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"augment": "diffaugment"},
        {"precision": "float16"},
        {"damsm_jitter": 0.1},
        {"damsm_foils": 2},
        {"diversity_weight": 0.5},
        {"batch": 2, "d_steps": 2},
    ],
)
def test_a_resumed_training_ends_in_the_same_bits(changed: dict) -> None:
    straight = engine(train={"r1_interval": 2} | changed)
    curve = run(straight, 0, 6)
    first = engine(train={"r1_interval": 2} | changed)
    before = run(first, 0, 3)
    disk = io.BytesIO()
    torch.save(first.state(), disk)
    disk.seek(0)
    second = engine(train={"r1_interval": 2} | changed, seed=3)
    second.restore(torch.load(disk, weights_only=True))
    torch.manual_seed(99)  # nothing may depend on the global generator
    assert before + run(second, 3, 6) == curve
    wanted = tensors(straight)
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in tensors(second).items())


@pytest.mark.parametrize(
    ("changed", "near"),
    [({"channels_last": False, "fused": False}, 1e-4), ({"precision": "bfloat16"}, 0.1), ({"precision": "float16"}, 0.02)],
)
def test_other_arithmetic_trains_to_the_same_within_its_precision(changed: dict, near: float) -> None:
    (wanted, _), subject = run(engine(train={"r1_interval": 2}), 0, 2), engine(train={"r1_interval": 2} | changed)
    found, _ = run(subject, 0, 2)  # R1 in the first, none in the second
    assert found == pytest.approx(wanted, rel=near, abs=near)
    assert found != wanted or "precision" not in changed  # a layout may give the same bits, as kernels and threads have it
    assert all(tensor.isfinite().all() and tensor.dtype != torch.float16 for tensor in tensors(subject).values())


def test_another_seed_gives_other_weights() -> None:
    one, two = engine(seed=1), engine(seed=2)
    assert not torch.equal(one.generator.first.linear.weight, two.generator.first.linear.weight)
    two.generator.load_state_dict(one.generator.state_dict())
    assert run(one, 0, 1) != run(two, 0, 1)


def test_every_network_moves_and_the_encoders_do_not() -> None:
    subject = engine(train={"r1_interval": 1})
    before = {name: tensor.clone() for name, tensor in tensors(subject).items()}
    frozen = [p.clone() for part in (subject.reader.encoder, subject.image_encoder) for p in part.state_dict().values()]
    terms = run(subject, 0, 2)[-1]
    assert set(terms) == {"d0", "d1", "d2", "r1_0", "r1_1", "r1_2", "g0", "g1", "g2", "kl", "damsm"}
    parameters = {
        n
        for part, m in (("g", subject.generator), ("a", subject.average), ("d", subject.discriminators))
        for n in (f"{part}.{name}" for name, _ in m.named_parameters())
    }
    still = [name for name in parameters if torch.equal(before[name], tensors(subject)[name])]
    assert still == []
    after = [p for part in (subject.reader.encoder, subject.image_encoder) for p in part.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(frozen, after, strict=True))
    assert all(p.requires_grad for p in subject.discriminators.parameters())


def test_the_average_is_the_recursion_of_its_definition() -> None:
    subject = engine(train={"ema": 0.9})
    names = ["heads.2.rgb.weight", "first.norm.running_mean"]  # a parameter, and the statistics that belong to it
    want = {name: subject.generator.state_dict()[name].double().clone() for name in names}
    for step in range(4):
        run(subject, step, step + 1)
        for name in names:
            want[name] = 0.9 * want[name] + 0.1 * subject.generator.state_dict()[name].double()
            assert (subject.average.state_dict()[name] - want[name]).abs().max() < 1e-6
    assert subject.average.state_dict()["first.norm.num_batches_tracked"] == 4


def test_lazy_r1_runs_only_in_its_steps() -> None:
    curve = run(engine(train={"r1_interval": 3}), 0, 5)
    assert ["r1_0" in terms for terms in curve] == [True, False, False, True, False]
    assert not any("r1_0" in terms for terms in run(engine(train={"r1_gamma": 0.0}), 0, 2))


def test_lazy_r1_counts_the_turns_of_the_discriminators() -> None:
    curve = run(engine(train={"batch": 2, "d_steps": 2, "r1_interval": 3}), 0, 6)  # turns 0 and 1, 2 and 3, 4 and 5, ...
    assert ["r1_0" in terms for terms in curve] == [True, True, False, True, True, False]


@pytest.mark.parametrize(
    "switch",
    [
        {"train": {"damsm_weight": 0.0}},
        {"train": {"damsm_stages": "all"}},
        {"train": {"damsm_jitter": 0.1}},
        {"train": {"damsm_foils": 2}},
        {"train": {"diversity_weight": 0.5}},
        {"train": {"diversity_weight": 0.5, "damsm_weight": 0.0}},
        {"train": {"wrong_caption": False}},
    ],
)
def test_loss_switches_change_the_step(switch: dict) -> None:
    plain, other = run(engine(), 0, 2), run(engine(**switch), 0, 2)
    assert plain != other
    assert ("damsm" in other[0]) == (switch["train"].get("damsm_weight") != 0.0)


@pytest.mark.parametrize(("images", "whole"), [(True, True), (False, True), (True, False), (False, False)])
def test_ablated_networks_train(images: bool, whole: bool) -> None:
    subject = engine(gan={"image_features": images, "global_feature": whole, "content": whole, "stages": 3})
    assert all(torch.isfinite(torch.tensor(list(terms.values()))).all() for terms in run(subject, 0, 2))


def test_a_loss_that_is_no_number_stops_with_step_and_name() -> None:
    with pytest.raises(InputError, match="step 7 the loss `g1` is nan"):
        refuse_infinite("loss", {"g0": 1.0, "g1": float("nan")}, 7)


def test_curves_as_csv_leave_lazy_losses_empty() -> None:
    text = table([{"step": 0, "d0": 1.5, "r1_0": 0.25}, {"step": 2, "d0": 1.25}])
    assert text == "step,d0,r1_0\n0,1.5,0.25\n2,1.25,\n"
    assert table([]) == "step\n"


@pytest.mark.parametrize("turns", [1, 2])
def test_what_v_says_is_asked_once_for_both_drawings(turns: int) -> None:
    """Of the last turn's v, for the images that are trained on and for those that they are compared with."""
    subject = engine(train={"batch": 4 // turns, "d_steps": turns, "diversity_weight": 0.5})
    looked, drawn = [], []
    subject.generator.branch.register_forward_hook(lambda _, given, made: looked.append(given[0]))
    subject.generator.first.register_forward_hook(lambda *_: drawn.append(1))
    given, v = batch(0)
    subject.step(given, v, 0)
    assert len(drawn) == turns + 1
    assert all(torch.equal(found, v[turn::turns]) for turn, found in enumerate(looked)) and len(looked) == turns


def test_a_compiled_step_is_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graphs that torch.compile takes hold the whole step; here they run uncompiled, since a C++ compiler takes minutes."""
    compiled = []

    def traced(function):
        compiled.append(function)
        return whole(function, backend="aot_eager")

    whole = torch.compile
    monkeypatch.setattr(torch, "compile", traced)
    small = {"gan": {"stages": 1}, "train": {"r1_interval": 2, "diversity_weight": 0.5}}
    plain, subject = (engine(gan=small["gan"], train=small["train"] | {"compile": asked}) for asked in (False, True))
    for step in range(3):  # with R1, without, with
        given, v = batch(step)
        given = replace(given, images=given.images[-1:])
        subject.restore(copy.deepcopy(plain.state()))  # Adam's first steps make much of what rounding leaves of a small gradient
        assert subject.step(given, v, step) == pytest.approx(plain.step(given, v, step), rel=1e-4)
        for found, wanted in zip(
            (subject.generator, *subject.discriminators), (plain.generator, *plain.discriminators), strict=True
        ):
            gradients, others = (torch.cat([p.grad.flatten() for p in one.parameters()]) for one in (found, wanted))
            assert (gradients - others).norm() < 1e-3 * others.norm()
    assert len(compiled) == 3


def test_gradient_norms_are_noted_by_network() -> None:
    subject = engine()
    run(subject, 0, 1)
    assert set(subject.norms) == {"g", "d0", "d1", "d2"}
    last = torch.cat([p.grad.flatten() for p in subject.discriminators[2].parameters()])
    assert subject.norms["d2"] == pytest.approx(last.norm().item(), rel=1e-5)


def test_a_gradient_that_is_no_number_stops_before_the_network_moves() -> None:
    subject = engine()
    weights = subject.generator.heads[0].rgb.weight
    weights.register_hook(lambda gradient: gradient * float("inf"))
    before = weights.detach().clone()
    with pytest.raises(InputError, match="step 5 the gradient of `g` is"):
        run(subject, 5, 6)
    assert torch.equal(weights, before)
