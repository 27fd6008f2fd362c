"""Both engines work over whatever way DVC puts files of its cache into the workspace."""

import hashlib
from pathlib import Path

import pytest

from tests.workflow.clones import Clone

ONWARD = ["extra_samples", "metrics", "sample", "table1", "train"]
GENERATOR = "results/birdworld/ours/0/generator.safetensors"


@pytest.mark.xdist_group("stand-ins")
@pytest.mark.parametrize(
    "links", ["hardlink", "symlink", *(pytest.param(links, marks=pytest.mark.slow) for links in ("reflink,copy", "copy"))]
)
def test_reruns_over_links(mocked: Clone, links: str):
    mocked.run(f"dvc config --local cache.type {links} && dvc checkout --relink -q")
    assert kind(mocked.path / GENERATOR) == {"hardlink": "hardlink", "symlink": "symlink"}.get(links, "file")
    mocked.edit("params.yaml", "pooling: avg", "pooling: max")
    assert sorted(set(mocked.snakemake())) == ONWARD  # over links that cannot be written through
    assert mocked.status() == {}
    mocked.edit("params.yaml", "\npooling: max", "\npooling: avg")
    assert mocked.repro() == []  # all from the run-cache
    assert kind(mocked.path / GENERATOR) == {"hardlink": "hardlink", "symlink": "symlink"}.get(links, "file")
    assert mocked.planned() == []
    assert damaged(mocked.path / ".dvc/cache/files/md5") == []


@pytest.mark.slow
@pytest.mark.xdist_group("real")
def test_real_steps_write_over_links(snakemade: Clone):
    snakemade.run("dvc config --local cache.type hardlink && dvc checkout --relink -q")
    assert kind(snakemade.path / GENERATOR) == "hardlink"
    snakemade.edit("params.yaml", "pooling: avg", "pooling: max")
    assert sorted(set(snakemade.snakemake())) == ONWARD
    assert snakemade.status() == {}
    assert damaged(snakemade.path / ".dvc/cache/files/md5") == []


def kind(path: Path) -> str:
    if path.is_symlink():
        return "symlink"
    return "hardlink" if path.stat().st_nlink > 1 else "file"


def damaged(cache: Path) -> list[Path]:
    """Files of the cache that are not what their names say."""
    files = [path for path in cache.glob("??/*") if path.is_file()]
    assert files
    return [
        path for path in files if hashlib.md5(path.read_bytes()).hexdigest() != path.parent.name + path.name.removesuffix(".dir")
    ]
