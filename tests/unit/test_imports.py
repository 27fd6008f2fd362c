"""Which files count as a step's code."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from memgan import imports
from memgan.imports import code_of

FILES = {
    "memgan/__init__.py": "",
    "memgan/a.py": "import memgan.b, memgan.told.g\n",
    "memgan/b.py": "def f():\n    if True:\n        from memgan import c\n",
    "memgan/c.py": "try:\n    pass\nexcept ValueError:\n    from .deep.d import x\nx = 'import memgan.e'\n",
    "memgan/deep/__init__.py": "VALUE = 1\n",
    "memgan/deep/d.py": "import memgan.a\n\nmatch 1:\n    case 1:\n        from ..f import y\n",
    "memgan/e.py": "",
    "memgan/f.py": "import json, torch.memgan.e\n",
    "memgan/told/__init__.py": "'''A docstring.'''\n",
    "memgan/told/g.py": "",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_all_that_is_imported_counts_wherever_the_import_stands(source: Path):
    """In functions, handlers and cases, in circles; not in strings; packages only where they hold code."""
    named = ["a.py", "b.py", "c.py", "deep/__init__.py", "deep/d.py", "f.py", "told/g.py"]
    assert code_of("memgan.a", source) == [Path("memgan", name) for name in named]


def test_what_is_not_imported_does_not_count(source: Path):
    assert code_of("memgan.f", source) == [Path("memgan/f.py")]
    assert code_of("memgan.nosuch", source) == []


@pytest.mark.parametrize("step", ["memory.features", "memory.bank", "gan.train", "gan.sample"])
def test_what_only_reads_networks_depends_on_no_training_of_them_and_on_no_download(step: str):
    needed = {path.name for path in code_of(f"memgan.{step}")}
    assert {"fit.py", "device.py"} <= needed
    assert not needed & {"damsm.py", "vgg.py", "evaluator.py", "imagenet.py", "published.py", "fetch.py"}


def test_what_judges_images_depends_on_no_code_that_renders_a_data_set():
    needed = {path.name for path in code_of("memgan.metrics.measure")}
    assert {"readers.py", "bird_captions.py", "scene_captions.py"} <= needed
    assert not needed & {"birdworld.py", "sceneworld.py", "packing.py", "evaluator.py", "examples.py"}


def test_what_was_found_before_holds_until_a_file_changes(source: Path):
    """In processes of their own, as the engines and the steps are."""
    shutil.copy(imports.__file__, source / "memgan/imports.py")
    notes = source / "memgan/__pycache__/imports.json"
    ask = [sys.executable, "-c", "from memgan.imports import code_of; print([path.name for path in code_of('memgan.f')])"]

    def found() -> str:
        return subprocess.run(ask, cwd=source, capture_output=True, text=True, check=True).stdout.strip()

    assert found() == "['f.py']"
    known = json.loads(notes.read_text())
    assert [Path(path).name for path in known if path.endswith("f.py")] == ["f.py"]
    known[str(source / "memgan/f.py")]["imports"] = [[0, "memgan.e", []]]  # what stands there is believed
    notes.write_text(json.dumps(known))
    assert found() == "['e.py', 'f.py']"
    (source / "memgan/f.py").write_text("import memgan.b\nimport memgan.told\n")
    assert found() == "['a.py', 'b.py', 'c.py', '__init__.py', 'd.py', 'f.py', 'g.py']"
    for content in ("{", "[1]", ""):
        notes.write_text(content)
        assert found() == "['a.py', 'b.py', 'c.py', '__init__.py', 'd.py', 'f.py', 'g.py']"
