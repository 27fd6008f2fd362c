"""What is derived is not edited by hand, and what is said twice is the same."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import load_yaml
from packaging.requirements import Requirement
from ruamel.yaml import YAML

from memgan.errors import InputError
from memgan.params.schema import schema
from tests.workflow.clones import ROOT, TABLE, Clone, make
from workflow import lists
from workflow.record import stages

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CHECK = "PYTHONPATH=src python -m workflow.derive --check"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return make(tmp_path_factory.mktemp("derived") / "clone", nano=False)


@pytest.mark.xdist_group("rules")
def test_dvc_yaml_says_what_the_rules_say(clone: Clone, tmp_path: Path):
    clone.run(CHECK)
    other = clone.copy(tmp_path / "other")
    other.edit("workflow/rules/memory.smk", "memgan.memory.bank ", "memgan.memory.bank  ")
    done = other.run(CHECK, check=False)
    assert done.returncode == 1
    assert done.stdout == "error: dvc.yaml is not what the rules and params.yaml say; run `make dvc`\n"
    other.run(f"make --old-file=env dvc MEMGAN_VENV={sys.prefix}")
    other.run(CHECK)


LISTED = {
    "seeds": ("[0]", "[0, 1]", {"train@birdworld-ours-1", "metrics@sceneworld-ours-1"}),
    "datasets": (
        "[birdworld, sceneworld]",
        "[birdworld, birdworld_short]",
        {"damsm@birdworld_short", "metrics@birdworld_short-ours-0"},
    ),
}


@pytest.mark.xdist_group("rules")
@pytest.mark.parametrize("name", LISTED)
def test_what_params_yaml_lists_needs_no_derivation_but_for_the_table(clone: Clone, tmp_path: Path, name: str):
    old, new, wanted = LISTED[name]
    other = clone.copy(tmp_path / "other")
    other.edit("params.yaml", f"\n{name}: {old}", f"\n{name}: {new}")
    assert wanted < set(other.run("dvc stage list --name-only").stdout.split())
    assert other.run(CHECK, check=False).returncode == 1


@pytest.mark.xdist_group("stand-ins")
def test_results_of_a_changed_rule_are_not_recorded_as_the_old_rules(mocked: Clone):
    before = mocked.digests()
    mocked.edit("workflow/rules/report.smk", "memgan.report.table1 ", "memgan.report.table1  ")
    done = mocked.run(f"snakemake --cores 2 {TABLE}")
    assert "record: dvc.yaml does not say what the rules and params.yaml say of table1; not recorded: run `make dvc`" in done.stdout
    assert mocked.digests() == before
    mocked.run("PYTHONPATH=src python -m workflow.derive")
    mocked.snakemake()
    assert mocked.status() == {}


@pytest.mark.xdist_group("stand-ins")
def test_a_data_set_that_params_yaml_does_not_list_is_not_recorded(mocked: Clone):
    done = mocked.run("snakemake --cores 2 data/sceneworld/sources.json")
    assert "record: not recorded, since params.yaml does not list their data set or seed: render@sceneworld\n" in done.stdout
    assert mocked.status() == {}


@pytest.mark.xdist_group("stand-ins")
def test_a_table_of_other_seeds_than_dvc_yaml_names_is_refused(mocked: Clone):
    mocked.edit("params.yaml", "seeds: [0]", "seeds: [0, 1]")
    done = mocked.run("dvc repro --single-item table1", check=False)
    assert done.returncode != 0
    assert "error: dvc.yaml was derived for other seeds than params.yaml lists (0); run `make dvc`" in done.stdout


def test_what_cannot_be_derived_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = subprocess.run([sys.executable, "-m", "workflow.derive", "--runs", "nosuch"], cwd=ROOT, capture_output=True, text=True)
    assert (said.returncode, said.stderr.count("\n")) == (1, 1)
    assert said.stderr.startswith("error: params.yaml: there is no run `nosuch`")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="DVC works in a git clone"):
        stages.not_ignored(["results/table1.csv"])


@pytest.mark.xdist_group("rules")
def test_a_method_is_a_stage_and_without_its_files_said_in_one_line(tmp_path: Path):
    theirs = "methods: {mine: {dataset: birdworld, images: README.md, captions: Makefile}}"
    clone = make(tmp_path / "clone", ("methods: {}", theirs))
    stage = load_yaml(clone.path / "dvc.yaml")["stages"]["external_mine"]
    assert "results/birdworld/methods/mine.json" in str(stage["outs" if "outs" in stage else "metrics"])
    assert {"README.md", "Makefile"} <= set(stage["deps"]) and "methods.mine" in stage["params"]
    clone.edit("params.yaml", "images: README.md", "images: nowhere.zip")
    done = clone.run("PYTHONPATH=src python -m workflow.derive", check=False)
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith("error: Missing input files for rule external_mine") and "nowhere.zip" in last


@pytest.mark.parametrize(
    ("name", "then", "now"),
    [
        ("datasets", ["a", "b"], ["a"]),
        ("methods", {}, {"theirs": {"dataset": "a"}}),
        ("runs", {"ours": {}, "max": {"pooling": "max"}}, {"ours": {}}),
        ("ablations", {"dataset": "a", "seeds": [0, 1]}, {"dataset": "a", "seeds": [0]}),
    ],
)
def test_whatever_a_table_gathers_is_checked(name: str, then: Any, now: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lists.py", f"{name}={lists.listed(then)}"])
    Path("params.yaml").write_text(yaml.safe_dump({name: then}, sort_keys=False))
    lists.main()
    Path("params.yaml").write_text(yaml.safe_dump({name: now}, sort_keys=False))
    with pytest.raises(SystemExit, match=f"derived for other {name} "):
        lists.main()


@pytest.mark.xdist_group("stand-ins")
def test_samples_in_other_shards_than_dvc_yaml_names_are_refused(mocked: Clone):
    mocked.edit("params.yaml", "shards: 2", "shards: 3")
    done = mocked.run("dvc repro --single-item sample@birdworld-ours-0", check=False)
    assert done.returncode != 0
    assert "--config: `shards` is 2, but params.yaml says 3" in done.stdout


@pytest.mark.xdist_group("stand-ins")
def test_other_runs_are_recorded_apart(mocked: Clone):
    """A bare `dvc repro` makes Table 1; stages of other runs are derived as they are made."""
    asked = "results/birdworld/untrained/0/metrics.json"
    rules = {"train", "sample", "extra_samples", "metrics"}
    assert set(mocked.snakemake(asked)) == rules
    assert mocked.status() == {}
    stages = mocked.run("dvc stage list --name-only ablations/dvc.yaml").stdout.split()
    assert {stage.partition(":")[2] for stage in stages} == {f"{rule}@birdworld-untrained-0" for rule in rules}
    mocked.run(CHECK)
    mocked.edit("params.yaml", "train: {epochs: 0}", "train: {epochs: 1}")
    assert mocked.repro() == []
    assert mocked.repro("-P") == sorted(f"ablations/dvc.yaml:{rule}" for rule in rules)
    assert mocked.planned(asked) == []


@pytest.mark.parametrize("path", ["params.yaml", "tests/e2e/params.yaml"])
def test_dvc_reads_the_same_parameters(path: str):
    """Its YAML is another, which refuses `[https://...]` without quotes."""
    assert load_yaml(str(ROOT / path)) == yaml.safe_load((ROOT / path).read_text())


def test_dvc_parses_yaml_in_c():
    """It reads params.yaml for each stage, which takes three times as long without ruamel.yaml.clib."""
    assert YAML(typ="safe").Parser.__module__ != "ruamel.yaml.parser"


def test_the_schema_says_what_the_classes_say():
    assert (ROOT / "workflow/schemas/params.schema.json").read_text() == schema(), "run `make dvc`"


def test_the_conda_environment_has_the_same_dependencies():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    plain = [entry for entry in conda if isinstance(entry, str)]
    (extra,) = [entry["pip"] for entry in conda if isinstance(entry, dict)]
    wanted = {f"python{PROJECT['project']['requires-python']}", "pip", *PROJECT["project"]["dependencies"]}
    assert {*plain, *extra} == wanted


def test_the_lock_file_has_exact_versions_of_all_dependencies():
    files = "".join((ROOT / name).read_text() for name in ("requirements.lock", "requirements-cluster.lock"))
    lines = [line for line in files.splitlines() if line and not line.startswith("#")]
    locked = {normal(requirement.name): requirement for requirement in map(Requirement, lines)}
    assert len(locked) == len(lines)
    assert all(re.fullmatch(r"==[^*]+", str(requirement.specifier)) and not requirement.url for requirement in locked.values())
    extras, groups = PROJECT["project"]["optional-dependencies"], PROJECT["dependency-groups"]
    wanted_too = [wanted for group in (*extras.values(), *groups.values()) for wanted in group]
    for wanted in map(Requirement, [*PROJECT["project"]["dependencies"], *wanted_too]):
        exact = locked[normal(wanted.name)]
        (pin,) = exact.specifier
        assert pin.version in wanted.specifier, f"{wanted} is locked to {pin.version}"
        assert wanted.marker is None or exact.marker is not None


def test_tests_run_with_the_locked_versions():
    """Else they say nothing about what `make table1` installs."""
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate():
                assert f"=={version(requirement.name).partition('+')[0]}" == str(requirement.specifier), requirement.name


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
