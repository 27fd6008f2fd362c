"""What the tests' clones hold does not depend on what was made in the working tree."""

import subprocess
from pathlib import Path

import pytest

from tests.workflow import clones


def test_records_of_a_users_runs_are_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    used = tmp_path / "used"
    committed = ["Snakefile", "src/module.py", "dvc.lock", "results/table1.csv", "tests/results.py"]
    new = ["notes.txt", "ablations/dvc.yaml", "results/birdworld/metrics.json"]
    for name in committed + new:
        (used / name).parent.mkdir(parents=True, exist_ok=True)
        (used / name).touch()
    for command in (["init", "-q"], ["add", *committed]):
        subprocess.run(["git", *command], cwd=used, check=True)
    monkeypatch.setattr(clones, "ROOT", used)
    fresh = clones.make(tmp_path / "fresh", nano=False)
    found = subprocess.run(["git", "ls-files"], cwd=fresh.path, capture_output=True, text=True, check=True).stdout.split()
    assert found == ["Snakefile", "notes.txt", "src/module.py", "tests/results.py"]
