"""The warm interpreter does what a new one would: streams, folder, environment, exit code, and an end with its caller."""

import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.xdist_group("e2e")


def test_a_module_has_its_callers_streams_folder_environment_and_exit_code(warm_python: str, tmp_path: Path):
    (tmp_path / "told.py").write_text("import os, sys\nprint(os.environ['WORD'], sys.argv[1:], input())\nsys.exit(7)\n")
    outcomes = [
        subprocess.run(
            [*python.split(), "-m", "told", "a b"], cwd=tmp_path, env={"WORD": "said"},
            input="read\n", capture_output=True, text=True, check=False,
        )
        for python in (warm_python, sys.executable)
    ]  # fmt: skip
    warm, new = ((one.returncode, one.stdout, one.stderr) for one in outcomes)
    assert warm == new == (7, "said ['a b'] read\n", "")


def test_a_module_ends_with_its_caller(warm_python: str, tmp_path: Path):
    (tmp_path / "waits.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n")
    with subprocess.Popen([*warm_python.split(), "-m", "waits"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as caller:
        step = psutil.Process(int(re.fullmatch(r"(\d+)\n", caller.stdout.readline())[1]))
        caller.kill()
    deadline = time.monotonic() + 30
    while step.is_running() and step.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it goes on"
        time.sleep(0.05)
