"""What tests of raw data share."""

import pytest

from memgan.data.readers import records


@pytest.fixture
def lines(monkeypatch) -> list[str]:
    """What the log says."""
    said: list[str] = []
    monkeypatch.setattr(records.log, "info", lambda text, *values: said.append(text % values))
    return said
