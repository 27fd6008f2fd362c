"""Shapes and gradients of the generator and the discriminators."""

from typing import Any

import pytest
import torch

from memgan.errors import InputError
from memgan.gan.blocks import ACM, initialise
from memgan.gan.discriminator import Discriminator
from memgan.gan.generator import FirstStage, Generator, Inputs, stage_sides
from memgan.gan.losses import discriminator_loss, generator_loss, r1_penalty
from tests.factory import gan_block, images_block

D, C, B = 16, 12, 4
SMALL = {"ngf": 4, "ndf": 4, "acm_width": 6, "z": 10, "condition": 8}


def generator(size: int = 32, **changes: Any) -> Generator:
    torch.manual_seed(0)
    return Generator(gan_block(**SMALL | changes), images_block(size=size, short_side=size), D, C)


def inputs(seed: int = 1, side: int = 4) -> Inputs:
    rng = torch.Generator().manual_seed(seed)
    shapes = ((B, D), (B, D), (B, SMALL["z"]), (B, SMALL["condition"]), (B, C, side, side))
    return Inputs(*(torch.randn(shape, generator=rng) for shape in shapes))


@pytest.mark.parametrize(("size", "stages", "side"), [(32, 3, 4), (32, 1, 4), (64, 3, 4), (64, 2, 4), (256, 3, 16)])
def test_stages_double_up_to_the_final_size(size: int, stages: int, side: int) -> None:
    network = generator(size, stages=stages)
    out = network(inputs(side=side))
    assert [tuple(image.shape) for image in out.images] == [(B, 3, s, s) for s in stage_sides(size, stages)]
    assert all(image.abs().max() <= 1 for image in out.images)
    assert out.mean.shape == out.log_variance.shape == (B, SMALL["condition"])


@torch.no_grad()
def test_an_acm_may_start_around_one() -> None:
    torch.manual_seed(0)
    hidden, feature = torch.randn(8, 5, 8, 8), torch.randn(8, 3, 8, 8)
    alike = {}
    for one in (True, False):
        acm = ACM(5, 3, 6, one)
        initialise(acm, torch.Generator().manual_seed(0))
        acm.shift.weight.zero_()
        alike[one] = torch.corrcoef(torch.stack([hidden.flatten(), acm(feature).of(hidden).flatten()]))[0, 1].item()
    assert alike[True] > 0.9 and abs(alike[False]) < 0.3


@pytest.mark.parametrize("used", [True, False])
@torch.no_grad()
def test_what_v_says_can_be_asked_before(used: bool) -> None:
    """And serves other captions and noise as well."""
    network = generator(image_features=used).eval()
    for given in (inputs(), inputs()._replace(noise=torch.ones(B, SMALL["z"]), sentence=torch.ones(B, D))):
        told = network.look(given.feature)
        assert len(told) == 5  # ACMs: a head's for each of three stages, a next stage's for two
        for found, wanted in zip(network(given, told).images, network(given).images, strict=True):
            assert torch.equal(found, wanted)
        other = network(given, network.look(given.feature + 1))
        assert torch.equal(other.images[-1], network(given).images[-1]) != used


def test_too_many_stages_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"gan\.stages"):
        generator(32, stages=4)
    with pytest.raises(InputError, match=r"gan\.stages"):
        generator(256, stages=5)


@pytest.mark.parametrize(("side", "widths"), [(8, [96, 6]), (16, [96, 24, 6]), (32, [96, 38, 15, 6]), (64, [96, 48, 24, 12, 6])])
def test_the_first_stage_starts_as_wide_whatever_its_size(side: int, widths: list[int]) -> None:
    """16 ngf at 4 x 4; ngf 6. The paper's 64 px: each up-block halves the width."""
    stage = FirstStage(9, side, gan_block(ngf=6))
    assert stage.linear.out_features == 2 * 96 * 4 * 4
    assert [block[0].in_channels for block in stage.ups] == widths[:-1]
    assert stage(torch.randn(2, 9)).shape == (2, 6, side, side)


@pytest.mark.parametrize(("side", "scales"), [(64, 4), (128, 5), (256, 6)])
def test_content_scales_of_the_paper(side: int, scales: int) -> None:
    network = Discriminator(side, gan_block(**SMALL), "avg", D)
    contents = network.encoder.content(torch.zeros(1, 3, side, side))
    assert [tuple(c.shape[1:]) for c in contents] == [(3, side >> k, side >> k) for k in range(1, scales + 1)]
    assert contents[-1].shape[-1] == 4
    seen = network.see(torch.randn(2, 3, side, side))
    assert seen.hidden.shape[2:] == (4, 4)
    assert network.judge(seen).shape == network.judge_with(seen, torch.randn(2, D)).shape == (2,)


def test_widths_of_the_paper_scale() -> None:
    """AttnGAN's D_NET64, 128, 256 with ndf 64: 512, 1024, 2048 channels at 4 x 4, then back to 512."""
    for side, widths, tail in ((64, [64, 128, 256, 512], []), (256, [64, 128, 256, 512, 1024, 2048], [1024, 512])):
        with torch.device("meta"):
            encoder = Discriminator(side, gan_block(ndf=64), "avg", 256).encoder
        assert [block[0].out_channels for block in encoder.downs] == widths
        assert [block[0].out_channels for block in encoder.tail] == tail


@pytest.mark.parametrize("spectral", [False, True])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_every_tensor_gets_a_gradient_from_its_own_loss(norm: str, spectral: bool) -> None:
    network = generator(norm=norm)
    judges = [Discriminator(s, gan_block(**SMALL, d_norm=norm, spectral_norm=spectral), "avg", D) for s in network.sides]
    made, sentence = network(inputs()), torch.randn(B, D)
    for judge, image in zip(judges, made.images, strict=True):
        real = torch.randn_like(image).requires_grad_(True)
        hidden, fake = judge.see(real), judge.see(image.detach())
        logits = judge.judge(hidden), judge.judge_with(hidden, sentence)
        loss = discriminator_loss(*logits, judge.judge(fake), judge.judge_with(fake, sentence))
        (loss + r1_penalty(sum(logits), real)).backward()
        assert_gradients(judge)
    assert all(p.grad is None for p in network.parameters())  # the discriminators' losses stop at the images
    for judge in judges:
        judge.requires_grad_(False).zero_grad(set_to_none=True)
    hidden = [judge.see(image) for judge, image in zip(judges, made.images, strict=True)]
    sum(generator_loss(j.judge(h), j.judge_with(h, sentence)) for j, h in zip(judges, hidden, strict=True)).backward()
    assert_gradients(network)
    assert all(p.grad is None for judge in judges for p in judge.parameters())


def assert_gradients(network: torch.nn.Module) -> None:
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        # a bias in front of a norm has no effect on the output: none exists
        assert parameter.grad.abs().max() > 0, name
