"""Small trainings in processes of their own, which tests kill, signal and couple: twelve images, a few thousand weights.

The processes are forked from a server that has imported everything, so each costs no more than its steps.
"""

import multiprocessing
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from memgan.params.load import read_yaml
from tests.untrained import make_world

NANO: dict[str, dict[str, Any]] = {
    "gan": {"stages": 2, "z": 6, "condition": 6, "ngf": 4, "ndf": 4, "acm_width": 4},
    "train": {"batch": 4, "epochs": 4, "r1_interval": 3},
}
INPUTS = ("images", "vocabulary", "damsm", "vgg", "features", "bank")
CONTEXT = multiprocessing.get_context("forkserver")
PRELOAD = ["memgan.gan.train", "tests.trainings"]


class Trainings:
    """A folder in which runs can be trained; `runs` as in params.yaml."""

    def __init__(self, root: Path, runs: dict[str, dict[str, Any]]):
        self.root = root
        made = make_world(root)
        path = root / "params.yaml"
        params = yaml.safe_load(path.read_text())
        for block, changes in NANO.items():
            params[block] |= changes
        path.write_text(yaml.safe_dump(params | {"runs": {"ours": {}} | runs}))
        here = Path.cwd()
        os.chdir(root)
        read_yaml.cache_clear()
        made.features()
        made.bank()
        os.chdir(here)
        read_yaml.cache_clear()

    def folder(self, run: str) -> Path:
        """Where a run's results go."""
        return self.root / "results/birdworld" / run / "0"

    def arguments(self, run: str) -> dict[str, Any]:
        """Of the step's `main`."""
        given = {name: self.root / name for name in INPUTS}
        out = {"out": self.folder(run) / "generator.safetensors", "curves": self.folder(run) / "curves.csv"}
        return {"dataset": "birdworld", "run": run, "seed": 0} | given | out

    def states(self, run: str) -> list[Path]:
        """Files of its states."""
        return list((self.folder(run) / "state/generator").glob("*/*.pt"))

    def started(self, run: str, **env: str) -> Any:
        """A training in a process of its own; what it says goes to `said`."""
        CONTEXT.set_forkserver_preload(PRELOAD)  # heard at the first start only
        process = CONTEXT.Process(target=train, args=(self.root, self.arguments(run), self.log(run, env), env))
        process.start()
        return process

    def log(self, run: str, env: dict[str, str]) -> Path:
        """The log of a process."""
        return self.root / f"{run}-{env.get('RANK', 0)}.log"

    def said(self, run: str, rank: int = 0) -> str:
        """What a process has said."""
        return self.log(run, {"RANK": str(rank)}).read_text()

    def done(self, run: str, **env: str) -> dict[str, bytes]:
        """Trains to the end. The results' bytes."""
        process = self.started(run, **env)
        process.join(600)
        assert process.exitcode == 0, self.said(run)
        return self.results(run)

    def results(self, run: str) -> dict[str, bytes]:
        """Bytes of what a run has written."""
        return {name: (self.folder(run) / name).read_bytes() for name in ("generator.safetensors", "curves.csv")}

    def wait_for_state(self, run: str, process: Any) -> None:
        """Until a state has been written that was not there."""
        before = {path: path.stat().st_mtime_ns for path in self.states(run)}
        while process.is_alive():
            if any(path.stat().st_mtime_ns != before.get(path) for path in self.states(run)):
                return
            time.sleep(0.005)


def together(size: int) -> list[dict[str, str]]:
    """Environments of processes that train together, as a launcher sets them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [shared | {"RANK": str(rank)} for rank in range(size)]


def train(root: Path, arguments: dict[str, Any], log: Path, env: dict[str, str]) -> None:
    """What `python -m memgan.gan.train` does, in a process of its own."""
    import torch

    from memgan import steps
    from memgan.gan.train import main

    os.environ.update({"MEMGAN_LIVE": "off", "MEMGAN_STATE_EVERY": "0"} | env)
    os.chdir(root)
    read_yaml.cache_clear()
    torch.set_flush_denormal(True)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
    steps.start_log(log)
    steps.guarded(main)(**arguments)
