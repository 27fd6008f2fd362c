from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from memgan import artifacts
from memgan.data.loader import TrainingBatches
from memgan.data.shards import ImageFolder
from memgan.encoders import damsm, vocabulary
from memgan.encoders.damsm import Encoders, Held, noisy, train_step, without
from memgan.encoders.matched import load_damsm
from memgan.encoders.vocabulary import Vocabulary
from memgan.errors import InputError
from tests.factory import damsm_block, images_block
from tests.unit.encoders.conftest import SMALL, write_params

OUT = Path("damsm.safetensors")
GEOMETRY = images_block(**SMALL["images"])


def block(**changes):
    return damsm_block(**SMALL["damsm"] | changes)


def words() -> Vocabulary:
    if not Path("vocabulary.json").exists():
        vocabulary.main(images=Path("images"), dataset="birdworld", out=Path("vocabulary.json"))
    return Vocabulary.load(Path("vocabulary.json"))


def run(out: Path = OUT) -> None:
    words()
    damsm.main(images=Path("images"), vocabulary=Path("vocabulary.json"), dataset="birdworld", out=out)


def test_the_step_gives_the_same_bytes_twice_and_load_reads_them(project):
    run()
    run(Path("again.safetensors"))
    assert OUT.read_bytes() == Path("again.safetensors").read_bytes()
    text, image = load_damsm(OUT, block(), GEOMETRY, words())
    assert not text.training
    assert not image.training
    assert not any(parameter.requires_grad for network in (text, image) for parameter in network.parameters())
    tensors, manifest = artifacts.load_tensors(OUT)
    assert {name.partition(".")[0] for name in tensors} == {"text", "image"}
    assert torch.equal(tensors["text.embedding.weight"], text.embedding.weight)
    assert manifest["seed"] == 3
    assert set(manifest["inputs"]) == {"images", "vocabulary"}


def test_another_seed_gives_other_weights(project):
    first, second = (Encoders.fresh(words(), block(), GEOMETRY, seed).state() for seed in (1, 2))
    assert not torch.equal(first["text.embedding.weight"], second["text.embedding.weight"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 9}, "damsm.width = 8, wanted is 9"),
        ({"dimension": 18}, "damsm.dimension = 16"),
        ({"words": 6}, "damsm.words = 5"),
    ],
)
def test_a_file_of_other_parameters_is_refused(project, changes, said):
    write_params(project, damsm={"epochs": 0})
    run()
    with pytest.raises(InputError, match=rf"damsm\.safetensors: made with {said}"):
        load_damsm(OUT, block(**changes), GEOMETRY, words())


def test_a_file_of_another_size_vocabulary_or_step_is_refused(project):
    write_params(project, damsm={"epochs": 0})
    run()
    with pytest.raises(InputError, match=r"images\.size = 16, wanted is 32"):
        load_damsm(OUT, block(), images_block(size=32, short_side=34), words())
    with pytest.raises(InputError, match="made with another vocabulary"):
        load_damsm(OUT, block(), GEOMETRY, Vocabulary([*words().words, "more"]))
    tensors, manifest = artifacts.load_tensors(OUT)
    artifacts.save_tensors(Path("other.safetensors"), tensors, manifest | {"step": "memgan.encoders.vgg"})
    with pytest.raises(InputError, match=r"other\.safetensors: written by memgan\.encoders\.vgg"):
        load_damsm(Path("other.safetensors"), block(), GEOMETRY, words())
    with pytest.raises(InputError, match=r"nothing\.safetensors: there is no such file"):
        load_damsm(Path("nothing.safetensors"), block(), GEOMETRY, words())


def test_a_step_depends_on_the_seed_and_its_number_alone(project):
    batch = TrainingBatches(Path("images"), GEOMETRY, 1, 8, 0).batch_at(0)
    results = []
    for noise in (0, 1):
        encoders = Encoders.fresh(words(), block(), GEOMETRY, 3)
        optimizer = torch.optim.Adam(encoders.parameters(), lr=1e-3)
        torch.manual_seed(noise)  # whatever was drawn before
        loss = train_step(encoders, optimizer, batch, 7)
        results.append((loss, encoders.state()))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(results[0][1][name], results[1][1][name]) for name in results[0][1])
    other = Encoders.fresh(words(), block(), GEOMETRY, 3)
    assert train_step(other, torch.optim.Adam(other.parameters()), batch, 8) != results[0][0]  # another dropout


