from pathlib import Path

import pytest
import torch

from memgan import artifacts
from memgan.data.shards import ImageFolder
from memgan.data.worlds import birdworld, sceneworld
from memgan.encoders import evaluator
from memgan.encoders.evaluator import accuracy, worn
from memgan.encoders.examples import Labelled, Renderings, judgements
from memgan.encoders.judges import Evaluator, load_evaluator
from memgan.encoders.vocabulary import Vocabulary
from memgan.errors import InputError
from memgan.params import encoders
from memgan.params.data import World
from tests.factory import PARAMS, images_block
from tests.unit.encoders.conftest import SMALL, squares, write_params

OUT = Path("evaluator.safetensors")
GEOMETRY = images_block(**SMALL["images"])
PLAIN = encoders.Evaluator(**PARAMS["evaluator"] | {"batch": 8})
WORDS = Vocabulary(["a", "square", "red", "green", "blue", "yellow", "ground"])
HEADS = {"colour": ("red", "green", "blue"), "size": ("small", "large")}


@pytest.fixture(autouse=True)
def short_trial(monkeypatch):
    monkeypatch.setattr(evaluator, "FRESH", 10)


def run(dataset: str, out: Path = OUT) -> None:
    artifacts.write_json(Path("vocabulary.json"), {"words": WORDS.words})
    evaluator.main(images=Path("images"), vocabulary=Path("vocabulary.json"), dataset=dataset, out=out)


@pytest.mark.parametrize(("dataset", "world"), [("birdworld", birdworld), ("sceneworld", sceneworld)])
def test_the_step_on_a_world(project, dataset, world):
    run(dataset)
    network = load_evaluator(OUT)
    assert list(network.heads.items()) == [(name, tuple(values)) for name, values in world.ATTRIBUTES.items()]  # in this order
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    images = torch.rand(3, 3, 16, 16) * 2 - 1
    assert network.features(images).shape == (3, 8)
    assert {name: tuple(x.shape) for name, x in network.logits(images).items()} == {
        k: (3, len(v)) for k, v in network.heads.items()
    }
    assert set(artifacts.load_tensors(OUT)[1]["accuracy"]) == set(world.ATTRIBUTES)


def test_the_same_bytes_twice(project):
    for name in ("one", "two"):
        run("birdworld", Path(name))
    assert Path("one").read_bytes() == Path("two").read_bytes()


def test_the_step_on_labelled_images(project):
    run("photos")
    network = load_evaluator(OUT)
    assert list(network.heads) == ["class"]
    assert len(network.heads["class"]) == 16
    assert "accuracy" not in artifacts.load_tensors(OUT)[1]


@pytest.mark.parametrize("size", [4, 8, 16, 32, 64])
def test_features_and_logits_belong_together(size):
    torch.manual_seed(0)
    network = Evaluator(4, 10, size, HEADS).eval()
    images = torch.rand(5, 3, size, size) * 2 - 1
    features = network.features(images)
    assert features.shape == (5, 10)
    assert features.min() >= 0
    for name, logits in network.judged(features).items():
        assert logits.shape == (5, len(HEADS[name]))
        torch.testing.assert_close(logits, network.logits(images)[name])


@pytest.mark.parametrize("names", [("wing", "beak", "crown"), ("beak", "crown", "wing"), ("crown", "wing", "beak")])
def test_heads_keep_their_order_through_the_file(tmp_path, names):
    """The last layer's rows belong to heads by their order alone: an alphabetical file would swap what is judged."""
    sizes = {"wing": ("red", "blue", "green"), "beak": ("short", "long"), "crown": ("plain", "black", "white", "crested")}
    torch.manual_seed(0)
    network = Evaluator(4, 10, 16, {name: sizes[name] for name in names}).eval()
    params = {"evaluator": {"width": 4, "features": 10}, "images": {"size": 16}}
    path = tmp_path / "evaluator.safetensors"
    artifacts.save_tensors(path, network.state_dict(), {"step": evaluator.STEP, "params": params, "heads": network.heads})
    back, images = load_evaluator(path), torch.rand(3, 3, 16, 16)
    assert list(back.heads.items()) == [(name, sizes[name]) for name in names]
    for name, logits in back.logits(images).items():
        assert torch.equal(logits, network.logits(images)[name]), name


