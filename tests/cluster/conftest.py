"""A Slurm of our own on this one machine: everything that it writes lies in a temporary folder, and it ends with the tests."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

PLUGINS = Path(sys.prefix) / "cluster"  # where `make test-cluster` puts the executor plugins
CONFIG = """
ClusterName=memgan
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={worker}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MailProg=/bin/true
ReturnToService=2
# squeue is asked for the first jobs when the last has ended
MinJobAge=86400
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="session")
def plugins() -> dict[str, str]:
    """The environment in which Snakemake finds the executor plugins."""
    assert PLUGINS.is_dir(), f"there is no {PLUGINS}: run `make test-cluster`"
    return {"PYTHONPATH": str(PLUGINS)}


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A Slurm that takes jobs, as its commands find it: slurm.conf, and a folder that must come first on the PATH."""
    folder = tmp_path_factory.mktemp("slurm")
    folder.chmod(0o755)
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(mode=0o755)
    env = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    (folder / "slurm.conf").write_text(configuration(folder))
    put_srun(folder)
    with daemons(folder, env) as start:
        start("munged", *munge(folder), ready=(folder / "munge.socket").exists)
        start("slurmctld", "-D", ready=lambda: said(env, "scontrol", "ping"))
        start("slurmd", "-D", ready=lambda: said(env, "sinfo", "--noheader", "--states=idle"))
        yield folder / "slurm.conf", folder / "commands"


def put_srun(folder: Path) -> None:
    """In front of the real srun, one that knows our slurm.conf: within a job, the plugin drops SLURM_CONF from the environment."""
    srun = folder / "commands/srun"
    srun.parent.mkdir()
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)


def configuration(folder: Path) -> str:
    """slurm.conf: one node, all of this machine, on free ports, without accounting."""
    with socket.socket() as first, socket.socket() as second:
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
        controller, worker = first.getsockname()[1], second.getsockname()[1]
    memory = psutil.virtual_memory().total // 2**20 * 9 // 10
    host = socket.gethostname().partition(".")[0]
    return CONFIG.format(folder=folder, host=host, controller=controller, worker=worker, cores=os.cpu_count(), memory=memory)


def munge(folder: Path) -> list[str]:
    """The options of a munged with a key of its own; --force, because temporary folders are open to others."""
    key = folder / "munge/key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    places = {"key-file": key, "socket": folder / "munge.socket"} | {
        f"{what}-file": folder / f"munge/{what}" for what in ("pid", "log", "seed")
    }
    return ["--foreground", "--force", *(f"--{name}={path}" for name, path in places.items())]


@contextlib.contextmanager
def daemons(folder: Path, env: dict[str, str]) -> Iterator[Callable[..., None]]:
    """Starts programs in the foreground; in the end they, and all that they have started, are gone."""
    running: list[subprocess.Popen] = []

    def start(program: str, *arguments: str, ready: Callable[[], bool]) -> None:
        path = shutil.which(program, path=f"{env['PATH']}:/usr/sbin:/sbin")
        assert path, f"there is no {program}: run `make test-cluster`"
        log = folder / f"{program}.log"
        process = subprocess.Popen([path, *arguments], env=env, stdout=log.open("w"), stderr=subprocess.STDOUT)
        running.append(process)
        deadline = time.monotonic() + 120
        while not ready():
            assert process.poll() is None and time.monotonic() < deadline, f"{program} does not start:\n{log.read_text()[-3000:]}"
            time.sleep(0.2)

    try:
        yield start
    finally:
        for process in reversed(running):
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            for member in [*family, process]:
                with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                    member.kill()
            process.wait()


def said(env: dict[str, str], *command: str) -> bool:
    """Whether a command of Slurm succeeds and has something to say."""
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=30)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and bool(done.stdout.strip()) and "DOWN" not in done.stdout
