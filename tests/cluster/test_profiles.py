"""The cluster profiles say nothing that Snakemake and its plugins do not know."""

import os
import subprocess
import sys

import pytest
import yaml

from tests.workflow.clones import ROOT

pytestmark = pytest.mark.cluster
OPTIONS = """
from snakemake.cli import get_argument_parser
print(*(option.lstrip("-") for action in get_argument_parser()._actions for option in action.option_strings))
"""


@pytest.fixture(scope="module")
def options(plugins: dict[str, str]) -> set[str]:
    """Of Snakemake's command line, those of the plugins too: what a profile may set."""
    command = [sys.executable, "-c", OPTIONS]
    return set(subprocess.run(command, env=os.environ | plugins, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_every_entry_of_a_profile_is_an_option(options: set[str], name: str):
    profile = yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())
    assert profile["executor"] == name
    assert profile["rerun-incomplete"] is True  # else an output that the record distrusts would stop the run
    assert set(profile) <= options
    assert {f"{name}-namespace" if name == "kubernetes" else f"{name}-status-command"} <= options
    assert f"{name}-nosuch" not in options
