"""The generator's step with the losses of DAMSM's image encoder, written out a pair at a time and differentiated by themselves.

Gradients are compared, in float64, as in test_step.py.
"""

import copy

import pytest
import torch
from torch import Tensor

from memgan.artifacts import seed_of
from memgan.encoders.matching import Wrong
from memgan.gan.texts import Texts
from tests.reference.stepping import BATCH, BOUND, CAPTIONS, DAMSM, GAMMA3, C, assert_gradients, probabilities, stepped

pytestmark = pytest.mark.usefixtures("double")


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
