"""The step that writes a world's archives."""

import hashlib
import json

import pytest
import yaml

from memgan.data import render
from memgan.data.worlds import birdworld
from memgan.errors import InputError
from memgan.params.load import read_yaml

BIRDS = {"name": "birdworld", "train_images": 30, "test_images": 10, "side": 24, "pose": 0.1}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A function that writes a params.yaml with one data set, `tiny`, into an empty folder and moves there."""

    def make(source):
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({"seed": 5, "data": {"tiny": {"source": source}}, "runs": {}}))
        monkeypatch.chdir(tmp_path)
        read_yaml.cache_clear()
        return tmp_path

    yield make
    read_yaml.cache_clear()


def run(folder):
    render.main("tiny", render.Path("data/tiny/archives"), render.Path("data/tiny/sources.json"))
    return json.loads((folder / "data/tiny/sources.json").read_text())


@pytest.mark.parametrize(
    ("layout", "name", "roles"),
    [("cub", "birdworld", {"images", "captions"}), ("coco", "sceneworld", {"train_images", "test_images", "annotations"})],
)
def test_sources_name_the_archives(project, layout, name, roles):
    folder = project({"layout": layout, "split": "official", "world": BIRDS | {"name": name}})
    sources = run(folder)
    assert sources["layout"] == layout
    assert set(sources["files"]) == roles
    for entry in sources["files"].values():
        data = (folder / entry["path"]).read_bytes()
        assert entry["bytes"] == len(data)
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert sources["manifest"]["seed"] == 5
    assert sources["manifest"]["params"]["source"]["world"]["name"] == name
    assert {path.name for path in (folder / "data/tiny/archives").iterdir()} == {
        entry["path"].rpartition("/")[2] for entry in sources["files"].values()
    }


def test_a_second_run_replaces_the_first(project):
    source = {"layout": "cub", "split": "official", "world": BIRDS}
    first = run(project(source))
    again = run(project(source))
    more = run(project(source | {"world": BIRDS | {"train_images": 60}}))
    assert first == again
    assert more["files"]["images"]["sha256"] != first["files"]["images"]["sha256"]


def test_a_world_in_the_wrong_layout_is_refused(project):
    folder = project({"layout": "coco", "split": "official", "world": BIRDS})
    with pytest.raises(InputError, match=r"data\.tiny\.source\.layout.*birdworld needs `cub`"):
        run(folder)
    assert not (folder / "data").exists()


def test_a_data_set_without_a_world_is_refused(project):
    archives = {"images": {"path": "a.tgz", "checksum": "sha256:00"}, "captions": {"path": "b.tgz", "checksum": "sha256:00"}}
    folder = project({"layout": "cub", "split": "official", "archives": archives})
    with pytest.raises(InputError, match="names archives, not a world"):
        run(folder)


def test_a_killed_rendering_leaves_nothing(project, monkeypatch):
    folder = project({"layout": "cub", "split": "official", "world": BIRDS})

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(birdworld, "draw", killed)
    with pytest.raises(KeyboardInterrupt):
        run(folder)
    assert not any((folder / "data/tiny").iterdir())
