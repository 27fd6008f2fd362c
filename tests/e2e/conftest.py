"""One run of the whole chain, which the end-to-end tests share."""

import os
import sys

import pytest

from tests.workflow.clones import Clone, make

# Stands before the real interpreter on the PATH: notes which entries of params.yaml each step reads, in a file a module.
PYTHON = f"""#!/bin/sh
case "$2" in memgan.*) MEMGAN_READS="$READS/$2"; export MEMGAN_READS;; esac
exec {sys.executable} "$@"
"""


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Table 1, the retrieval table and the figures, made in a clone; `reads/` beside it holds what each step has read."""
    folder = tmp_path_factory.mktemp("chain")
    shim = folder / "bin/python"
    shim.parent.mkdir()
    shim.write_text(PYTHON)
    shim.chmod(0o755)
    (folder / "reads").mkdir()
    clone = make(folder / "clone")
    clone.env |= {"PATH": f"{shim.parent}{os.pathsep}{clone.env['PATH']}", "READS": str(folder / "reads")}
    clone.snakemake("all results/retrieval.csv")
    return clone
