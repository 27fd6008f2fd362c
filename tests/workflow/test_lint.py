"""`make lint`, so that `make test` has all of it: the commands are read out of the Makefile."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.clones import ROOT

TARGET = re.search(r"^lint:.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
COMMANDS = [line.strip() for line in TARGET[1].splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_found(command: str):
    env = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),  # these imports, not those of another clone that is installed
    }
    done = subprocess.run(
        command, shell=True, cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}:\n{done.stdout}"


def test_every_tool_is_called():
    called = {tuple(command.split()[:2]) for command in COMMANDS}
    assert {("ruff", "check"), ("ruff", "format"), ("snakefmt", "--check"), ("snakemake", "--lint")} < called
    assert ("lint-imports",) in called
