"""The rules themselves: what they make, how they are written, and what is refused before anything runs."""

import re
from collections import Counter
from pathlib import Path

import pytest

from memgan.params.load import read_yaml
from tests.workflow.clones import ROOT, TABLE, Clone, make, put_stand_ins, ran
from workflow import machine
from workflow.needs import code, processes, refuse_faults, refuse_overrides

RULES = "".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
TWICE = ["render", "preprocess", "vocabulary", "damsm", "evaluator", "vgg", "features", "bank", "train", "reference", "metrics"]
JOBS = {"table1": 1, "sample": 4} | dict.fromkeys([*TWICE, "extra_samples"], 2)
OTHER_RUN = "results/birdworld/untrained/0/metrics.json"
FILLED = {"input", "output", "wildcards", "log"}  # placeholders, when dvc.yaml is derived
SNAKEMAKES_OWN = ("Using workflow specific profile", "Config file params.yaml is extended")
MISTAKES = {
    "unknown entry": ("pooling: avg", "pooling: avg\nnosuch: 1", "nosuch"),
    "unknown value": ("pooling: avg", "pooling: min", "pooling"),
    "unknown entry of a block": ("  ema: 0.999", "  ema: 0.999\n  nosuch: 1", "train.nosuch"),
    "unknown data set": ("datasets: [birdworld, sceneworld]", "datasets: [birdworld, nosuch]", "nosuch"),
    "method of an unknown data set": ("methods: {}", "methods: {a: {dataset: nosuch, images: x, captions: y}}", "nosuch"),
    "misspelt entry": ("pooling: avg", "poolin: avg", "unknown entry `poolin`; is `pooling` meant?"),
    "misspelt entry of a run": (
        "  max: {pooling: max}",
        "  max: {poolin: max}",
        "unknown entry `runs.max.poolin`; is `pooling` meant?",
    ),
    "name that is no part of a file's": ("  max: {pooling: max}", "  a.b: {pooling: max}", "`runs.a.b`"),
    "seed below 0": ("seeds: [0]", "seeds: [-1]", "`seeds.0`"),
    "seed twice": ("seeds: [0]", "seeds: [0, 0]", "`seeds`: no value may come twice"),
    "no run of the paper": ("  ours: {}", "  paper: {}", "`runs` has no `ours`"),
    "ablation of no run": ("  seeds: [0, 1]", "  seeds: [0, 1]\n  leave_out: [nosuch]", "there is no run `nosuch`"),
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
def test_table1_is_made_by_default(clone: Clone):
    assert Counter(clone.planned("")) == JOBS


@pytest.mark.xdist_group("rules")
def test_figures_other_runs_and_own_data_are_made_by_name(clone: Clone):
    """Own data is downloaded, not rendered."""
    other = dict.fromkeys(["train", "extra_samples", "metrics"], 1) | {"sample": 2}
    named = Counter(clone.planned(f"{TABLE} all {OTHER_RUN} results/photos/images"))
    assert named == Counter(JOBS) + Counter(other) + Counter({"figures": 2, "download": 1, "preprocess": 1})


@pytest.mark.xdist_group("rules")
def test_retrieval_is_measured_without_training_a_gan(clone: Clone):
    upstream = ["render", "preprocess", "vocabulary", "damsm", "vgg", "features", "bank"]
    wanted = dict.fromkeys([*upstream, "retrieval", "examples"], 2) | {"retrieval_table": 1}
    assert Counter(clone.planned("results/retrieval.csv")) == wanted


@pytest.mark.xdist_group("rules")
def test_a_declared_method_is_scored_for_the_table(clone: Clone, params: Path):
    theirs = "images: README.md, captions: Makefile"
    entries = (
        f"{{one: {{dataset: birdworld, {theirs}}}, two: {{dataset: sceneworld, {theirs}}}, far: {{dataset: photos, {theirs}}}}}"
    )
    clone.edit("params.yaml", "methods: {}", f"methods: {entries}")
    assert Counter(clone.planned()) == JOBS | {"external_one": 1, "external_two": 1}  # the table is not about photos


@pytest.mark.xdist_group("rules")
def test_ablations_train_once_for_all_retrievals_and_leave_table_1_alone(clone: Clone):
    """Nano: two seeds of 17 runs on a data set of their own."""
    jobs = Counter(clone.planned("results/ablations.csv"))
    assert jobs["train"] == 2 * 11
    assert jobs["share"] == 2 * 6
    assert jobs["metrics"] == jobs["sample"] / 2 == 2 * 17
    assert jobs["damsm"] == jobs["reference"] == jobs["ablations"] == 1
    said = clone.run("snakemake -n results/ablations.csv").stdout
    assert "results/birdworld/" not in said and "results/birdworld_short/" in said
    jobs = Counter(clone.planned("results/sanity.csv"))
    assert (jobs["train"], jobs["metrics"], jobs["reference"], jobs["sanity"], jobs["table1"]) == (4, 4, 2, 1, 0)


@pytest.mark.xdist_group("rules")
def test_a_mistake_in_params_ends_in_one_line(clone: Clone, params: Path):
    clone.edit("params.yaml", "pooling: avg", "pooling: min")
    told_off(clone, f"snakemake -n {TABLE}", "pooling")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str):
    old, new, named = MISTAKES[mistake]
    text = (ROOT / "tests/e2e/params.yaml").read_text()
    assert text.count(old) == 1
    (tmp_path / "params.yaml").write_text(text.replace(old, new))
    monkeypatch.chdir(tmp_path)
    read_yaml.cache_clear()
    with pytest.raises(SystemExit, match=rf"^error: .*{re.escape(named)}"):
        refuse_faults()
    read_yaml.cache_clear()


