"""One training step of the engine against the objectives of the paper, written in probabilities and differentiated by themselves.

Gradients are compared rather than losses: a term that is detached, weighed otherwise, taken of the wrong images or captions, or
taken before the discriminators moved has another gradient. All in float64.
"""

import copy
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from memgan.artifacts import seed_of
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


@pytest.fixture(autouse=True)
def double():
    """Everything in float64: networks, noise, losses."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


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


def eq_14(regions: Tensor, whole: Tensor, texts: Texts, labels: Tensor, wrong: Wrong | None = None) -> Tensor:
    """L_DAMSM of AttnGAN's eqs. (7)-(14), a pair of image and caption at a time; rivals of the same class are left out.

    Foils are more wrong answers to the question which caption is the image's.
    """

    def cosine(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(-1) / (a.square().sum(-1).sqrt() * b.square().sum(-1).sqrt())

    def pair(image: int, words: Tensor, mask: Tensor) -> Tensor:
        e, v = words.T[mask], regions[image].flatten(1).T  # T x D, R x D
        share = (e @ v.T).exp() / (e @ v.T).exp().sum(dim=0)  # eqs. (7), (8)
        alpha = (DAMSM.gamma1 * share).exp()
        c = alpha / alpha.sum(dim=1, keepdim=True) @ v  # eq. (9)
        return (DAMSM.gamma2 * cosine(c, e)).exp().sum().log() / DAMSM.gamma2  # eq. (10)

    everyone, total = range(len(labels)), torch.zeros(())
    told = [range(wrong.words.shape[1]) if wrong and wrong.there[i] else () for i in everyone]
    for scores, foils in (
        (
            [[pair(i, texts.words[j], texts.mask[j]) for j in everyone] for i in everyone],
            [[pair(i, wrong.words[i, k], wrong.mask[i, k]) for k in told[i]] for i in everyone],
        ),
        (
            [[cosine(whole[i], texts.sentence[j]) for j in everyone] for i in everyone],
            [[cosine(whole[i], wrong.sentences[i, k]) for k in told[i]] for i in everyone],
        ),
    ):
        for right in everyone:
            rivals = [k for k in everyone if k == right or labels[k] != labels[right]]
            to_text, to_image = [scores[right][k] for k in rivals] + foils[right], [scores[k][right] for k in rivals]
            for answers in (to_text, to_image):  # eqs. (11)-(13)
                chances = (GAMMA3 * torch.stack(answers)).exp()
                total = total - ((GAMMA3 * scores[right][right]).exp() / chances.sum()).log() / len(labels)
    return total


def assert_gradients(loss: Tensor, network: torch.nn.Module, moved: torch.nn.Module) -> None:
    """The loss's gradient in `network`, a copy, is what the engine left in `moved`."""
    wanted = torch.autograd.grad(loss, list(network.parameters()))
    for (name, parameter), want in zip(moved.named_parameters(), wanted, strict=True):
        assert (parameter.grad - want).abs().max() < BOUND * max(1.0, float(want.abs().max())), name


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize("wrong", [True, False])
def test_each_discriminator_descends_eq_3_and_r1(step: int, wrong: bool) -> None:
    """Eq. (3) or the lineage's matching-aware weights; (gamma / 2) E||grad D||^2 of both heads each second step, twice as heavy."""
    done = stepped(step, wrong_caption=wrong, r1_gamma=3.0, r1_interval=2)
    sentence = done.inputs.sentence
    other = torch.stack([sentence[k - 1] for k in range(BATCH)])  # the caption of another image
    made = done.generator(done.inputs).images
    for stage, network in enumerate(done.discriminators):
        image = done.batch.images[stage].detach().clone().requires_grad_()
        real, real_text, wrong_text = probabilities(network, image, sentence, other)
        fake, fake_text = probabilities(network, made[stage].detach(), sentence)
        loss = -0.5 * real.log().mean() - 0.5 * real_text.log().mean()
        if wrong:
            loss = loss - ((1 - fake).log().mean() + (1 - fake_text).log().mean() + (1 - wrong_text).log().mean()) / 3
        else:
            loss = loss - 0.5 * (1 - fake).log().mean() - 0.5 * (1 - fake_text).log().mean()
        assert done.terms[f"d{stage}"] == pytest.approx(loss.item(), abs=BOUND)
        assert (f"r1_{stage}" in done.terms) == (step % 2 == 0)
        if step % 2 == 0:
            logits = (real / (1 - real)).log() + (real_text / (1 - real_text)).log()
            (slope,) = torch.autograd.grad(logits.sum(), image, create_graph=True)
            penalty = (slope**2).sum() / BATCH
            assert done.terms[f"r1_{stage}"] == pytest.approx(penalty.item(), abs=BOUND)
            loss = loss + 3.0 / 2 * penalty * 2
        assert_gradients(loss, network, done.engine.discriminators[stage])


