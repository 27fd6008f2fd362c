"""`memgan retrieve`: what it prints and draws, and what it refuses in one line."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from memgan.artifacts import load_tensors, save_tensors
from memgan.cli import app
from memgan.params.load import read_yaml
from memgan.report import lookup
from tests.retrievable import make_retrievable


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lookup")
    make_retrievable(folder, train=12, test=2)
    return folder


@pytest.fixture(autouse=True)
def here(root, monkeypatch) -> Path:
    monkeypatch.chdir(root)
    monkeypatch.setattr(lookup, "DPI", 40)
    read_yaml.cache_clear()
    yield root
    read_yaml.cache_clear()
    shutil.rmtree(root / "retrieved", ignore_errors=True)


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["retrieve", *arguments])


def test_neighbours_are_printed_with_scores_and_drawn(root):
    done = ask("-k", "3", "a red bird", "a small blue bird")
    assert done.exit_code == 0, done.output
    first, second = done.stdout.strip().split("\n\n")
    assert first.splitlines()[0] == "a red bird (both)"
    lines = [line.split() for line in second.splitlines()[1:4]]
    assert [line[0] for line in lines] == ["1", "2", "3"]
    assert [float(line[1]) for line in lines] == sorted((float(line[1]) for line in lines), reverse=True)
    assert all(line[2].startswith("train/") for line in lines)
    sheets = sorted(path.name.rpartition("-")[0] for path in (root / "retrieved").iterdir())
    assert sheets == ["a-red-bird", "a-small-blue-bird"]
    for path in (root / "retrieved").iterdir():
        assert Image.open(path).width > 200
        assert str(path.relative_to(root)) in done.stdout


def test_as_json_with_another_strategy_and_captions_from_a_file(root):
    (root / "captions.txt").write_text("a red bird\n\na blue bird\n")
    done = ask("-k", "12", "--strategy", "words_image", "--captions", "captions.txt", "--json", "--out", "retrieved/json")
    found = json.loads(done.stdout)
    assert [one["caption"] for one in found] == ["a red bird", "a blue bird"]
    assert all(one["strategy"] == "words_image" and len({n["row"] for n in one["neighbours"]}) == 12 for one in found)
    assert all(Path(one["sheet"]).is_file() for one in found)


def test_a_training_caption_finds_its_image_first(root):
    row = json.loads((root / "results/birdworld/images/index.json").read_text())["train"][7]
    (found,) = json.loads(ask("--json", "--strategy", "sentence_sentence", "-k", "1", row["captions"][0]).stdout)
    assert row["captions"][0] in found["neighbours"][0]["captions"]
    assert found["neighbours"][0]["score"] == pytest.approx(1, abs=1e-3)


def test_excluded_images_are_not_found():
    (free,) = json.loads(ask("--json", "-k", "4", "a red bird").stdout)
    ids = [one["id"] for one in free["neighbours"]]
    (found,) = json.loads(ask("--json", "-k", "2", "--exclude", ids[0], "--exclude", ids[2], "a red bird").stdout)
    assert [one["id"] for one in found["neighbours"]] == [ids[1], ids[3]]
    assert found["sheet"] != free["sheet"]


def test_unknown_words_are_named_and_passed_over():
    done = ask("-k", "1", "a qwerty red bird")
    assert done.exit_code == 0
    assert "not in the training captions and passed over: qwerty" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([""], "retrieve: no caption given; type one in quotes"),
        ([], "retrieve: no caption given; type one in quotes"),
        (["?!"], "there is no word in it; describe the image in words"),
        (["zzz qqq"], "none of its words is in the training captions; they have words like"),
        (["-k", "13", "a red bird"], "bank: k = 13 neighbours of 12 images; ask for 1 or more, but not for more than those"),
        (["-k", "0", "a red bird"], "bank: k = 0 neighbours of 12 images"),
        (["--exclude", "train/nobody", "a red bird"], "bank: holds no image `train/nobody`; its ids are like train/"),
        (["--strategy", "nearest", "a red bird"], "there is no strategy `nearest`; known: sentence_sentence, words_words"),
        (["--strategy", "oracle", "a red bird"], "`oracle` gives the query's own image"),
        (["--dataset", "nowhere", "a red bird"], "there is no data set `nowhere`"),
        (["--dataset", "sceneworld", "a car"], "not there yet; make it with `snakemake --cores all results/sceneworld/bank`"),
        (["--captions", "nowhere.txt"], "nowhere.txt: cannot be read as UTF-8 text"),
    ],
)
def test_what_cannot_be_found_is_one_line(root, arguments, line):
    done = ask(*arguments)
    assert done.exit_code == 1
    assert line in done.stderr and done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    assert not (root / "retrieved").exists()


@pytest.mark.parametrize("command", ["generate", "retrieve"])
def test_a_file_without_captions_is_named(root, command):
    (root / "empty.txt").write_text("\n \n")
    done = CliRunner().invoke(app, [command, "--captions", "empty.txt"])
    assert done.exit_code == 1
    assert done.stderr == "error: empty.txt: no caption given; type one in quotes, or --captions FILE with one a line\n"
    assert not (root / f"{command}d").exists()


@pytest.fixture
def spoilt(root, tmp_path, monkeypatch) -> Path:
    """A copy that may be harmed."""
    shutil.copytree(root, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    read_yaml.cache_clear()
    return Path("results/birdworld")


def refused(line: str) -> None:
    done = ask("a red bird")
    assert done.exit_code == 1
    assert line in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_bank_of_another_encoder_is_refused(spoilt):
    tensors, manifest = load_tensors(spoilt / "damsm.safetensors")
    name = next(name for name in tensors if name.startswith("text."))
    tensors[name] += 1e-3
    save_tensors(spoilt / "damsm.safetensors", tensors, manifest)
    refused("bank: made with another text encoder; make it again: `snakemake --cores all results/birdworld/bank`")


@pytest.mark.parametrize(("keep", "said"), [(-5, "cut off or changed"), (None, "its contents have changed")])
def test_a_bank_with_a_harmed_shard_is_refused_by_name(spoilt, keep, said):
    path = spoilt / "bank/text-00000.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:keep] if keep else content[:-1] + bytes([content[-1] ^ 1]))
    done = ask("a red bird")
    assert done.exit_code == 1 and len(done.stderr.splitlines()) == 1
    assert "bank/text-00000.safetensors: " in done.stderr and said in done.stderr
