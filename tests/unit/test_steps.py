"""What all steps share."""

import json
import os
import subprocess
import sys

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