def test_discriminators_have_their_turns_before_the_generator() -> None:
    """Each on images, captions and v of its own, against a generator that stands still; it then descends by the last turn's."""
    done = stepped(d_steps=3, r1_gamma=0.0, damsm_weight=0.0, kl_weight=0.0, lr_d=1e-3, beta1=0.5, beta2=0.9)
    made = [done.generator(inputs).images for _, inputs in done.given]
    for stage, network in enumerate(done.discriminators):
        rule = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.9))
        for turn, (_, inputs) in enumerate(done.given):
            sentence = inputs.sentence
            real, real_text, wrong_text = probabilities(network, done.batch.images[stage][turn::3], sentence, sentence.roll(1, 0))
            fake, fake_text = probabilities(network, made[turn][stage].detach(), sentence)
            loss = -0.5 * real.log().mean() - 0.5 * real_text.log().mean()
            loss = loss - ((1 - fake).log().mean() + (1 - fake_text).log().mean() + (1 - wrong_text).log().mean()) / 3
            if turn == 2:
                assert done.terms[f"d{stage}"] == pytest.approx(loss.item(), abs=1e-7)
            rule.zero_grad()
            loss.backward()
            rule.step()
        for moved, wanted in zip(done.engine.discriminators[stage].parameters(), network.parameters(), strict=True):
            assert (moved - wanted).abs().max() < 1e-6
    loss = torch.zeros(())
    for network, images in zip(copy.deepcopy(done.engine.discriminators), made[2], strict=True):
        fake, fake_text = probabilities(network, images, done.inputs.sentence)
        loss = loss - 0.5 * fake.log().mean() - 0.5 * fake_text.log().mean()
    assert_gradients(loss, done.generator, done.engine.generator)
    first, second = (inputs for _, inputs in done.given[:2])
    assert not torch.equal(first.noise, second.noise)
    assert not torch.equal(first.feature, second.feature)


@pytest.mark.parametrize("stages", ["last", "all"])
def test_the_generator_descends_eqs_1_and_2(stages: str) -> None:
    """Against the discriminators as they are after their own step; with lambda1 L_DAMSM and the weighed KL term."""
    done = stepped(damsm_stages=stages, damsm_weight=0.7, kl_weight=1.3)
    inputs, made = done.inputs, done.generator(done.inputs)
    loss = torch.zeros(())
    for stage, network in enumerate(copy.deepcopy(done.engine.discriminators)):
        fake, fake_text = probabilities(network, made.images[stage], inputs.sentence)
        adversarial = -0.5 * fake.log().mean() - 0.5 * fake_text.log().mean()
        assert done.terms[f"g{stage}"] == pytest.approx(adversarial.item(), abs=BOUND)
        loss = loss + adversarial
    sigma = torch.exp(made.log_variance).sqrt()
    kl = ((sigma**2 + made.mean**2 - 1) / 2 - sigma.log()).mean()
    shown = (
        made.images[-1:] if stages == "last" else [made.images[0].repeat_interleave(2, 2).repeat_interleave(2, 3), made.images[1]]
    )
    matching = sum(eq_14(*done.engine.image_encoder(images), done.texts, done.batch.labels) for images in shown)
    assert done.terms["damsm"] == pytest.approx(matching.item(), abs=BOUND)
    assert done.terms["kl"] == pytest.approx(1.3 * kl.item(), abs=BOUND)
    assert_gradients(loss + 0.7 * matching + 1.3 * kl, done.generator, done.engine.generator)


def test_with_foils_it_descends_them_too() -> None:
    """What they are is the reader's encoding of captions with one other word, drawn anew in each step; "bird" has none."""
    done = stepped(damsm_foils=3)
    wrong, first = done.wrong, done.texts.words
    assert wrong.there.tolist() == [True, True, False, True]
    changed = (wrong.words - first[:, None]).abs().sum(dim=(2, 3)) > 0  # a changed word changes all that the LSTM says
    assert torch.equal(changed, wrong.there[:, None].expand(-1, 3))
    matching = eq_14(*done.engine.image_encoder(done.generator(done.inputs).images[-1]), done.texts, done.batch.labels, wrong)
    assert done.terms["damsm"] == pytest.approx(matching.item(), abs=BOUND)
    without = eq_14(*done.engine.image_encoder(done.generator(done.inputs).images[-1]), done.texts, done.batch.labels)
    assert matching.item() > without.item() + 0.5
    others = done.engine.encoder_losses.wrong(CAPTIONS, 1)
    assert not torch.equal(others.sentences, wrong.sentences)


