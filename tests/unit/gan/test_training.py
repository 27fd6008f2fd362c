"""A training cannot lose work: kills, signals, full disks, several processes."""

import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from memgan.artifacts import load_tensors
from memgan.errors import InputError
from memgan.gan.processes import launch, listening
from memgan.gan.train import train_step
from tests.factory import ROOT
from tests.trainings import Trainings, together

LONG = {"train": {"epochs": 400}}
RUNS = {
    "long": LONG,
    "stopped": LONG,
    "widowed": {"train": {"epochs": 400, "processes": 2}},
    "full": LONG,
    "two": {"train": {"processes": 2}},
    "launched": {"train": {"epochs": 8, "processes": 2}},
    "together": {"train": {"epochs": 8, "processes": 2}},
    "two_augmented": {"train": {"processes": 2, "augment": "diffaugment"}},
    "augmented": {"train": {"augment": "diffaugment"}},
    "turns": {"train": {"epochs": 6, "d_steps": 2, "diversity_weight": 0.5}},
    "two_turns": {"train": {"epochs": 6, "d_steps": 2, "diversity_weight": 0.5, "processes": 2}},
    "diverging": {"train": {"lr_g": 1e30}},
    "hundred": {"train": {"epochs": 300}},
    "killed": {"train": {"epochs": 300}},
    "again": {},
    "two_again": {"train": {"processes": 2}},
}


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    return Trainings(tmp_path_factory.mktemp("trainings"), RUNS)


@pytest.fixture(scope="module")
def alone(trainings: Trainings) -> dict[str, bytes]:
    """What one process makes of the run that nothing is changed in."""
    return trainings.done("ours")


def curves(trainings: Trainings, run: str) -> list[dict[str, float]]:
    with (trainings.folder(run) / "curves.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def test_sigterm_saves_the_step_and_leaves_with_0(trainings: Trainings) -> None:
    process = trainings.started("stopped", MEMGAN_STATE_EVERY="600")
    progress = trainings.folder("stopped") / "state/generator/progress.json"
    while not progress.exists():
        assert process.is_alive(), trainings.said("stopped")
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    process.join(600)
    assert process.exitcode == 0
    assert "stopped by SIGTERM after step" in trainings.said("stopped").splitlines()[-1]
    told = json.loads(progress.read_text())
    assert told["state"] == "stopped"
    assert told["saved"] == told["step"] > 0
    assert told["memory_gb"] > 0
    assert torch.load(trainings.states("stopped")[0], weights_only=True)["step"] == told["step"]
    assert not (trainings.folder("stopped") / "generator.safetensors").exists()


def test_two_processes_give_the_curves_of_one(trainings: Trainings, alone: dict[str, bytes]) -> None:
    """Within 1e-3 of each loss over twelve steps; what differs is the order of float32 sums, which training amplifies."""
    assert_same(trainings, "ours", "two")


def test_images_of_each_turn_of_the_discriminators_are_shared(trainings: Trainings) -> None:
    """And the noise of those that the diversity loss compares them with."""
    trainings.done("turns")
    assert_same(trainings, "turns", "two_turns", steps=6)


def test_torchs_own_launcher_starts_both_and_a_signal_to_it_loses_nothing(trainings: Trainings) -> None:
    """As the step is started by an engine: it becomes `torch.distributed.run`, which hands SIGTERM on."""
    options = [word for name, value in trainings.arguments("launched").items() for word in (f"--{name}", str(value))]
    log = trainings.log("launched", {})
    command = [sys.executable, "-m", "memgan.gan.train", *options, "--log", str(log)]
    env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "MEMGAN_LIVE": "off", "MEMGAN_STATE_EVERY": "600", "OMP_NUM_THREADS": "1"}
    progress = trainings.folder("launched") / "state/generator/progress.json"
    with subprocess.Popen(command, cwd=trainings.root, env=env, stderr=subprocess.DEVNULL) as stopped:
        while not progress.exists():
            assert stopped.poll() is None, log.read_text()
            time.sleep(0.01)
        stopped.terminate()
    assert "stopped by SIGTERM after step" in log.read_text()
    assert stopped.returncode != 0  # the launcher's own; nothing was finished
    assert not (trainings.folder("launched") / "generator.safetensors").exists()
    subprocess.run(command, cwd=trainings.root, env=env, check=True, stderr=subprocess.DEVNULL, timeout=300)
    assert "resuming from step" in log.read_text()
    members = [trainings.started("together", MEMGAN_STATE_EVERY="600", **env) for env in together(2)]
    for member in members:
        member.join(300)
    assert trainings.results("launched")["curves.csv"] == trainings.results("together")["curves.csv"]


def assert_same(trainings: Trainings, one: str, two: str, steps: int = 12) -> None:
    members = [trainings.started(two, **env) for env in together(2)]
    for member in members:
        member.join(600)
    assert [member.exitcode for member in members] == [0, 0], trainings.said(two)
    pairs = list(zip(curves(trainings, one), curves(trainings, two), strict=True))
    assert len(pairs) == steps
    for wanted, found in pairs:
        assert found == pytest.approx(wanted, rel=1e-3, abs=1e-5)


def test_a_process_that_dies_ends_the_others_with_one_line(trainings: Trainings) -> None:
    members = [trainings.started("widowed", **env) for env in together(2)]
    trainings.wait_for_state("widowed", members[0])
    members[1].kill()
    for member in members:
        member.join(600)
    assert members[0].exitcode == 1
    assert "another process ended" in trainings.said("widowed").splitlines()[-1]
    assert trainings.states("widowed")


