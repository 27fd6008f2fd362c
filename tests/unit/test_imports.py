"""Which files count as a step's code."""

from pathlib import Path

import pytest

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
