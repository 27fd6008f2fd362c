"""Clones in which Table 1 has been made once, on one world; each test works on a copy.

Stand-ins made them, but for `snakemade`: a chain of real steps costs a minute and a half of processor time, nearly all of it to
import torch. What both engines make of the real steps stands in tests/e2e/test_engines.py; here they are for slow tests.
"""

from pathlib import Path

import pytest

from tests.workflow.clones import ONE_WORLD, Clone, make


@pytest.fixture(scope="session")
def made_by_snakemake(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """By the real steps, under Snakemake."""
    clone = make(tmp_path_factory.mktemp("snakemake") / "clone", ONE_WORLD)
    clone.snakemake()
    clone.commit()
    return clone


@pytest.fixture(scope="session")
def made_by_stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """By stand-ins, under Snakemake."""
    clone = make(tmp_path_factory.mktemp("stand-ins") / "clone", ONE_WORLD, stand_ins=True)
    clone.snakemake()
    clone.commit()
    return clone


@pytest.fixture
def snakemade(made_by_snakemake: Clone, tmp_path: Path) -> Clone:
    return made_by_snakemake.copy(tmp_path / "clone")


@pytest.fixture
def mocked(made_by_stand_ins: Clone, tmp_path: Path) -> Clone:
    return made_by_stand_ins.copy(tmp_path / "clone")


@pytest.fixture(scope="session")
def maximum(made_by_stand_ins: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """By stand-ins, under Snakemake, and made again with `pooling: max`: what a run that nobody disturbs makes of it."""
    clone = made_by_stand_ins.copy(tmp_path_factory.mktemp("max") / "clone")
    clone.edit("params.yaml", "pooling: avg", "pooling: max")
    clone.made = clone.snakemake()
    return clone
