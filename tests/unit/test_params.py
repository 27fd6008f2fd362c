"""Reading params.yaml as a step does: what is wrong is named where it stands, under either engine."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from memgan.errors import InputError
from memgan.params import schema
from memgan.params.base import Block
from memgan.params.gan import Gan
from memgan.params.load import NAMES, NO_MAPPING, PLAIN, SCALARS, Settings, read_yaml
from tests.factory import PARAMS, ROOT

FILE = Path("params.yaml")


def settings(changes: dict[str, Any], dataset: str | None = None, run: str | None = None, without: str = "") -> Settings:
    """Of the project's params.yaml, changed, in the working directory."""
    tree = {name: entry for name, entry in PARAMS.items() if name != without} | changes
    FILE.write_text(yaml.safe_dump(tree, sort_keys=False))
    read_yaml.cache_clear()
    return Settings(dataset, run)


def put(key: str, value: Any) -> dict[str, Any]:
    """The entry at the top of the project's params.yaml that holds the key, with this value there."""
    first, *rest = key.split(".")
    if not rest:
        return {first: value}
    node = entry = deepcopy(PARAMS[first])
    for part in rest[:-1]:
        node = node[part]
    node[rest[-1]] = value
    return {first: entry}


def all_blocks(model: type[Block]) -> list[type[Block]]:
    return [each for child in model.__subclasses__() for each in (child, *all_blocks(child))]


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
        ("seeds", [], "`seeds`: the list is empty; name at least one (it is [])"),
        ("seeds", 0, "`seeds`: write a list: [0] (it is 0)"),
        ("seeds", None, "`seeds`: write a list: [...] (it is empty)"),
        ("seed", float("inf"), "`seed`: Input should be a finite number (it is inf)"),
        ("datasets", "birdworld", "`datasets`: write a list: ['birdworld'] (it is 'birdworld')"),
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


@pytest.mark.parametrize("value", [None, [], 3])
@pytest.mark.parametrize(
    "key",
    ["gan", "data", "runs", "methods", "data.birdworld", "data.birdworld.source", "data.birdworld.gan", "runs.max", "runs.max.gan"],
)
def test_what_holds_no_entries_is_refused_by_every_step_as_by_the_check(key: str, value: Any):
    said = rf"^params\.yaml: `{re.escape(key)}` is no mapping of entries; write them under it, or `{{}}` where there are none$"
    with pytest.raises(InputError, match=said):
        settings(put(key, value), "birdworld", "max")
    with pytest.raises(InputError, match=said):
        schema.check(FILE)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("gan.ngf", None, "`gan.ngf`: Input should be a valid integer (it is empty)"),
        ("train.epochs", float("inf"), "`train.epochs`: Input should be a finite number (it is inf)"),
        ("runs.max.train", {"lr_g": float("inf")}, "`runs.max.train.lr_g`: Input should be a finite number (it is inf)"),
        ("images.box_crop", float("nan"), "`images.box_crop`: Input should be a finite number (it is nan)"),
        ("images.box_crop", 0, "`images.box_crop`: Input should be greater than 0 (it is 0)"),
        ("memory.candidates", "some", "`memory.candidates`: write a whole number from 1, or `all` (it is 'some')"),
        ("memory.candidates", 0, "`memory.candidates`: write a whole number from 1, or `all` (it is 0)"),
        (
            "data.birdworld.source.world",
            {"nmae": 1},
            "unknown entry `data.birdworld.source.world.nmae`; is `name` meant?; known here",
        ),
        ("data.birdworld.source.archives", 3, "`data.birdworld.source.archives` is no mapping of entries"),
        ("runs", {"ours": {}, "a.b": {}}, "`runs.a.b`: a name has letters, digits and _ alone (it is 'a.b')"),
        # the pair of stages and size, which no block knows alone
        ("gan.stages", 4, "`gan.stages`: 4 stages up to 32 px start below 8 px; use fewer stages (data set `birdworld`)"),
        ("runs.max.gan", {"stages": 4}, "`runs.max.gan.stages`: 4 stages up to 32 px start below 8 px; use fewer"),
        (
            "data.cub.gan.stages",
            5,
            "`data.cub.gan.stages`: the first stage's 16 px must be larger than v's 16; use fewer stages (data",
        ),
        ("data.photos.images", {"size": 16, "short_side": 16}, "`gan.stages`: 3 stages up to 16 px start below 8 px; use fewer"),
    ],
)
def test_the_check_names_the_key_and_the_mend(key: str, value: Any, said: str):
    settings(put(key, value))
    with pytest.raises(InputError, match=rf"^params\.yaml: {re.escape(said)}"):
        schema.check(FILE)