def test_with_a_weight_it_descends_what_keeps_two_noises_apart() -> None:
    """-log of the cosine distance of what the encoder sees in an image and in another of the same caption and v, plus 0.02; the
    other image, of noise that is drawn anew in each step, stands still."""
    done = stepped(diversity_weight=0.6, damsm_weight=0.0, kl_weight=0.0, d_steps=2)
    noise, jitter = done.engine._noise(BATCH, torch.Generator().manual_seed(seed_of(5, "other", 0)))
    assert not torch.equal(noise, done.inputs.noise)
    assert not torch.equal(jitter, done.inputs.jitter)
    made = done.generator(done.inputs).images
    other = done.generator(done.inputs._replace(noise=noise, jitter=jitter)).images[-1].detach()
    one, two = (done.engine.image_encoder(images)[1] for images in (made[-1], other))
    cosine = (one * two).sum(1) / (one.square().sum(1) * two.square().sum(1)).sqrt()
    alike = -(1.02 - cosine).log().sum() / BATCH
    assert done.terms["diversity"] == pytest.approx(alike.item(), abs=BOUND)
    loss = 0.6 * alike
    for network, images in zip(copy.deepcopy(done.engine.discriminators), made, strict=True):
        fake, fake_text = probabilities(network, images, done.inputs.sentence)
        loss = loss - 0.5 * fake.log().mean() - 0.5 * fake_text.log().mean()
    assert_gradients(loss, done.generator, done.engine.generator)
    again = done.engine.step(done.batch, torch.rand(2 * BATCH, C, 4, 4), 1)
    assert "diversity" in again
    assert "damsm" not in again


SWITCHES = [
    {"image_features": False}, {"global_feature": False}, {"image_features": False, "global_feature": False}, {"content": False},
    {"norm": "instance"}, {"d_norm": "instance"}, {"d_norm": "none"}, {"spectral_norm": True}, {"text": "sentence"}, {"stages": 1},
    {"residual_blocks": 2},
]  # fmt: skip


@pytest.mark.parametrize("switch", [{}, *SWITCHES], ids=str)
def test_every_tensor_gets_a_gradient_from_its_own_loss(switch: dict[str, Any]) -> None:
    """In the engine's own step, whatever is switched off."""
    engine = stepped(gan=switch, r1_interval=1).engine
    for network in (engine.generator, *engine.discriminators):
        for name, parameter in network.named_parameters():
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().max() > 0, name


def test_what_is_frozen_gets_no_gradient_and_does_not_move() -> None:
    done = stepped()
    for network in (done.engine.reader.encoder, done.engine.image_encoder, done.engine.average):
        assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(parameter.requires_grad for parameter in done.engine.average.parameters())
    assert not any(tensor.requires_grad for tensor in done.engine.reader(CAPTIONS))


@pytest.mark.parametrize("ema", [0.0, 0.9, 0.999])
def test_the_average_is_the_sum_of_its_definition(ema: float) -> None:
    """a_T = m^T a_0 + (1 - m) sum_t m^(T - t) g_t, statistics of BatchNorm included; t counts from the first step."""
    done = stepped(ema=ema)
    path = [done.generator.state_dict(), copy.deepcopy(done.engine.generator.state_dict())]
    for step in range(1, 4):
        done.engine.step(done.batch, done.inputs.feature, step)
        path.append(copy.deepcopy(done.engine.generator.state_dict()))
    for name, tensor in done.engine.average.state_dict().items():
        if tensor.is_floating_point():
            want = ema**4 * path[0][name] + (1 - ema) * sum(ema ** (4 - t) * path[t][name] for t in range(1, 5))
            assert (tensor - want).abs().max() < BOUND, name
        else:
            assert torch.equal(tensor, path[-1][name])


def test_each_network_has_its_own_rate() -> None:
    """Adam's first step is the rate itself wherever the gradient is far above its epsilon."""
    done = stepped(lr_g=1e-3, lr_d=4e-4)
    pairs = [(done.generator, done.engine.generator, 1e-3)]
    pairs += [(a, b, 4e-4) for a, b in zip(done.discriminators, done.engine.discriminators, strict=True)]
    for before, after, rate in pairs:
        moves = torch.cat([(a - b).detach().flatten().abs() for a, b in zip(before.parameters(), after.parameters(), strict=True)])
        assert float(moves.median()) == pytest.approx(rate, rel=1e-2)
        assert float(moves.max()) < 1.001 * rate


def test_all_discriminators_pool_as_the_recipe_says() -> None:
    for pooling, layer in (("avg", torch.nn.AvgPool2d), ("max", torch.nn.MaxPool2d)):
        assert all(isinstance(d.encoder.content.pool, layer) for d in stepped(pooling=pooling).engine.discriminators)


def test_fresh_noise_each_step_is_standard_normal() -> None:
    done = stepped(gan={"z": 400, "condition": 300})
    again = done.engine.inputs(done.engine.reader(CAPTIONS), done.inputs.feature, torch.Generator().manual_seed(1))
    for draws in (done.inputs.noise, done.inputs.jitter, again.noise):
        assert abs(float(draws.mean())) < 0.1
        assert abs(float(draws.std()) - 1) < 0.1
    assert done.inputs.noise.shape == (BATCH, 400)
    assert done.inputs.jitter.shape == (BATCH, 300)
    assert not torch.equal(done.inputs.noise, again.noise)