def test_each_image_has_noise_of_its_own_strength():
    torch.manual_seed(0)
    images = torch.zeros(400, 3, 16, 16)
    strengths = noisy(images, 0.4).flatten(1).std(dim=1)
    assert strengths.max() < 0.44 and strengths.min() < 0.02
    assert strengths.mean().item() == pytest.approx(0.2, abs=0.02)
    assert noisy(images, 0) is images


def test_foils_make_a_training_step_harder_and_are_not_in_the_validation(project):
    batch = TrainingBatches(Path("images"), GEOMETRY, 1, 8, 0).batch_at(0)
    folder = ImageFolder(Path("images"), "train")
    captions = [["a red bird"] * 3, ["a blue bird"] * 3] * 40
    losses = {}
    for foils in (0, 3):
        encoders = Encoders.fresh(words(), block(foils=foils), GEOMETRY, 3, captions)
        told = replace(batch, captions=[f"a {('red', 'blue')[k % 2]} bird" for k in range(len(batch.captions))])
        held = Held.draw(folder, 0.25, 16, 0).measure(encoders)
        losses[foils] = held, train_step(encoders, torch.optim.Adam(encoders.parameters()), told, 0)
    assert losses[0][0] == losses[3][0]
    assert losses[3][1] > losses[0][1] + 0.1


def test_only_training_images_have_noise(project):
    batch = TrainingBatches(Path("images"), GEOMETRY, 1, 8, 0).batch_at(0)
    folder = ImageFolder(Path("images"), "train")
    losses = {}
    for noise in (0.0, 0.4):
        encoders = Encoders.fresh(words(), block(noise=noise), GEOMETRY, 3)
        held = Held.draw(folder, 0.25, 16, 0).measure(encoders)
        losses[noise] = held, train_step(encoders, torch.optim.Adam(encoders.parameters()), batch, 0)
    assert losses[0.0][0] == losses[0.4][0] and losses[0.0][1] != losses[0.4][1]


def test_the_gradient_of_the_text_encoder_is_clipped(project):
    batch = TrainingBatches(Path("images"), GEOMETRY, 1, 8, 0).batch_at(0)
    encoders = Encoders.fresh(words(), block(clip=1e-3), GEOMETRY, 3)
    train_step(encoders, torch.optim.Adam(encoders.parameters()), batch, 0)
    norms = [torch.stack([p.grad.norm() for p in net.parameters()]).norm() for net in (encoders.text, encoders.image)]
    assert norms[0] <= 1.001e-3
    assert norms[1] > 1e-2


def test_held_images_are_drawn_once_and_never_trained_on(project):
    folder = ImageFolder(Path("images"), "train")
    held, again = (Held.draw(folder, 0.25, 16, 5) for _ in range(2))
    assert len(held.rows) == len(set(held.rows.tolist())) == 8
    assert torch.equal(held.rows, again.rows)
    assert held.images.shape == (8, 3, 16, 16)
    for row, caption, label in zip(held.rows.tolist(), held.captions, held.labels.tolist(), strict=True):
        assert caption in folder.rows[row]["captions"]
        assert label == folder.rows[row]["label"]
    batches = TrainingBatches(Path("images"), GEOMETRY, 1, 8, 0)
    seen = torch.cat([without(batches.batch_at(step), held.rows).rows for step in range(batches.steps_per_epoch)])
    assert sorted([*seen.tolist(), *held.rows.tolist()]) == list(range(32))


