"""One training step of the engine against the objectives of the paper, written in probabilities and differentiated by themselves.

Gradients are compared rather than losses: a term that is detached, weighed otherwise, taken of the wrong images or captions, or
taken before the discriminators moved has another gradient. All in float64.
"""

import copy
from typing import Any

import pytest
import torch

from tests.reference.stepping import BATCH, BOUND, CAPTIONS, assert_gradients, probabilities, stepped

pytestmark = pytest.mark.usefixtures("double")


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
