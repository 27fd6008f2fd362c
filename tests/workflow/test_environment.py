"""`make venv`, with which every target begins: what is made anew, and what is refused in one line."""

import os
import subprocess
import venv
from pathlib import Path

import pytest

from tests.workflow.clones import ROOT

PYTHON = """#!/bin/sh
case "$1" in
  -c) {fit};;
  --version) echo Python 3.10.9;;
  *) echo "$@" > {note};;
esac
"""


def made(folder: Path, tmp_path: Path, fit: bool = True, name: str = "python") -> tuple[str, str]:
    """What `make venv` asks of a Python that makes nothing, and what it says."""
    python, note = tmp_path / "python", tmp_path / "note"
    python.write_text(PYTHON.format(fit=str(fit).lower(), note=note))
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "--no-print-directory", "venv", f"MEMGAN_VENV={folder}", f"PYTHON={tmp_path / name}"],
        cwd=ROOT, env=os.environ | {"MAKEFLAGS": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    asked = note.read_text().strip() if note.exists() else ""
    assert bool(done.returncode) == ("needs" in done.stderr or "is no" in done.stderr), done.stderr
    return asked, done.stderr.splitlines()[0] if done.stderr else ""


def test_an_environment_that_fits_is_kept(tmp_path: Path):
    fits = tmp_path / "venv/bin/python"
    fits.parent.mkdir(parents=True)
    fits.write_text("#!/bin/sh\n")
    fits.chmod(0o755)
    assert made(tmp_path / "venv", tmp_path) == ("", "")


@pytest.mark.parametrize("kind", ["none", "empty", "half made"])
def test_what_does_not_fit_is_made_anew(tmp_path: Path, kind: str):
    folder = tmp_path / "venv"
    if kind == "empty":
        folder.mkdir()
    elif kind == "half made":
        venv.create(folder, with_pip=False, symlinks=True)
    assert made(folder, tmp_path) == (f"-m venv --clear {folder}", "")


def test_a_folder_of_other_things_is_never_cleared(tmp_path: Path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.tex").touch()
    asked, said = made(folder, tmp_path)
    assert not asked and said.startswith(f"{folder}: has no Python 3.11 or newer with pip, and is no virtual environment; name")


@pytest.mark.parametrize(("name", "what"), [("python", "Python 3.10.9"), ("nowhere", "not there")])
def test_a_python_that_is_too_old_is_named(tmp_path: Path, name: str, what: str):
    asked, said = made(tmp_path / "venv", tmp_path, fit=False, name=name)
    assert not asked and said.startswith(
        f"memgan needs Python 3.11 or newer; {tmp_path / name} is {what}; name another: make PYTHON="
    )
