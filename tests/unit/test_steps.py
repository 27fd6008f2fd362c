"""What all steps share."""

import json
import os
import subprocess
import sys
from pathlib import Path

import colorama.initialise
import pytest
from tqdm.contrib.logging import logging_redirect_tqdm

from memgan import steps

PROGRAM = """
import faiss, json, numpy, torch
from threadpoolctl import threadpool_info
from memgan import steps
steps.set_threads(1)
import scipy.linalg
print(json.dumps([pool["num_threads"] for pool in threadpool_info()] + [faiss.omp_get_max_threads(), torch.get_num_threads()]))
"""


def test_threads_are_those_of_params_and_not_of_the_environment():
    """Snakemake sets OMP_NUM_THREADS for its jobs, DVC does not: the order of sums must not depend on the engine."""
    env = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True)
    counts = json.loads(done.stdout)
    assert len(counts) > 4
    assert set(counts) == {1}


def test_a_full_disk_cuts_a_log_off_without_a_traceback(capfd) -> None:
    steps.start_log(Path("/dev/full"))
    try:
        for k in range(3):
            steps.log.info("line %d", k)
    finally:
        steps.start_log(None)
        steps.log.handlers.clear()
    assert capfd.readouterr().err.splitlines() == ["line 0", "line 1", "line 2"]


def test_a_line_is_said_once_beside_a_bar_whatever_wraps_standard_error(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    steps.start_log(None)
    monkeypatch.setattr(sys, "stderr", colorama.initialise.wrap_stream(sys.stderr, True, True, None, True))  # as DVC does
    with logging_redirect_tqdm([steps.log]):
        steps.log.info("one line")
    assert capsys.readouterr().err.count("one line") == 1
