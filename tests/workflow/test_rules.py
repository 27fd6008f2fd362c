"""The rules themselves: what they make, how they are written, and what is refused before anything runs."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.workflow.clones import ROOT, TABLE, Clone, make

RULES = "".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
TWICE = ["render", "preprocess", "vocabulary", "damsm", "evaluator", "vgg", "features", "bank", "train", "reference", "metrics"]
JOBS = {"table1": 1, "sample": 4} | dict.fromkeys([*TWICE, "variations", "soa"], 2)
OTHER_RUN = "results/birdworld/untrained/0/metrics.json"
FILLED = {"input", "output", "wildcards", "log"}
SNAKEMAKES_OWN = ("Using workflow specific profile", "Config file params.yaml is extended")
MISTAKES = {
    "unknown entry": ("pooling: avg", "pooling: avg\nnosuch: 1", "nosuch"),
    "unknown value": ("pooling: avg", "pooling: min", "pooling"),
    "unknown entry of a block": ("  ema: 0.999", "  ema: 0.999\n  nosuch: 1", "train.nosuch"),
    "unknown data set": ("datasets: [birdworld, sceneworld]", "datasets: [birdworld, nosuch]", "nosuch"),
    "method of an unknown data set": ("methods: {}", "methods: {a: {dataset: nosuch, images: x, captions: y}}", "nosuch"),
    "no YAML": ("pooling: avg", "pooling: [avg", "params.yaml"),
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return make(tmp_path_factory.mktemp("rules") / "clone")


@pytest.fixture
def params(clone: Clone):
    """params.yaml of the clone, put back after the test."""
    path = clone.path / "params.yaml"
    text = path.read_text()
    yield path
    path.write_text(text)


@pytest.mark.xdist_group("rules")
def test_table1_is_made_by_default_and_by_name(clone: Clone):
    assert Counter(clone.planned("")) == JOBS
    assert Counter(clone.planned(TABLE)) == JOBS


@pytest.mark.xdist_group("rules")
def test_other_runs_and_figures_are_made_by_name(clone: Clone):
    assert Counter(clone.planned("all")) == JOBS | {"figures": 2}
    assert {"train", "sample", "metrics", "evaluator"} < set(clone.planned(OTHER_RUN))


@pytest.mark.xdist_group("rules")
def test_a_declared_method_is_scored_for_the_table(clone: Clone, params: Path):
    theirs = "images: README.md, captions: Makefile"
    entries = (
        f"{{one: {{dataset: birdworld, {theirs}}}, two: {{dataset: sceneworld, {theirs}}}, far: {{dataset: photos, {theirs}}}}}"
    )
    clone.edit("params.yaml", "methods: {}", f"methods: {entries}")
    assert Counter(clone.planned()) == JOBS | {"external_one": 1, "external_two": 1}  # the table is not about photos


@pytest.mark.xdist_group("rules")
def test_own_data_is_downloaded_and_not_rendered(clone: Clone):
    assert clone.planned("results/photos/images") == ["download", "preprocess"]


@pytest.mark.xdist_group("rules")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_params_ends_in_one_line(clone: Clone, params: Path, mistake: str):
    old, new, named = MISTAKES[mistake]
    clone.edit("params.yaml", old, new)
    told_off(clone, f"snakemake -n {TABLE}", named)


@pytest.mark.xdist_group("rules")
def test_overrides_on_the_command_line_are_refused(clone: Clone):
    told_off(clone, f"snakemake -n {TABLE} --config pooling=max", "--config: `pooling` is 'max'")
    clone.run(f"snakemake -n {TABLE} --config pooling=avg")


def told_off(clone: Clone, command: str, named: str) -> None:
    done = clone.run(command, check=False)
    lines = [line for line in done.stdout.splitlines() if not line.startswith(SNAKEMAKES_OWN)]
    assert done.returncode == 1
    assert len(lines) == 1 and lines[0].startswith("error: ") and named in lines[0], done.stdout


@pytest.mark.xdist_group("rules")
def test_outside_a_git_clone_snakemake_works_alone(clone: Clone, tmp_path: Path):
    alone = clone.copy(tmp_path / "archive")
    alone.run("rm -rf .git")
    done = alone.run("snakemake -n")
    assert [line for line in done.stdout.splitlines() if line.startswith("record: ")] == [
        "record: no git clone here: Snakemake works alone, and nothing is recorded"
    ]
    assert Counter(alone.planned()) == JOBS


@pytest.mark.xdist_group("rules")
def test_lint(clone: Clone):
    clone.run("snakemake --lint")


def test_format():
    command = [sys.executable, "-m", "snakefmt.snakefmt", "--check", "--line-length", "132", "Snakefile", "workflow"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_rule_says_all_that_it_must():
    for rule in re.split(r"^ *rule(?= \w+:$|:$)", RULES, flags=re.MULTILINE)[1:]:
        name = rule.partition(":")[0].strip() or "external"
        if name == "all":
            continue
        for directive in ("input", "output", "log", "benchmark", "conda", "shell"):
            assert f"    {directive}:\n" in rule, f"rule {name} has no {directive}"
        (module,) = re.findall(r'code\("(.+?)"\)', rule)
        shell = rule.partition("    shell:\n")[2]
        assert ' f"' not in shell, f"rule {name}: Snakemake reads its shell line late, when loop variables have other values"
        assert f"PYTHONPATH=src python -m {module} " in shell, f"rule {name} runs another module than it names"
        assert set(re.findall(r"{(\w+)", shell)) <= {"input", "output", "wildcards", "log"}, (
            f"rule {name}: a placeholder DVC cannot fill"
        )
