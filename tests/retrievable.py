"""A very small world with a memory bank, as Snakemake lays it out: results/<dataset>/{images, vocabulary.json, ..., bank}."""

import os
import shutil
from pathlib import Path

import torch

from memgan.memory import bank
from memgan.memory.shards import Part, build
from memgan.params.load import read_yaml
from tests.scoring import World


def make_retrievable(root: Path, name: str = "birdworld", **counts: int) -> World:
    """Writes it into an empty folder, with params.yaml."""
    home = root / "results" / name
    home.mkdir(parents=True)
    world = World(home, name, **counts)
    shutil.copy(world.params_file, root / "params.yaml")
    ids = [row["id"] for row in world.rows["train"]]
    part = Part("v", len(ids), 8, lambda start, stop: {"v": torch.zeros(stop - start, 1)})
    build(home / "features", [part], {"ids": ids}, {"of": "tests"})
    before = Path.cwd()
    os.chdir(root)
    read_yaml.cache_clear()
    try:
        bank.main(name, world.inputs.images, world.inputs.vocabulary, world.inputs.damsm, home / "features", home / "bank")
    finally:
        os.chdir(before)
        read_yaml.cache_clear()
    return world