@pytest.mark.parametrize(("run", "size"), [("again", 1), pytest.param("two_again", 2, marks=pytest.mark.slow)])
def test_a_finished_training_whose_engine_did_not_hear_of_it_is_not_done_again(trainings: Trainings, run: str, size: int) -> None:
    """Of two processes only the first can know."""
    made = []
    for _ in range(2):
        members = [trainings.started(run, **env) for env in (together(size) if size > 1 else [{}])]
        for member in members:
            member.join(600)
        assert [member.exitcode for member in members] == [0] * size, trainings.said(run)
        made.append(trainings.results(run))
        for name in made[0]:
            (trainings.folder(run) / name).unlink()
    assert made[0] == made[1]
    assert "finished before: taken from" in trainings.said(run) and "trained" not in trainings.said(run)


def test_a_fault_of_one_s_own_is_not_another_process() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes"), listening("at step 3"):
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    with pytest.raises(InputError, match=r"at step 3 another process ended \(Connection closed by peer\)"), listening("at step 3"):
        raise RuntimeError("[/somewhere/gloo/transport/tcp/pair.cc:500] Connection closed by peer [127.0.0.1]:4711")
    with pytest.raises(InputError, match="before the first step another process ended"), listening("before the first step"):
        raise torch.distributed.DistNetworkError("the store is gone")


def test_a_full_gpu_is_said_in_one_line() -> None:
    class Full:
        def step(self, *_: object) -> dict[str, float]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 2 GiB")

    with pytest.raises(InputError, match=r"at step 5 CUDA out of memory; lower train\.batch"):
        train_step(Full(), None, None, 5, None)


@pytest.mark.parametrize("launcher", ["srun -x {host} {python}", "run 'it", "run {python", "run {0}"])
def test_a_launcher_that_is_no_command_is_refused(launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMGAN_LAUNCHER", launcher)
    with pytest.raises(InputError, match=r"MEMGAN_LAUNCHER: .* is no command"):
        launch(2)


def test_a_gradient_that_is_no_number_stops_with_its_step_and_name(trainings: Trainings) -> None:
    process = trainings.started("diverging")
    process.join(600)
    assert process.exitcode == 1
    said = trainings.said("diverging").splitlines()[-1]
    assert said.startswith("error: training: at step ")
    assert "the last good state is kept" in said
    good = [torch.load(path, weights_only=True) for path in trainings.states("diverging")]
    assert any(all(t.isfinite().all() for t in state["engine"]["generator"].values()) for state in good)


def test_a_state_of_other_parameters_or_another_device_is_refused_by_name(trainings: Trainings) -> None:
    process = trainings.started("long")
    trainings.wait_for_state("long", process)
    process.kill()
    process.join()
    note = trainings.states("long")[0].with_name("manifest.json")
    told = json.loads(note.read_text())
    assert told["device"] == "cpu"
    note.write_text(json.dumps(told | {"device": "cuda"}))  # as if a GPU had trained
    path = trainings.root / "params.yaml"
    whole = path.read_text()
    path.write_text(whole.replace("epochs: 400", "epochs: 2"))
    trainings.done("long")
    path.write_text(whole)
    assert "not resumed" in trainings.said("long")
    assert "train.epochs is 400.0 there, 2.0 now" in trainings.said("long")
    assert "device is cuda there, cpu now" in trainings.said("long")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty disk of 8 MB: room for some states."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.mounts
def test_a_full_disk_leaves_the_last_good_state(trainings: Trainings, small_disk: Path) -> None:
    trainings.folder("full").parent.mkdir(parents=True, exist_ok=True)
    trainings.folder("full").symlink_to(small_disk)
    process = trainings.started("full", MEMGAN_STATE_EVERY="0.2")
    trainings.wait_for_state("full", process)
    with (small_disk / "rest").open("wb", buffering=0) as rest:
        while process.is_alive():  # what a state leaves is filled as well
            with contextlib.suppress(OSError):
                rest.write(b"0" * 4096)
    process.join()
    assert process.exitcode == 1
    said = trainings.said("full").splitlines()[-1]
    assert "the disk is full" in said
    assert "is kept" in said
    (small_disk / "rest").unlink(missing_ok=True)
    assert torch.load(trainings.states("full")[0], weights_only=True)["step"] > 0


@pytest.mark.slow
def test_twenty_kills_change_no_bit(trainings: Trainings) -> None:
    rng = random.Random(0)
    wanted = trainings.done("hundred", MEMGAN_STATE_EVERY="600")
    for number in range(20):
        process = trainings.started("killed", MEMGAN_STATE_EVERY="0.05")
        trainings.wait_for_state("killed", process)
        time.sleep(rng.uniform(0, 0.3))
        assert process.is_alive(), f"the training ended before kill {number + 1}"
        process.kill()
        process.join()
        assert not (trainings.folder("killed") / "generator.safetensors").exists()
    assert trainings.done("killed")["curves.csv"] == wanted["curves.csv"]
    one, two = (load_tensors(trainings.folder(run) / "generator.safetensors")[0] for run in ("hundred", "killed"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_augmented_images_are_shared_too(trainings: Trainings) -> None:
    trainings.done("augmented")
    assert_same(trainings, "augmented", "two_augmented")
