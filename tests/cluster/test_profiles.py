"""The cluster profiles say nothing that Snakemake and its plugins do not know."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.workflow.clones import ROOT, TABLE, Clone, make

pytestmark = pytest.mark.cluster
SETTINGS = """
import dataclasses, importlib, sys
module = importlib.import_module(f"snakemake_executor_plugin_{sys.argv[1]}")
print(*(field.name for field in dataclasses.fields(module.ExecutorSettings)))
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return make(tmp_path_factory.mktemp("profiles") / "clone")


@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_the_plugin_knows_every_option(plugins: dict[str, str], name: str):
    command = [sys.executable, "-c", SETTINGS, name]
    known = subprocess.run(command, env=plugins, capture_output=True, text=True, check=True).stdout.split()
    profile = yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())
    assert profile["executor"] == name
    prefix = f"{name}-"
    asked = {key.removeprefix(prefix).replace("-", "_") for key in profile if key.startswith(prefix)}
    assert asked <= set(known)


@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_snakemake_takes_the_profile(clone: Clone, plugins: dict[str, str], name: str):
    said = clone.run(f"snakemake -n --workflow-profile profiles/{name} {TABLE}", **plugins).stdout
    assert "would be run" in said or "dry-run" in said
    profile = Path(clone.path / f"profiles/{name}/config.yaml")
    text = profile.read_text()
    profile.write_text(text + f"{name}-nosuch: 1\n")
    done = clone.run(f"snakemake -n --workflow-profile profiles/{name} {TABLE}", check=False, **plugins)
    profile.write_text(text)
    assert done.returncode != 0
    assert "nosuch" in done.stdout
