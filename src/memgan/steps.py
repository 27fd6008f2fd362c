"""What all steps share when they run as `python -m memgan.<module>`: arguments, log, errors."""

import logging
import os
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TextIO, TypeVar

import typer
from tqdm import tqdm

from memgan.errors import InputError

log = logging.getLogger("memgan")
T = TypeVar("T")
P = ParamSpec("P")


def run(main: Callable[..., None]) -> None:
    """Runs a step's `main` on the command line's arguments.

    `--log PATH`, which every step takes, also writes what is said there. An InputError ends in one line and exit code 1.
    """
    arguments = list(sys.argv[1:])
    path, first = None, os.environ.get("RANK", "0") == "0"
    if "--log" in arguments[:-1]:
        at = arguments.index("--log")
        path, arguments = Path(arguments[at + 1]), arguments[:at] + arguments[at + 2 :]
    start_log(path if first else None)
    log.disabled = not first  # of several processes that share the work, one speaks
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(guarded(main))
    app(args=arguments, prog_name=f"python -m {_module(main)}")


def guarded(main: Callable[P, T]) -> Callable[P, T]:
    """`main`, with a user's mistake turned into one line on standard error and exit code 1."""

    @wraps(main)
    def safely(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return main(*args, **kwargs)
        except InputError as fault:
            log.error("error: %s", " ".join(str(fault).split()))
            sys.exit(1)

    return safely


class Console(logging.StreamHandler):
    """Standard error as it is now. DVC puts a wrapper in its place, and tqdm, which clears its bar before a line is printed, knows
    a console by its very stream: a line would be printed by both."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """sys.stderr."""
        return sys.stderr


class LogFile(logging.FileHandler):
    """A log that a full disk cuts off: what is said stands on standard error all the same, without a traceback a line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Called while the fault is handled."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def start_log(path: Path | None) -> None:
    """Sends messages to standard error and, if `path` is given, to that file, made anew."""
    log.handlers.clear()
    log.setLevel(logging.INFO)
    log.propagate = False
    handlers: list[logging.Handler] = [Console()]
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(LogFile(path, mode="w", encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterable[T]:
    """A bar on a terminal; elsewhere (a log, a cluster) nothing but a line at the end."""
    bar = tqdm(items, desc=what, total=total, disable=not sys.stderr.isatty(), leave=False)
    count = 0
    for item in bar:
        yield item
        count += 1
    log.info("%s: %d done", what, count)


def cores() -> int:
    """Cores that this process may run on; all of the machine's where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(count: int) -> None:
    """Fixes the threads of torch, NumPy and FAISS, whatever OMP_NUM_THREADS says, and asks for deterministic kernels.

    The number of threads changes the order of sums; Snakemake sets the variable for its jobs, DVC and a shell do not. torch would
    also fill all memory that it takes, so that a kernel which reads what nobody wrote is deterministic too. No kernel here does,
    and the filling takes a twenty-fifth of a step's time.
    """
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(count)  # of every BLAS and OpenMP that is loaded by now: NumPy's, FAISS's
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(count)  # of those that are loaded later: SciPy's
    torch.set_num_threads(count)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without, products on a GPU may differ from run to run
    torch.use_deterministic_algorithms(True, warn_only=True)
    for kind in (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn):
        kind.fp32_precision = "ieee"  # float32 is float32 on a GPU too, unless `train.precision` says tf32
    torch.utils.deterministic.fill_uninitialized_memory = False


def _module(main: Callable[..., None]) -> str:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec.name if spec else main.__module__
