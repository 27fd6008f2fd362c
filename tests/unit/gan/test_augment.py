"""DiffAugment's three policies (Zhao et al. 2020), an image and a pixel at a time, from the same random numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memgan.gan.augment import Chance, augment, colour, cut_out, translate


def some(count: int, side: int, seed: int) -> Tensor:
    return torch.rand(count, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def chance(seed: int, count: int, part: slice = slice(None)) -> Chance:
    return Chance(torch.Generator().manual_seed(seed), count, part)


SIZES = {"count": st.integers(1, 4), "side": st.sampled_from([8, 16, 32]), "seed": st.integers(0, 999)}


@settings(max_examples=20)
@given(**SIZES)
def test_colour(count: int, side: int, seed: int) -> None:
    """Brightness +-0.5, saturation about the pixel's grey 0-2, contrast about the image's mean 0.5-1.5."""
    images = some(count, side, seed)
    shift, saturation, contrast = torch.rand(3, count, 1, 1, 1, generator=torch.Generator().manual_seed(seed)).double().numpy()
    for k, found in enumerate(colour(images, chance(seed, count)).numpy()):
        want = images[k].numpy() + (shift[k] - 0.5)
        grey = (want[0] + want[1] + want[2]) / 3
        want = grey + 2 * saturation[k] * (want - grey)
        want = want.mean() + (0.5 + contrast[k]) * (want - want.mean())
        np.testing.assert_allclose(found, want, atol=1e-12, rtol=0)


@settings(max_examples=20)
@given(**SIZES)
def test_translation(count: int, side: int, seed: int) -> None:
    """By whole pixels, an eighth of the side at most; what comes in is 0."""
    images, reach = some(count, side, seed), side // 8
    drawn = torch.randint(-reach, reach + 1, (2, count, 1), generator=torch.Generator().manual_seed(seed))
    down, across = drawn.squeeze(2).tolist()
    for k, found in enumerate(translate(images, chance(seed, count))):
        assert max(abs(down[k]), abs(across[k])) <= reach
        for y in range(side):
            for x in range(side):
                from_y, from_x = y + down[k], x + across[k]
                inside = 0 <= from_y < side and 0 <= from_x < side
                assert found[:, y, x].tolist() == (images[k, :, from_y, from_x].tolist() if inside else [0, 0, 0])


@settings(max_examples=20)
@given(**SIZES)
def test_cut_out(count: int, side: int, seed: int) -> None:
    """One square of half the side, whose middle is anywhere, is 0."""
    images, half = some(count, side, seed), side // 2
    drawn = torch.randint(0, side + 1 - half % 2, (2, count, 1), generator=torch.Generator().manual_seed(seed))
    middle = drawn.squeeze(2).tolist()
    for k, found in enumerate(cut_out(images, chance(seed, count))):
        top, left = middle[0][k] - half // 2, middle[1][k] - half // 2
        want = images[k].clone()
        want[:, max(0, top) : max(0, top + half), max(0, left) : max(0, left + half)] = 0
        assert torch.equal(found, want)


def test_each_image_has_its_own_chance_and_a_share_of_the_batch_keeps_its_own() -> None:
    same = some(1, 16, 0).repeat(6, 1, 1, 1)
    whole = augment(same, chance(3, 6))
    assert len({tuple(image.flatten().tolist()) for image in whole}) == 6
    assert torch.equal(augment(same[2:4], chance(3, 6, slice(2, 4))), whole[2:4])


def test_gradients_reach_what_is_still_seen() -> None:
    images = some(2, 16, 1).requires_grad_()
    shown = augment(images, chance(4, 2))
    assert torch.autograd.gradcheck(lambda x: augment(x, chance(4, 2)), images[:, :, :8, :8].detach().requires_grad_())
    (gradient,) = torch.autograd.grad(shown.square().sum(), images)
    assert gradient.isfinite().all()
    assert 0.2 < float((gradient != 0).double().mean()) <= 1


@pytest.mark.parametrize("policy", [colour, translate, cut_out])
def test_no_policy_touches_what_it_was_given(policy) -> None:
    images = some(2, 16, 2)
    before = images.clone()
    assert not torch.equal(policy(images, chance(5, 2)), images)
    assert torch.equal(images, before)