def test_stages_may_start_at_the_size_of_v_where_it_enters_none():
    settings(put("data.cub.gan", PARAMS["data"]["cub"]["gan"] | {"stages": 5, "image_features": False}))
    schema.check(FILE)


@pytest.mark.parametrize("model", all_blocks(Block), ids=lambda model: model.__name__)
def test_every_fault_of_a_field_is_under_its_own_key_and_not_in_python_s_words(model: type[Block]):
    with pytest.raises(ValidationError) as refused:
        model.model_validate(dict.fromkeys(model.model_fields, object()))
    faults = refused.value.errors()
    assert [fault["loc"] for fault in faults] == [(name,) for name in model.model_fields]
    odd = [fault["msg"] for fault in faults if fault["type"] not in (*PLAIN, *NO_MAPPING)]
    assert not re.search("[Tt]uple|valid list|dictionary|instance of", " ".join(odd))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"seed: 0\nmethods: {caf\xe9: 1}\n", "line 2: this is no UTF-8; save the file in UTF-8"),
        ("seed: 0\n".encode("utf-16"), "line 1: this is no UTF-8; save the file in UTF-8"),
        (b"seed: 0\nseeds: [0]\n'seed': 1\n", "line 3: `seed` comes twice; leave one of them"),
        (b"data:\n  own:\n    gan: {z: 1, z: 1}\n", "line 3: `data.own.gan.z` comes twice; leave one of them"),
        (b"methods:\n- a: 1\n  a: 2\n", "line 3: `methods.a` comes twice; leave one of them"),
        (b"a: &a {x: 1}\nb: {<<: *a, <<: *a}\n", "line 2: `b.<<` comes twice; leave one of them"),
        (b"seeds: [0\n", "this is not YAML (while parsing a flow sequence"),
        (b"seed: 2026-13-01\n", "this is not YAML (month must be in 1..12"),
        (b"seed: &a [*a]\n", "this is not YAML (maximum recursion depth exceeded"),
        (b"a: 1\n--- \nb: 1\n", "this is not YAML (expected a single document"),
        (b"- seed\n", "this is no mapping of entries"),
        (b"", "this is no mapping of entries"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_in_one_line(content: bytes, said: str):
    FILE.write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_yaml(FILE)
    assert str(refused.value).startswith(f"params.yaml: {said}") and "\n" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused():
    with pytest.raises(InputError, match=r"^params\.yaml: there is no such file here; run in the project's root$"):
        read_yaml(FILE)
    FILE.mkdir()
    with pytest.raises(
        InputError, match=r"^params\.yaml: this cannot be read \(Is a directory\); make it a file that you may read$"
    ):
        read_yaml(FILE)


def test_a_file_is_read_as_yaml_says():
    """Entries that another mapping lends may be changed: they do not come twice."""
    FILE.write_bytes(b"\xef\xbb\xbfa:\n  in: &a {<<: &b {x: 1, y: 1}, x: 2}\nb: *b\nc: {<<: *a, y: 3}\n")
    assert read_yaml(FILE) == {"a": {"in": {"x": 2, "y": 1}}, "b": {"x": 1, "y": 1}, "c": {"x": 2, "y": 3}}
    assert read_yaml(ROOT / "params.yaml") == PARAMS


def test_a_long_value_is_shown_in_part():
    with pytest.raises(InputError) as refused:
        settings({"gan": PARAMS["gan"] | {"ngf": list(range(1000))}}).block("gan", Gan)
    assert len(str(refused.value)) < 160
