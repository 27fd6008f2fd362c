"""Another system's samples: an entry of params.yaml becomes a row of Table 1, under both engines."""

import csv
import tarfile
import zipfile
from pathlib import Path

import pytest

from memgan.artifacts import read_json
from tests.workflow.clones import TABLE, Clone

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.slow]
ENTRIES = """methods:
  folder: {name: A folder, dataset: birdworld, images: theirs, captions: theirs.csv}
  archive: {name: An archive, dataset: birdworld, images: their images.zip, captions: theirs.csv, uses: boxes}
"""
NOT_THEIRS = {"diversity", "distance to retrieved", "distance to random", "copy ratio"}  # scores that need our memory


def hand_in(clone: Clone) -> None:
    """Our own samples, as somebody else would hand them in: a folder, an archive, and what each image was made from."""
    with (clone.path / "theirs.csv").open("w", newline="") as file, zipfile.ZipFile(clone.path / "their images.zip", "w") as zipped:
        writer = csv.writer(file)
        writer.writerow(["image", "caption_id"])
        for shard in sorted((clone.path / "results/birdworld/ours/0/samples").glob("[0-9].tar")):
            with tarfile.open(shard) as archive:
                archive.extractall(clone.path / "theirs", filter="data")
            for record in read_json(shard.with_suffix(".json"))["samples"]:
                name = f"{record['index']:06d}.png"
                writer.writerow([name, record["caption_id"]])
                zipped.writestr(name, (clone.path / "theirs" / name).read_bytes())


def rows(clone: Clone, method: str) -> dict[str, tuple[str, ...]]:
    with (clone.path / TABLE).open(newline="") as file:
        found = [row for row in csv.DictReader(file) if row["method"].startswith(method) and row["dataset"] == "birdworld"]
    return {row["metric"]: (row["value"], row["n"], row["extractor"]) for row in found}


def test_anybodys_samples_become_a_row(chain: Clone, tmp_path: Path):
    clone = chain.copy(tmp_path / "clone")
    hand_in(clone)
    clone.edit("params.yaml", "methods: {}\n", ENTRIES)
    clone.run("PYTHONPATH=src python -m workflow.derive")
    assert clone.snakemake() == ["external_archive", "external_folder", "table1"]
    ours = {metric: row for metric, row in rows(clone, "Ours").items() if metric not in NOT_THEIRS}
    assert "FID" in ours and "R-precision" in ours
    assert rows(clone, "A folder") == rows(clone, "An archive") == ours
    assert clone.planned() == [] and clone.status() == {} and clone.repro() == []
    (clone.path / "theirs/000000.png").unlink()
    assert clone.planned() == ["external_folder", "table1"]
    done = clone.run(f"snakemake --cores 2 {TABLE}", check=False)
    assert "error: theirs: 1 images of theirs.csv are not in it, the first is 000000.png; add them" in done.stdout
