"""What a user does once the chain has run: draw pictures, search the memory, measure the retrieval."""

import csv

import pytest
from PIL import Image

from tests.workflow.clones import Clone

pytestmark = pytest.mark.xdist_group("e2e")
COMMAND = "PYTHONPATH=src python -m memgan.cli generate --dataset birdworld"


@pytest.fixture(scope="module")
def drawn(chain: Clone) -> str:
    """What is said on standard output as three captions are drawn, nine times each, with seed 1."""
    (chain.path / "captions.txt").write_text("a red bird\n\nit has blue wings\n")
    return chain.run(f'{COMMAND} -n 9 --seed 1 --captions captions.txt "a small red bird with a black crown" 2>/dev/null').stdout


def test_captions_in_pictures_out(chain: Clone, drawn: str):
    folders = sorted((chain.path / "generated").iterdir())
    assert len(folders) == 3
    assert all(str(folder.relative_to(chain.path) / "sheet.png") in drawn for folder in folders)
    for folder in folders:
        pictures = [Image.open(folder / f"{k}.png") for k in range(9)]
        assert {picture.size for picture in pictures} == {(16, 16)}
        assert len({picture.tobytes() for picture in pictures}) > 1
        assert Image.open(folder / "sheet.png").width > 1000


@pytest.mark.usefixtures("drawn")
def test_the_same_seed_draws_the_same_pictures(chain: Clone):
    for out, seed in (("again", 1), ("others", 2)):
        chain.run(f'{COMMAND} -n 9 --seed {seed} --out {out} "a red bird"')
    first, again, others = (next((chain.path / out).glob("a-red-bird*/1.png")) for out in ("generated", "again", "others"))
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes() != others.read_bytes()


def test_retrieval_is_measured_and_searched(chain: Clone):
    assert chain.planned("results/retrieval.csv") == []
    assert chain.planned() == []
    with (chain.path / "results/retrieval.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["dataset"] for row in rows} == {"birdworld", "sceneworld"}
    assert {"object categories (IoU)"} <= {row["metric"] for row in rows if row["dataset"] == "sceneworld"}
    assert {"class, own image left out"} <= {row["metric"] for row in rows if row["dataset"] == "birdworld"}
    assert (chain.path / "results/sceneworld/retrieval/neighbours_1.pdf").is_file()
    assert all(float(row["value"]) > 0 for row in rows if row["metric"] == "time per query (ms)")
    said = chain.run('PYTHONPATH=src python -m memgan.cli retrieve -k 3 "a red bird"').stdout
    assert said.startswith("a red bird (both)\n   1  ")
    assert (chain.path / said.split()[-1]).is_file()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ('"zzz qqq"', "none of its words"),
        ("", "no caption given"),
        ('--run untrained "a red bird"', "make it with `snakemake"),
        ('--run nowhere "a red bird"', "there is no run `nowhere`"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(chain: Clone, arguments: str, line: str):
    done = chain.run(f"{COMMAND} --out refused {arguments}", check=False)
    assert done.returncode == 1
    assert line in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert not (chain.path / "refused").exists()