def test_what_is_left_of_a_batch_stays_in_step(project):
    batch = TrainingBatches(Path("images"), GEOMETRY, 1, 8, 0).batch_at(0)
    rest = without(batch, batch.rows[[1, 4]])
    kept = [0, 2, 3, 5, 6, 7]
    assert rest.captions == [batch.captions[i] for i in kept]
    for name in ("rows", "labels", "flipped"):
        assert torch.equal(getattr(rest, name), getattr(batch, name)[kept])
    assert torch.equal(rest.images[-1], batch.images[-1][kept])


def test_too_few_images_to_hold_any_back(project):
    assert Held.draw(ImageFolder(Path("images"), "train"), 0.05, 16, 5) is None


def test_the_best_epoch_is_kept(project, monkeypatch):
    """Validation losses 3, 1, 2: the tensors of the second epoch."""
    encoders = Encoders.fresh(words(), block(epochs=3), GEOMETRY, 3)
    held, states, losses = Held.draw(ImageFolder(Path("images"), "train"), 0.25, 16, 5), [], iter((3.0, 1.0, 2.0))

    def measure(self, trained):
        states.append(trained.state())
        return next(losses), 0.5

    monkeypatch.setattr(Held, "measure", measure)
    best = damsm.train(encoders, TrainingBatches(Path("images"), GEOMETRY, 1, 8, 0), held)
    assert len(states) == 3
    assert all(torch.equal(best[name], states[1][name]) for name in best)
    assert not torch.equal(best["text.embedding.weight"], states[2]["text.embedding.weight"])


@pytest.mark.parametrize("validation", [0.125, 0.0])
def test_a_loss_that_is_no_number_ends_in_one_line_and_writes_nothing(project, monkeypatch, validation):
    write_params(project, damsm={"validation": validation})
    monkeypatch.setattr(damsm, "train_step", lambda *given: float("nan") if given[-1] == 2 else 1.0)
    with pytest.raises(InputError, match=r"damsm: at step 2 the loss is nan; nothing is written; lower `damsm\.lr`"):
        run()
    assert not OUT.exists()


def test_without_validation_the_last_epoch_is_kept(project):
    encoders = Encoders.fresh(words(), block(epochs=2), GEOMETRY, 3)
    best = damsm.train(encoders, TrainingBatches(Path("images"), GEOMETRY, 1, 8, 0), None)
    assert all(torch.equal(best[name], tensor) for name, tensor in encoders.state().items())


def test_the_rate_falls_to_its_lowest(project, monkeypatch):
    rates, optimizers = [], set()
    monkeypatch.setattr(damsm.fit, "set_lr", lambda optimizer, lr: rates.append(lr) or optimizers.add(optimizer))
    encoders = Encoders.fresh(words(), block(epochs=4, lr=0.01, decay=0.3, lowest=0.1), GEOMETRY, 3)
    damsm.train(encoders, TrainingBatches(Path("images"), GEOMETRY, 1, 8, 0), None)
    np.testing.assert_allclose(rates, [0.01, 0.003, 0.001, 0.001])
    (adam,) = optimizers
    assert isinstance(adam, torch.optim.Adam)
    assert adam.defaults["betas"] == (0.5, 0.999)
    assert {id(p) for group in adam.param_groups for p in group["params"]} == {id(p) for p in encoders.parameters()}


def test_validation_knows_right_from_wrong(project):
    """Measured on encoders whose outputs are made up: one-hot vectors that agree for every image but one."""
    held = Held.draw(ImageFolder(Path("images"), "train"), 0.25, 16, 5)
    encoders = Encoders.fresh(words(), block(batch=64), GEOMETRY, 3)
    held.labels = torch.arange(8)
    wrong = torch.eye(16)[:8].clone()
    wrong[0] = torch.eye(16)[1]

    class Given(torch.nn.Module):
        def __init__(self, *outputs):
            super().__init__()
            self.outputs = outputs

        def forward(self, *_):
            return self.outputs

    encoders.image = Given(torch.rand(8, 16, 2, 2), wrong)
    encoders.text = Given(torch.rand(8, 16, 5), torch.eye(16)[:8])
    assert held.measure(encoders)[1] == 7 / 8
    held.labels[1] = held.labels[0]  # now the nearer caption belongs to the same class and does not count
    assert held.measure(encoders)[1] == 1.0
