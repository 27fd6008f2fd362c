"""The steps 'features' and 'bank' in a folder of their own."""

import pytest

from memgan.params.load import read_yaml
from tests.untrained import World, make_world


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    """A fresh world in the current folder."""
    monkeypatch.chdir(tmp_path)
    read_yaml.cache_clear()
    yield make_world(tmp_path)
    read_yaml.cache_clear()