def test_accuracy_counts_each_head():
    network = Evaluator(4, 10, 8, HEADS).eval()
    images = torch.rand(4, 3, 8, 8)
    answers = torch.stack([logits.argmax(dim=1) for logits in network.logits(images).values()], dim=1)
    assert accuracy(network, images, answers) == {"colour": 1.0, "size": 1.0}
    answers[0, 1] = 1 - answers[0, 1]
    assert accuracy(network, images, answers) == {"colour": 1.0, "size": 0.75}


def test_other_files_are_refused():
    with pytest.raises(InputError, match=r"nothing: there is no such file"):
        load_evaluator(Path("nothing"))


def test_a_file_of_another_step_is_refused(tmp_path):
    path = tmp_path / "vgg.safetensors"
    artifacts.save_tensors(path, {"x": torch.zeros(1)}, {"step": "memgan.encoders.vgg", "params": {}})
    with pytest.raises(InputError, match=r"vgg\.safetensors: written by memgan\.encoders\.vgg"):
        load_evaluator(path)


def test_wear_is_light_and_differs_from_image_to_image():
    torch.manual_seed(0)
    images = torch.rand(200, 3, 8, 8) * 2 - 1
    change = (worn(images) - images).flatten(1).abs().mean(dim=1)
    assert 0.02 < change.mean() < 0.25
    assert change.std() > 0.01


WORLD = {"train_images": 1, "test_images": 1, "side": 24, "pose": 0.1}


@pytest.mark.parametrize("name", ["birdworld", "sceneworld"])
def test_renderings_are_free_combinations_and_a_function_of_seed_and_step(name):
    source = Renderings(World(name=name, **WORLD), GEOMETRY, 40, 8, 1)
    again = Renderings(World(name=name, **WORLD), GEOMETRY, 40, 8, 1)
    images, _ = source.batch_at(7)
    assert images.shape == (8, 3, 16, 16)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.min() >= -1
    assert images.max() <= 1
    assert torch.equal(images, again.batch_at(7)[0])
    assert not torch.equal(images, source.batch_at(2)[0])
    assert len({tuple(row) for row in source.targets.tolist()}) == 40
    for column, values in enumerate(source.heads.values()):
        assert source.targets[:, column].min() >= 0
        assert source.targets[:, column].max() < len(values)
    epoch = torch.cat([source.batch_at(step)[1] for step in range(5)])
    assert sorted(epoch.tolist()) == sorted(source.targets.tolist())


def test_fewer_renderings_than_a_batch_are_refused():
    with pytest.raises(InputError, match=r"evaluator\.images is 4, less than one batch of 8"):
        Renderings(World(name="birdworld", **WORLD), GEOMETRY, 4, 8, 1)


def test_labelled_batches_know_their_classes(project):
    source = Labelled(Path("images"), GEOMETRY, WORDS, PLAIN, 1)
    batch, (images, targets) = source.batches.batch_at(3), source.batch_at(3)
    assert torch.equal(images, batch.images[-1])
    assert torch.equal(targets[:, 0], batch.labels)


def test_categories_are_judged_as_present_or_absent(tmp_path):
    heads, targets = judgements(ImageFolder(squares(tmp_path / "images", labels=False, categories=True), "train"), WORDS)
    assert heads == dict.fromkeys(("red", "green", "blue", "yellow"), ("absent", "present"))
    assert targets[:4].tolist() == torch.eye(4, dtype=torch.int64).tolist()


def test_without_labels_telling_words_are_judged(tmp_path):
    """Each colour is in 7 of 16 images; `a` and `square` are in all and tell nothing."""
    folder = ImageFolder(squares(tmp_path / "images", labels=False), "train")
    heads, targets = judgements(folder, WORDS)
    assert list(heads) == ["word red", "word green", "word blue", "word yellow"]
    for row, values in zip(folder.rows, targets.tolist(), strict=True):
        assert values == [int(word in row["captions"][0].lower()) for word in ("red", "green", "blue", "yellow")]


def test_a_training_that_diverges_ends_in_one_line_and_writes_nothing(project):
    write_params(project, evaluator={"lr": 1e30, "epochs": 8})
    with pytest.raises(InputError, match=r"evaluator: at step \d+ the loss is (nan|inf); nothing is written; lower `evaluator.lr`"):
        run("birdworld")
    assert not OUT.exists()


def test_nothing_to_judge_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"images: no classes, no categories and no telling words"):
        judgements(ImageFolder(squares(tmp_path / "images", labels=False), "train"), Vocabulary(["a", "square"]))