@pytest.mark.xdist_group("rules")
def test_overrides_on_the_command_line_are_refused(clone: Clone):
    told_off(clone, f"snakemake -n {TABLE} --config pooling=max", "--config: `pooling` is 'max'")


def test_an_override_that_changes_nothing_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    read_yaml.cache_clear()
    refuse_overrides(read_yaml(Path("params.yaml")) | {"pooling": "avg"})
    with pytest.raises(SystemExit, match="has no entry `nosuch`"):
        refuse_overrides(read_yaml(Path("params.yaml")) | {"nosuch": 1})


def told_off(clone: Clone, command: str, named: str) -> None:
    done = clone.run(command, check=False)
    lines = [line for line in done.stdout.splitlines() if not line.startswith(SNAKEMAKES_OWN)]
    assert done.returncode == 1
    assert len(lines) == 1 and lines[0].startswith("error: ") and named in lines[0], done.stdout


@pytest.mark.xdist_group("rules")
def test_outside_a_git_clone_snakemake_works_alone(clone: Clone, tmp_path: Path):
    alone = Clone(tmp_path / "archive")
    clone.run(f"mkdir {alone.path} && git archive HEAD | tar -x -C {alone.path}")
    put_stand_ins(alone)
    asked = "data/birdworld/sources.json"
    for jobs in (["render"], []):
        said = alone.run(f"snakemake --cores 1 {asked}").stdout
        assert [line for line in said.splitlines() if line.startswith("record: ")] == [
            "record: no git clone here: Snakemake works alone, and nothing is recorded"
        ]
        assert ran(said) == jobs
    assert Counter(alone.planned()) == Counter(JOBS) - Counter(["render"])
    assert not (alone.path / "dvc.lock").exists()


@pytest.mark.xdist_group("rules")
def test_where_dvc_cannot_tell_snakemake_says_so_in_one_line_and_goes_on(clone: Clone, tmp_path: Path):
    """As after a merge that left its marks."""
    other = clone.copy(tmp_path / "other")
    path = other.path / "dvc.yaml"
    path.write_text(f"<<<<<<< HEAD\n{path.read_text()}")
    said = other.run(f"snakemake -n {TABLE}").stdout
    assert Counter(ran(said)) == JOBS
    (line,) = [line for line in said.splitlines() if line.startswith("record: ")]
    assert line.startswith("record: `dvc status` failed, so file times are trusted: ") and "dvc.yaml" in line
    assert "Traceback" not in said


def test_every_rule_says_all_that_it_must():
    for rule in re.split(r"^ *rule(?= \w+:$|:$)", RULES, flags=re.MULTILINE)[1:]:
        name = rule.partition(":")[0].strip() or "external"
        if name == "all":
            continue
        for directive in ("input", "output", "log", "benchmark", "conda", "resources", "shell"):
            assert f"    {directive}:\n" in rule, f"rule {name} has no {directive}"
        (module,) = re.findall(r'code\("(.+?)"\)', rule)
        shell = rule.partition("    shell:\n")[2]
        assert ' f"' not in shell, f"rule {name}: Snakemake reads its shell line late, when loop variables have other values"
        assert f"PYTHONPATH=src python -m {module} " in shell, f"rule {name} runs another module than it names"
        assert set(re.findall(r"{(\w+)", shell)) <= FILLED, f"rule {name}: a placeholder DVC cannot fill"


def test_a_training_on_several_processes_claims_cores_and_gpus_for_each(tmp_path, monkeypatch):
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("  max: {pooling: max}", "  max: {pooling: max, train: {processes: 4}}"))
    monkeypatch.chdir(tmp_path)
    read_yaml.cache_clear()
    asked = {run: processes({"dataset": "birdworld", "run": run}) for run in ("ours", "max")}
    read_yaml.cache_clear()
    assert asked == {"ours": 1, "max": 4}
    monkeypatch.setattr(machine, "GPUS", 8)
    assert [machine.gpu(count) for count in asked.values()] == [1, 4]
    monkeypatch.setattr(machine, "GPUS", 2)
    assert [machine.gpu(count) for count in asked.values()] == [1, 2]
    train = next(block for block in re.split(r"^ *rule ", RULES, flags=re.MULTILINE) if block.startswith("train:"))
    assert train.count("processes(wildcards)") == 3  # threads, share of the machine, GPUs


def test_every_rule_that_computes_with_networks_claims_a_gpu():
    """A job that claims none would share one with whatever runs beside it."""
    blocks = re.split(r"^ *rule ", RULES, flags=re.MULTILINE)[1:]
    modules = {block: re.search(r'code\("(memgan\.[\w.]+)"\)', block) for block in blocks}
    asks = {module[1]: "gpu=" in block for block, module in modules.items() if module}
    assert len(asks) > 15
    assert asks == {module: "src/memgan/device.py" in code(module) for module in asks}
