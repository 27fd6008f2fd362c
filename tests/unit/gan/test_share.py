"""A run that only samples in another way takes the generator of `ours`, and no other run does."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from memgan.artifacts import load_tensors, save_tensors
from memgan.errors import InputError
from memgan.gan import share
from memgan.params.load import read_yaml
from tests.factory import PARAMS
from workflow.needs import sharing

RETRIEVALS = ["sentence_sentence", "words_words", "sentence_image", "words_image", "random", "oracle"]
WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trained generator, in a folder with params.yaml."""
    monkeypatch.chdir(tmp_path)
    write(PARAMS)
    save_tensors(Path("ours.safetensors"), WEIGHTS, {"params": said(PARAMS), "seed": 3})
    Path("curves.csv").write_text("step,d0\n0,1\n")
    return tmp_path


def said(params: dict[str, Any]) -> dict[str, Any]:
    """What a training on birdworld writes beside its weights: the defaults with the data set's own entries over them."""
    own = params["data"]["birdworld"]
    return {"pooling": params["pooling"], **{block: params[block] | own[block] for block in ("gan", "train")}}


def write(params: dict[str, Any]) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(params))
    read_yaml.cache_clear()


def shared(run: str, dataset: str = "birdworld") -> None:
    share.main(dataset, run, Path("ours.safetensors"), Path("curves.csv"), Path(f"{run}.safetensors"), Path(f"{run}.csv"))


def test_the_same_weights_and_losses(trained: Path) -> None:
    shared("random")
    tensors, manifest = load_tensors(Path("random.safetensors"))
    assert tensors.keys() == WEIGHTS.keys()
    assert all(torch.equal(tensors[name], WEIGHTS[name]) for name in WEIGHTS)
    assert manifest == load_tensors(Path("ours.safetensors"))[1]
    assert Path("random.csv").read_text() == Path("curves.csv").read_text()


@pytest.mark.parametrize(
    ("run", "named"), [("no_content", "gan"), ("max", "pooling"), ("untrained", "train"), ("retrieved", "train")]
)
def test_a_run_that_trains_otherwise_is_refused(trained: Path, run: str, named: str) -> None:
    with pytest.raises(InputError, match=f"another `{named}` than run `{run}`"):
        shared(run)
    assert not Path(f"{run}.safetensors").exists()


def test_trained_on_retrieved_neighbours_no_generator_is_shared(trained: Path) -> None:
    params = json.loads(json.dumps(PARAMS))
    params["train"]["neighbours"] = "retrieved"
    write(params)
    assert sharing(params) == []
    save_tensors(Path("ours.safetensors"), WEIGHTS, {"params": said(params), "seed": 3})
    with pytest.raises(InputError, match="a generator fits one retrieval only"):
        shared("random")


def test_which_runs_share() -> None:
    assert sharing(PARAMS) == RETRIEVALS
    params = json.loads(json.dumps(PARAMS))
    params["runs"] |= {"few": {"sampling": {"samples": 10}}, "more": {"memory": {"strategy": "random"}, "train": {"epochs": 1}}}
    assert sharing(params) == [*RETRIEVALS, "few"]
    params["data"]["cub"]["train"]["neighbours"] = "retrieved"
    assert sharing(params) == []
