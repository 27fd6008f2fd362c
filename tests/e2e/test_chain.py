"""The whole chain of Table 1 on tiny data, by the commands that users type."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.workflow.clones import ROOT, TABLE, Clone, make

pytestmark = pytest.mark.xdist_group("e2e")


def rows(clone: Clone) -> list[dict[str, str]]:
    with (clone.path / TABLE).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_published_and_measured_rows(chain: Clone):
    measured = [row for row in rows(chain) if row["source"] == "measured"]
    published = [row for row in rows(chain) if row["source"] == "published"]
    assert {row["dataset"] for row in measured} == {"birdworld", "sceneworld"}
    assert not {row["dataset"] for row in published} & {row["dataset"] for row in measured}
    assert all(row["extractor"] and row["n"] for row in measured if row["metric"].startswith("FID"))
    assert {row["seed"] for row in measured if row["method"].startswith("Ours")} == {"0"}
    assert (chain.path / "results/table1.md").read_text().count("|") > 20


def test_figures_are_drawn(chain: Clone):
    for world in ("birdworld", "sceneworld"):
        drawn = {path.stem for path in (chain.path / f"results/{world}/ours/0/figures").glob("*.png")}
        assert {"samples", "curves", "copy", "diversity"} <= drawn


def test_a_step_reads_only_the_entries_that_its_rule_declares(chain: Clone):
    stages = yaml.safe_load((chain.path / "dvc.yaml").read_text())["stages"]
    modules = {file.name: set(file.read_text().split()) for file in (chain.path.parent / "reads").iterdir()}
    assert len(modules) > 10
    for stage in stages.values():
        command = stage["cmd"] if isinstance(stage["cmd"], str) else stage["cmd"][-1]
        (module,) = [word for word in command.split() if word.startswith("memgan.")]
        declared = {fill(key, world) for key in stage.get("params", []) for world in ("birdworld", "sceneworld")}
        unsaid = {key for key in modules.get(module, set()) if not any(f"{key}.".startswith(f"{one}.") for one in declared)}
        assert not unsaid, f"{module} reads {sorted(unsaid)}, which its rule does not declare"


def test_a_rule_declares_only_entries_that_its_step_can_read(chain: Clone):
    """An entry too many would rerun a step for nothing."""
    stages = yaml.safe_load((chain.path / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        command = stage["cmd"] if isinstance(stage["cmd"], str) else stage["cmd"][-1]
        (module,) = [word for word in command.split() if word.startswith("memgan.")]
        path = chain.path.parent / "reads" / module
        read = set(path.read_text().split()) if path.exists() else set()
        idle = {key for key in stage.get("params", []) if not any(key_read(key, one) for one in read)}
        assert idle <= LISTS, f"rule {name} declares {sorted(idle)}, which {module} does not read"


LISTS = {"datasets", "methods", "seeds", "shards"}  # say which jobs there are


def key_read(declared: str, read: str) -> bool:
    return any(f"{read}.".startswith(f"{fill(declared, world)}.") for world in ("birdworld", "sceneworld"))


def fill(key: str, world: str) -> str:
    return key.replace("${item.dataset}", world).replace("${item.run}", "ours")


def test_the_same_again_has_nothing_to_do(chain: Clone):
    assert chain.planned() == []
    assert chain.planned("all") == []


@pytest.mark.photos
def test_photographs_as_a_users_own_data(tmp_path: Path, warmed: Callable[[Clone], Clone]):
    photos = str((ROOT / "../shared/data/photos").resolve())
    clone = warmed(make(tmp_path / "clone", ("datasets: [birdworld, sceneworld]", "datasets: [photos]")))
    params = clone.path / "params.yaml"
    params.write_text(params.read_text().replace("../shared/data/photos", photos))
    clone.snakemake()
    measured = [row for row in rows(clone) if row["source"] == "measured"]
    assert {row["dataset"] for row in measured} == {"photos"}
