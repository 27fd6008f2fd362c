"""One run of the whole chain, which the end-to-end tests share."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import warm
from tests.workflow.clones import ROOT, Clone, make

# Stands before the real interpreter on the PATH: steps start in a warm one, and note which entries of params.yaml each of them
# reads, in a file a module.
PYTHON = """#!/bin/sh
case "$2" in memgan.*) MEMGAN_READS="$READS/$2"; export MEMGAN_READS; exec {step} "$@";; esac
exec {python} "$@"
"""


@pytest.fixture(scope="session")
def warm_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The command that runs modules in a warm interpreter; only on Linux can what has loaded all of torch be forked safely."""
    if sys.platform != "linux":
        yield sys.executable
        return
    door = tmp_path_factory.mktemp("warm") / "door"
    env = Clone(door).env | {"OPENBLAS_NUM_THREADS": "1"}  # no threads before the forks
    with subprocess.Popen([sys.executable, "-m", "tests.e2e.warm", str(door)], cwd=ROOT, env=env) as server:
        while not door.exists():
            assert server.poll() is None, "the warm interpreter has ended"
            time.sleep(0.05)
        yield f"{sys.executable} -I -S {Path(warm.__file__)} {door}"
        server.terminate()


@pytest.fixture(scope="session")
def warmed(warm_python: str) -> Callable[[Clone], Clone]:
    """Has a clone's steps start in the warm interpreter; what each has read of params.yaml then stands in `reads/` beside it."""

    def change(clone: Clone) -> Clone:
        shim, reads = clone.path.parent / "bin/python", clone.path.parent / "reads"
        for folder in (shim.parent, reads):
            folder.mkdir()
        shim.write_text(PYTHON.format(step=warm_python, python=sys.executable))
        shim.chmod(0o755)
        clone.env |= {"PATH": f"{shim.parent}{os.pathsep}{clone.env['PATH']}", "READS": str(reads)}
        return clone

    return change


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory, warmed: Callable[[Clone], Clone]) -> Clone:
    """Table 1, the retrieval table and the figures, made in a clone."""
    clone = warmed(make(tmp_path_factory.mktemp("chain") / "clone"))
    clone.snakemake("all results/retrieval.csv")
    return clone
