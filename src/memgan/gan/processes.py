"""Training on several processes (`train.processes`): equal shares of one batch, and the numbers of a single process.

Each process holds all networks and computes the images of its share; captions, noise and augmentation are drawn for the whole
batch everywhere, so that they do not depend on the number of processes. What a single process would compute over the batch is
summed across them: the statistics of BatchNorm (torch's SyncBatchNorm exists on GPUs only), the embeddings in the matching loss,
the gradients. What is left is the order of sums. The first process writes.

How processes are started is not part of a result: by the environment's MEMGAN_LAUNCHER, by default torch's own launcher on this
machine, which the step's module and its arguments follow.
"""

import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import pad

from memgan.device import device
from memgan.errors import InputError
from memgan.gan.arithmetic import widened

LAUNCHER, LAUNCHED = "MEMGAN_LAUNCHER", "MEMGAN_LAUNCHED"
# "--": torch's launcher would take the step's --run for an abbreviation of an option of its own
LOCAL = "{python} -m torch.distributed.run --standalone --nproc-per-node {processes} -m --"


class Processes:
    """The processes of one training. Alone, every method gives back what it got."""

    def __init__(self, rank: int = 0, size: int = 1):
        self.rank, self.size = rank, size

    @property
    def writes(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This process' share of a batch of `count`."""
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def share(self, whole: Tensor) -> Tensor:
        """This process' rows of a tensor that all have."""
        return whole if self.size == 1 else whole[self.part(len(whole))]

    def gathered(self, mine: Tensor) -> Tensor:
        """All processes' rows, in order; differentiable."""
        if self.size == 1:
            return mine
        around = (self.rank * len(mine), (self.size - 1 - self.rank) * len(mine))
        return Sum.apply(pad(mine, (0, 0) * (mine.dim() - 1) + around))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces gradients by their mean over the processes."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def mean(self, terms: dict[str, float]) -> dict[str, float]:
        """Means of numbers over the processes."""
        if self.size == 1:
            return terms
        values = torch.tensor(list(terms.values()), dtype=torch.float64)
        dist.all_reduce(values)
        return dict(zip(terms, (values / self.size).tolist(), strict=True))

    def any(self, mine: bool) -> bool:
        """Whether it is true of one of them."""
        return mine if self.size == 1 else self.mean({"any": float(mine)})["any"] > 0

    def told(self, mine: object) -> object:
        """What the first process says."""
        if self.size == 1:
            return mine
        said = [mine]
        dist.broadcast_object_list(said)
        return said[0]

    def joined(self, network: nn.Module) -> nn.Module:
        """The network with BatchNorms that look at all processes' images."""
        if self.size > 1:
            for parent in list(network.modules()):
                for name, child in parent.named_children():
                    if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                        setattr(parent, name, JoinedBatchNorm.instead_of(child, self.size))
        return network


class Sum(Function):
    """The sum over all processes, and the same for gradients, of whatever order."""

    @staticmethod
    def forward(_context, mine: Tensor) -> Tensor:
        """mine: any shape."""
        total = mine.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context, gradient: Tensor) -> Tensor:
        """Each process' loss depends on every process' share."""
        return Sum.apply(gradient)


class JoinedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over the images of all processes, which have equally many. Same tensors as the one that it replaces."""

    @classmethod
    def instead_of(cls, norm: nn.modules.batchnorm._BatchNorm, size: int) -> "JoinedBatchNorm":
        """Takes over parameters and statistics."""
        joined = cls(norm.num_features, norm.eps, norm.momentum)
        joined.load_state_dict(norm.state_dict())
        joined.size = size
        return joined

    def _check_input_dim(self, _: Tensor) -> None:
        """Any number of dimensions."""

    def forward(self, x: Tensor) -> Tensor:
        """x: B x C or B x C x H x W."""
        if not self.training:
            return super().forward(x)
        dims, shape = [0, *range(2, x.dim())], (1, -1, *(1,) * (x.dim() - 2))
        count = self.size * x.numel() // x.shape[1]
        x = widened(x)
        mean = Sum.apply(x.sum(dims)) / count
        centred = x - mean.view(shape)
        variance = Sum.apply(centred.square().sum(dims)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked += 1
        return centred * (variance + self.eps).rsqrt().view(shape) * self.weight.view(shape) + self.bias.view(shape)


def start(count: int, batch: int) -> Processes:
    """The processes that params.yaml asks for: this one alone, or those that a launcher has started.

    Where several are wanted and no launcher has started this process, it becomes the launcher. Raises InputError if there are
    others than wanted, or if they cannot share the batch.
    """
    if batch % count:
        raise InputError(f"params.yaml: train.processes: {count} processes cannot share a batch of {batch} equally")
    if "WORLD_SIZE" not in os.environ:
        if count > 1:
            if os.environ.get(LAUNCHED):  # else every process that it starts would start it again
                raise InputError(f"{LAUNCHER}: `{os.environ[LAUNCHER]}` sets no WORLD_SIZE; let it start torch.distributed.run")
            launch(count)
        return Processes()
    if (there := int(os.environ["WORLD_SIZE"])) != count:
        raise InputError(f"params.yaml: train.processes is {count}, but the launcher started {there}; make them agree")
    if count == 1:
        return Processes()
    dist.init_process_group(backend(int(os.environ.get("LOCAL_WORLD_SIZE", count))))
    return Processes(dist.get_rank(), count)


def backend(here: int) -> str:
    """How `here` processes of a machine talk: by NCCL where each has its own GPU, else by Gloo, which can share one."""
    alone = device().type == "cuda" and torch.cuda.device_count() >= here
    return "cpu:gloo,cuda:nccl" if alone else "gloo"


def launch(count: int) -> None:
    """Becomes the launcher, with the command that this process was started with; so signals go straight to it."""
    template = os.environ.get(LAUNCHER, LOCAL)
    try:
        command = [word.format(python=sys.executable, processes=count) for word in shlex.split(template)]
    except (ValueError, LookupError) as fault:
        raise InputError(f"{LAUNCHER}: `{template}` is no command ({fault}); write it as `{LOCAL}`") from None
    spec = sys.modules["__main__"].__spec__
    marked = {**os.environ, LAUNCHER: template, LAUNCHED: "yes"}
    try:
        os.execvpe(command[0], [*command, spec.name if spec else sys.argv[0], *sys.argv[1:]], marked)
    except OSError as fault:
        raise InputError(f"{LAUNCHER}: {command[0]} cannot be started ({fault}); name a launcher as in `{LOCAL}`") from None


@contextmanager
def listening(when: str) -> Iterator[None]:
    """Turns what a collective operation raises when another process is gone into one line; faults of this process stay as they are.

    `when`: "at step 7".
    """
    try:
        yield
    except RuntimeError as fault:
        said = str(fault).splitlines()[0] if str(fault) else ""
        if not isinstance(fault, dist.DistError) and "gloo" not in said:  # gloo begins with the path of its source file
            raise
        reason = (said.partition("] ")[2] or said).partition(" [")[0][:100]  # and ends with addresses
        raise InputError(f"training: {when} another process ended ({reason}); the last state is kept: run the same again") from None
