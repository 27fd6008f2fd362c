"""The step that measures every strategy on a world, and the table and figure that are made of it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from memgan.artifacts import read_json
from memgan.data.shards import ImageFolder
from memgan.errors import InputError
from memgan.memory.retrieval import STRATEGIES
from memgan.metrics import retrieval
from memgan.params.load import read_yaml
from memgan.report import examples, style
from memgan.report import retrieval as table
from tests.retrievable import make_retrievable
from tests.scoring import World

FILES = ("images", "vocabulary.json", "damsm.safetensors", "bank")


@pytest.fixture(scope="module", params=["birdworld", "sceneworld"])
def made(request, tmp_path_factory) -> World:
    """Scored once; `scores` and `times` lie beside the bank."""
    root = tmp_path_factory.mktemp(request.param)
    return make_retrievable(root, request.param, train=12, test=8)


@pytest.fixture
def here(made, monkeypatch) -> World:
    monkeypatch.chdir(made.folder.parents[1])
    read_yaml.cache_clear()
    yield made
    read_yaml.cache_clear()


def measure(world: World, name: str = "retrieval.json") -> dict:
    out = world.folder / name
    retrieval.main(world.name, *(world.folder / file for file in FILES), out=out, times=world.folder / "times.json")
    return read_json(out)


def test_every_strategy_is_measured_and_the_controls_are_what_they_should_be(here):
    content = measure(here)
    figures = {(row["strategy"], row["metric"]): row for row in content["scores"]}
    assert {strategy for strategy, _ in figures} == {*STRATEGIES, retrieval.READER}
    for metric in ("attributes mentioned", "whole caption", "all attributes", "own image, recall@1"):
        assert figures["oracle", metric]["value"] == 100
        assert figures["random", metric]["value"] < 100
    assert figures["sentence_sentence", "own image, recall@5"]["n"] == 12
    assert figures["sentence_sentence", "own image, recall@5"]["value"] > 90
    for strategy in STRATEGIES:
        if strategy != "oracle":
            assert figures[strategy, "whole caption"]["value"] <= figures[retrieval.READER, "whole caption"]["value"]
    with_classes = {strategy for strategy, metric in figures if metric == "class, own image left out"}
    assert with_classes == ({*STRATEGIES} - {"oracle"} if here.name == "birdworld" else set())
    times = read_json(here.folder / "times.json")
    assert set(times["ms_per_query"]) == {*STRATEGIES} and min(times["ms_per_query"].values()) > 0
    assert (times["dataset"], times["queries"]) == (here.name, 8)


def test_the_same_inputs_give_the_same_bytes(here):
    measure(here, "one.json")
    measure(here, "two.json")
    assert (here.folder / "one.json").read_bytes() == (here.folder / "two.json").read_bytes()


def test_examples_are_test_captions_with_five_neighbours(here):
    content, rows = measure(here), ImageFolder(here.inputs.images, "test").rows
    for example in content["examples"]:
        assert example["caption"] in rows[example["row"]]["captions"]
        for strategy, found in example["neighbours"].items():
            assert len(found) == (1 if strategy == "oracle" else 5)
            assert all(0 <= one["holds"] <= one["said"] for one in found)
            assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
        (own,) = example["neighbours"]["oracle"]
        assert own["holds"] == own["said"] and own["row"] == example["row"]


def test_table_and_figure(here, monkeypatch):
    monkeypatch.setattr(style, "DPI", 40)
    content, root = measure(here), here.folder.parent
    figure = here.folder / "retrieval"
    contents = []
    for _ in range(2):
        examples.main(here.name, here.inputs.images, here.folder / "retrieval.json", figure)
        files = [here.folder / "retrieval.json", here.folder / "times.json", figure]
        table.main(files, root / "retrieval.csv", root / "retrieval.md")
        contents.append({path: path.read_bytes() for path in [*figure.iterdir(), root / "retrieval.csv", root / "retrieval.md"]})
    assert contents[0] == contents[1]
    count = -(-len(content["examples"]) // examples.PER_FIGURE)
    names = {f"neighbours_{number}.{kind}" for number in range(1, count + 1) for kind in ("pdf", "png")}
    assert count > 1 and {path.name for path in figure.iterdir()} == names
    with (root / "retrieval.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    timed = {row["strategy"]: row for row in rows if row["metric"] == table.TIME}
    milliseconds = read_json(here.folder / "times.json")["ms_per_query"]
    assert {name: float(row["value"]) for name, row in timed.items()} == milliseconds
    assert all((row["n"], row["captions"]) == ("8", "test") and "thread" in row["judge"] for row in timed.values())
    assert len(rows) == len(content["scores"]) + len(STRATEGIES)
    assert {row["seed"] for row in rows} == {"0"}
    others = [row for row in rows if row["metric"] != table.TIME]
    assert all(row["value"] and row["n"] and row["judge"] == "none: known attributes and labels" for row in others)
    assert any("candidates 100" in row["note"] for row in rows if row["strategy"] == "words_image")
    text = (root / "retrieval.md").read_text()
    assert f"]({here.name}/retrieval/neighbours_1.png)" in text
    assert f"| {milliseconds['both']:.3f} |" in text
    assert all(f"`{strategy}`" in text for strategy in STRATEGIES)


def test_a_bank_of_other_images_is_refused(here, tmp_path):
    bank = tmp_path / "bank"
    bank.mkdir()
    for path in (here.folder / "bank").iterdir():
        (bank / path.name).write_bytes(path.read_bytes())
    content = json.loads((bank / "manifest.json").read_text())
    (bank / "manifest.json").write_text(json.dumps(content | {"ids": content["ids"][::-1]}))
    with pytest.raises(InputError, match=r"bank: holds other images than .*; make it again"):
        files = {"bank": bank, "out": tmp_path / "out.json", "times": tmp_path / "times.json"}
        retrieval.main(here.name, *(here.folder / file for file in FILES[:3]), **files)


@pytest.mark.parametrize("text", ["[]", '{"scores": []}'])
def test_scores_that_are_none_are_refused(tmp_path: Path, text):
    path = tmp_path / "retrieval.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"retrieval\.json: this holds no scores of retrieval"):
        table.main([path], tmp_path / "a.csv", tmp_path / "a.md")


def test_scores_without_their_times_are_refused(tmp_path: Path):
    path = tmp_path / "retrieval.json"
    path.write_text('{"scores": [], "examples": [], "resolved": {"dataset": "birdworld"}}')
    with pytest.raises(InputError, match=r"retrieval\.json: its retrieval_times\.json is not among the files"):
        table.main([path], tmp_path / "a.csv", tmp_path / "a.md")


def test_queries_are_one_caption_an_image_by_seed(here, monkeypatch):
    monkeypatch.setattr(retrieval, "QUERIES", 5)
    from memgan.params.load import Settings

    judge = retrieval.Judge(Settings(here.name), *(here.folder / file for file in FILES))
    asked = judge.draw(judge.train)
    assert len(set(asked.rows)) == 5 and asked.rows == sorted(asked.rows)
    assert all(caption in judge.train.rows[row]["captions"] for row, caption in zip(asked.rows, asked.captions, strict=True))
    np.testing.assert_array_equal(asked.queries.own, asked.rows)
    assert judge.draw(judge.train).captions == asked.captions
    judge.seed = 1
    assert judge.draw(judge.train).captions != asked.captions
