"""Where networks compute. What needs a GPU is skipped where there is none."""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from memgan import device, steps
from memgan.data.loader import Batch, pyramid
from memgan.encoders.image import ImageEncoder
from memgan.encoders.text import TextEncoder
from memgan.encoders.vocabulary import Vocabulary
from memgan.errors import InputError
from memgan.gan.engine import Engine
from memgan.gan.processes import backend
from memgan.gan.recipe import Recipe
from memgan.gan.texts import TextReader
from tests.factory import damsm_block, gan_block, images_block, train_block

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
B, C, SIDE = 4, 12, 32


@pytest.fixture(autouse=True)
def undecided():
    device.device.cache_clear()
    yield
    device.device.cache_clear()


def test_the_cpu_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(device.VARIABLE, "cpu")
    assert device.device() == torch.device("cpu")
    assert device.memory() == 0
    assert backend(2) == "gloo"


def test_without_a_wish_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(device.VARIABLE, raising=False)
    assert device.device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "gpu 1", "meta"])
def test_a_device_that_is_not_there_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(device.VARIABLE, name)
    with pytest.raises(InputError, match=f"MEMGAN_DEVICE={name}: there is no such device here .*use cpu, cuda") as told:
        device.device()
    assert "\n" not in str(told.value)


def test_processes_take_gpus_in_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"number-{number}"))
    monkeypatch.setattr(device, "_HELD", [])
    monkeypatch.delenv(device.VARIABLE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    taken = []
    for rank in range(4):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        device.device.cache_clear()
        taken.append(str(device.device()))
    assert taken == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert (backend(2), backend(4)) == ("cpu:gloo,cuda:nccl", "gloo")


def test_a_training_of_several_processes_leaves_another_jobs_gpu_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"number-{number}"))
    monkeypatch.setattr(device, "_HELD", [])
    assert device.untaken(3) == 0  # another job
    assert [device.untaken(3, rank) for rank in range(2)] == [1, 2]


def test_jobs_side_by_side_take_different_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"number-{number}"))
    monkeypatch.setattr(device, "_HELD", held := [])
    # a lock belongs to the open file, so that each call stands for a process of its own
    assert [device.untaken(3) for _ in range(4)] == [0, 1, 2, 0]
    held.pop(1).close()  # the second process ends
    assert device.untaken(3) == 1
    assert device.untaken(1) == 0


def test_tf32_without_a_gpu_is_refused() -> None:
    with pytest.raises(InputError, match=r"train\.precision: tf32 needs a GPU"):
        engine("cpu", precision="tf32")


def engine(where: str, **train: object) -> Engine:
    steps.set_threads(torch.get_num_threads())  # as every step does: deterministic kernels, float32 in full
    torch.manual_seed(0)
    damsm = damsm_block(dimension=16, word_embedding=8, width=4, words=6)
    vocabulary = Vocabulary(["red", "blue", "a", "bird"])
    gan = gan_block(ngf=4, ndf=4, acm_width=6, z=10, condition=8)
    recipe = Recipe(gan, train_block(batch=B, **train), images_block(size=SIDE, short_side=SIDE), damsm, "avg", 3)
    text = TextEncoder(len(vocabulary), damsm).eval().requires_grad_(False).to(where)
    picture = ImageEncoder(damsm, SIDE).eval().requires_grad_(False).to(where)
    made = Engine(recipe, TextReader(vocabulary, text, damsm.words), picture, C)
    made.whiten(["a red bird", "a blue bird", "a bird", "red"])
    return made


def curve(subject: Engine, steps: range) -> list[dict[str, float]]:
    told = []
    for step in steps:
        rng = torch.Generator().manual_seed(step)
        images = pyramid(torch.rand(B, 3, SIDE, SIDE, generator=rng) * 2 - 1, [8, 16, SIDE])
        captions = ["a red bird", "a blue bird", "a bird", "a red bird"]
        batch = Batch(images, torch.arange(B), captions, torch.arange(B), torch.zeros(B, dtype=torch.bool))
        told.append(subject.step(batch, torch.randn(B, C, 4, 4, generator=rng), step))
    return told


@on_gpu
@pytest.mark.parametrize("train", [{}, {"augment": "diffaugment", "damsm_jitter": 0.1}, {"r1_interval": 1}])
def test_a_gpu_computes_what_the_cpu_does(train: dict) -> None:
    ours, theirs = curve(engine("cuda", **train), range(3)), curve(engine("cpu", **train), range(3))
    assert ours[0] == pytest.approx(theirs[0], rel=2e-3, abs=1e-3)
    for later, other in zip(ours[1:], theirs[1:], strict=True):  # Adam's first steps go by the signs of gradients, however small
        assert later == pytest.approx(other, rel=0.1, abs=0.05)


@on_gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "float16"])
def test_a_gpu_trains_the_same_bits_again_and_after_a_resume(precision: str) -> None:
    straight = engine("cuda", precision=precision)
    told = curve(straight, range(6))
    first = engine("cuda", precision=precision)
    before = curve(first, range(3))
    second = engine("cuda", precision=precision)
    second.restore(first.state())
    assert before + curve(second, range(3, 6)) == told
    wanted = straight.generator.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in second.generator.state_dict().items())
    assert {tensor.device.type for tensor in wanted.values()} == {"cuda"}
