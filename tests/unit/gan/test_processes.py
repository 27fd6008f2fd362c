"""Several processes: how they are started, and BatchNorm over all of them. What they compute together: test_training.py."""

import os
import sys

import pytest
import torch
from torch import nn

from memgan.errors import InputError
from memgan.gan import processes
from memgan.gan.processes import JoinedBatchNorm, Processes, launch, start


@pytest.fixture(autouse=True)
def unlaunched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", processes.LAUNCHER):
        monkeypatch.delenv(name, raising=False)


def test_shares_are_equal_or_refused() -> None:
    assert [Processes(rank, 4).part(12) for rank in range(4)] == [slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12)]
    with pytest.raises(InputError, match="3 processes cannot share a batch of 16 equally"):
        start(3, 16)


def test_a_launcher_that_disagrees_with_params_yaml_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(InputError, match=r"train.processes is 2, but the launcher started 4"):
        start(2, 16)


def test_the_step_becomes_the_launcher_with_its_own_command(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(os, "execvpe", lambda program, command, _: started.append((program, command)))
    monkeypatch.setattr(sys, "argv", ["train.py", "--dataset", "birdworld"])
    launch(2)
    monkeypatch.setenv(processes.LAUNCHER, "srun --ntasks {processes} {python} -m")
    launch(3)
    (local, command), (cluster, other) = started
    assert (local, cluster) == (sys.executable, "srun")
    assert command[:8] == [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    assert command[-2:] == other[-2:] == ["--dataset", "birdworld"]
    assert other[:5] == ["srun", "--ntasks", "3", sys.executable, "-m"]


def test_a_launcher_that_starts_processes_which_know_nothing_of_each_other_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """`srun {python}` alone: each process would become the launcher again, without end."""
    given = []
    monkeypatch.setattr(os, "execvpe", lambda *words: given.append(words[2]))
    monkeypatch.setenv(processes.LAUNCHER, "srun --ntasks {processes} {python}")
    launch(2)
    monkeypatch.setattr(os, "environ", given[0])
    with pytest.raises(InputError, match=r"`srun --ntasks \{processes\} \{python\}` sets no WORLD_SIZE"):
        start(2, 16)


def test_a_launcher_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.LAUNCHER, "no-such-launcher {processes}")
    with pytest.raises(InputError, match="no-such-launcher cannot be started"):
        launch(2)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 4, 4)])
def test_joined_batchnorm_of_one_share_is_batchnorm(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda _: None)  # the sum over one process
    torch.manual_seed(0)
    plain = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(5)
    plain.weight.data.uniform_(0.5, 2.0)
    joined = JoinedBatchNorm.instead_of(plain, 1)
    given = [torch.randn(shape).requires_grad_() for _ in range(2)]
    given[1].data.copy_(given[0].data)
    slopes = torch.randn(shape)
    found = []
    for norm, x in zip((plain, joined), given, strict=True):
        made = norm(x)
        (gradient,) = torch.autograd.grad((made * slopes).sum(), x, create_graph=True)
        gradient.square().sum().backward()  # as R1 does
        found.append([made, gradient, x.grad, norm.weight.grad, norm.running_mean, norm.running_var, norm.num_batches_tracked])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one.double(), other.double(), rtol=1e-4, atol=1e-5)
    assert joined.state_dict().keys() == plain.state_dict().keys()
    assert torch.equal(joined.eval()(given[0]), JoinedBatchNorm.instead_of(joined, 1).eval()(given[0]))
