"""The ablations' graph under both engines: apart from Table 1, recorded as it is made, made by either.

Stand-ins, with three runs and one seed: one run trains otherwise, one only retrieves otherwise.
"""

import re

import pytest

from tests.workflow.clones import ONE_WORLD, Clone, make

TABLE = "results/ablations.csv"
RUNS = ("ours", "max", "random")
DERIVE = "PYTHONPATH=src python -m workflow.derive"
SAMPLED = {"sample", "extra_samples"}
ONWARD = {"ablations", "metrics"}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Nothing made yet."""
    clone = make(tmp_path_factory.mktemp("ablations") / "clone", ONE_WORLD, ("  seeds: [0, 1]", "  seeds: [0]"), stand_ins=True)
    params = clone.path / "params.yaml"
    head, runs = params.read_text().split("\nruns:\n")
    kept = [entry for entry in re.split(r"^(?=  \w)", runs, flags=re.MULTILINE) if entry.partition(":")[0].strip() in RUNS]
    assert len(kept) == len(RUNS)
    params.write_text(f"{head}\nruns:\n{''.join(kept)}\nmethods: {{}}\n")
    clone.commit()
    return clone


@pytest.mark.xdist_group("ablations")
def test_what_snakemake_makes_dvc_remembers(bare: Clone, tmp_path_factory: pytest.TempPathFactory):
    clone = bare.copy(tmp_path_factory.mktemp("by-snakemake") / "clone")
    ran = clone.snakemake(TABLE)
    assert [ran.count(rule) for rule in ("train", "share", "metrics", "ablations")] == [2, 1, 3, 1]
    assert "table1" not in ran
    stages = clone.run("dvc stage list --name-only ablations/dvc.yaml").stdout.split()
    names = {stage.partition(":")[2] for stage in stages}
    assert {"ablations", "share@birdworld_short-random-0", "train@birdworld_short-ours-0", "damsm@birdworld_short"} < names
    assert not any("birdworld-" in name for name in names)
    changed = clone.status()
    assert not [address for address in changed if address.startswith("ablations")], changed
    assert clone.planned(TABLE) == []
    clone.run(f"{DERIVE} --check")
    before = (clone.path / "ablations/dvc.yaml").read_text()
    clone.run(f"{DERIVE} --ablations")
    listed = clone.run("dvc stage list --name-only ablations/dvc.yaml").stdout.split()
    assert set(listed) >= set(stages), "what was made is part of what can be asked for"
    (clone.path / "ablations/dvc.yaml").write_text(before)
    # one run changes: its jobs and the table, under Snakemake; nothing is left for DVC
    clone.edit("params.yaml", "  max: {pooling: max}", "  max: {pooling: max, train: {ema: 0.9}}")
    assert set(clone.planned(TABLE)) - SAMPLED == ONWARD | {"train"}
    assert set(clone.snakemake(TABLE)) - SAMPLED == ONWARD | {"train"}
    assert clone.repro("ablations/dvc.yaml") == []
    # retrieval changes: no training
    clone.edit("params.yaml", "{strategy: random}", "{strategy: oracle}")
    assert set(clone.planned(TABLE)) - SAMPLED == ONWARD | {"share"}


@pytest.mark.xdist_group("ablations")
def test_what_dvc_makes_snakemake_knows(bare: Clone, tmp_path_factory: pytest.TempPathFactory):
    clone = bare.copy(tmp_path_factory.mktemp("by-dvc") / "clone")
    clone.run(f"{DERIVE} --ablations")
    ran = clone.repro("ablations/dvc.yaml:ablations")
    assert [sum(stage.endswith(rule) for stage in ran) for rule in (":train", ":share", ":metrics", ":ablations")] == [2, 1, 3, 1]
    assert clone.planned(TABLE) == []


@pytest.mark.slow
@pytest.mark.xdist_group("ablations")
def test_a_run_that_now_trains_by_itself_takes_over_its_files(bare: Clone, tmp_path_factory: pytest.TempPathFactory):
    """Its stage moves from `share` to `train`: no two stages may name the same file."""
    clone = bare.copy(tmp_path_factory.mktemp("moved") / "clone")
    clone.snakemake(TABLE)
    clone.edit("params.yaml", "{strategy: random}", "{strategy: random}\n    train: {ema: 0.9}")
    assert set(clone.snakemake(TABLE)) - SAMPLED == ONWARD | {"train"}
    assert clone.planned(TABLE) == []
    assert "share@" not in clone.run("dvc stage list --name-only ablations/dvc.yaml").stdout
    clone.run(f"{DERIVE} --check")
