"""Reading params.yaml as a step does: what is wrong is named where it stands, under either engine."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from memgan.errors import InputError
from memgan.params import schema
from memgan.params.gan import Gan
from memgan.params.load import NAMES, SCALARS, Settings, read_yaml
from tests.factory import PARAMS


def settings(changes: dict[str, Any], dataset: str | None = None, run: str | None = None, without: str = "") -> Settings:
    """Of the project's params.yaml, changed, in the working directory."""
    tree = {name: entry for name, entry in PARAMS.items() if name != without} | changes
    Path("params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    read_yaml.cache_clear()
    return Settings(dataset, run)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    read_yaml.cache_clear()


def test_the_names_known_to_every_step_are_those_of_the_schema():
    assert set(NAMES[""]) == set(schema.Params.model_fields)
    assert set(NAMES["data"]) == set(schema.DataSet.model_fields)
    assert set(NAMES["runs"]) == set(schema.Run.model_fields)
    assert set(NAMES["data"]) == {"source", *schema.BLOCKS}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("pooling", "average", "`pooling`: Input should be 'avg' or 'max' (it is 'average')"),
        ("seed", "two", "`seed`: Input should be a valid integer, unable to parse string as an integer (it is 'two')"),
        ("seed", -1, "`seed`: Input should be greater than or equal to 0 (it is -1)"),
        ("seeds", [0, 0], "`seeds`: no value may come twice (it is [0, 0])"),
        ("seeds", [], "`seeds`: Tuple should have at least 1 item after validation, not 0 (it is [])"),
        ("threads", 0, "`threads`: Input should be greater than or equal to 1 (it is 0)"),
        ("datasets", ["birdworld", "birdworld"], "`datasets`: no value may come twice"),
    ],
)
def test_a_scalar_that_may_not_be_is_refused(name: str, value: Any, said: str):
    with pytest.raises(InputError) as refused:
        settings({name: value}).value(name)
    assert str(refused.value).startswith(f"params.yaml: {said}")


def test_every_scalar_of_the_project_is_read_as_it_stands():
    for name in SCALARS:
        assert settings({}).value(name) == PARAMS[name]
    assert settings({}, run="max").value("pooling") == "max"


def test_a_run_s_scalar_is_named_where_it_stands():
    with pytest.raises(InputError, match=r"`runs\.max\.pooling`: Input should be 'avg' or 'max' \(it is 'most'\)"):
        settings({"runs": {"ours": {}, "max": {"pooling": "most"}}}, run="max").value("pooling")


def test_misspelt_entries_are_refused_by_every_step():
    with pytest.raises(InputError, match=r"unknown entry `poolin`; is `pooling` meant\?"):
        settings({"poolin": "avg"}, without="pooling")
    with pytest.raises(InputError, match=r"unknown entry `runs\.max\.poolin`; is `pooling` meant\?; known here: pooling, memory"):
        settings({"runs": {"ours": {}, "max": {"poolin": "max"}}}, run="max")
    with pytest.raises(InputError, match=r"unknown entry `data\.own\.imges`; is `images` meant?"):
        settings({"data": {"own": {"imges": {}}}}, "own")


def test_a_block_s_fault_is_named_where_it_stands():
    runs = {"ours": {}, "mine": {"gan": {"ndfs": 3}}, "yours": {"gan": {"ndf": "many"}}}
    with pytest.raises(InputError, match=r"unknown entry `runs\.mine\.gan\.ndfs`; is `ndf` meant\?; known here: stages, z,"):
        settings({"runs": runs}, run="mine").block("gan", Gan)
    with pytest.raises(InputError, match=r"`runs\.yours\.gan\.ndf`: Input should be a valid integer.*\(it is 'many'\)"):
        settings({"runs": runs}, run="yours").block("gan", Gan)
    data = PARAMS["data"] | {"birdworld": PARAMS["data"]["birdworld"] | {"gan": {"ngf": -3}}}
    with pytest.raises(InputError, match=r"`data\.birdworld\.gan\.ngf`: Input should be greater than 0"):
        settings({"data": data}, "birdworld").block("gan", Gan)
    with pytest.raises(InputError, match=r"unknown entry `gan\.ngff`; is `ngf` meant\?"):
        settings({"gan": {name.replace("ngf", "ngff"): value for name, value in PARAMS["gan"].items()}}).block("gan", Gan)
    with pytest.raises(InputError, match=r"there is no entry `gan\.ngf`; add it"):
        settings({"gan": {name: value for name, value in PARAMS["gan"].items() if name != "ngf"}}).block("gan", Gan)


def test_a_long_value_is_shown_in_part():
    with pytest.raises(InputError) as refused:
        settings({"gan": PARAMS["gan"] | {"ngf": list(range(1000))}}).block("gan", Gan)
    assert len(str(refused.value)) < 160
