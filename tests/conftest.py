"""What all tests share: which are left out here, and why; float64 for those that ask for it."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import settings

from tests.browser import program

# What is tested is compared with computations on the CPU; test_device.py looks at a GPU, and MEMGAN_DEVICE=cuda runs steps there.
os.environ.setdefault("MEMGAN_DEVICE", "cpu")

# One run of the tests means the same as the next; `pytest --hypothesis-profile explore` draws new examples.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("repeatable")

PHOTOS = "photos: needs the archives of real photographs that params.yaml looks for beside the clone"
BROWSER = "browser: needs Chromium (Debian's package `chromium`)"

MOUNTS = "mounts: needs the right to mount a file system"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", PHOTOS)
    config.addinivalue_line("markers", MOUNTS)
    config.addinivalue_line("markers", BROWSER)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects the tests that need what is not here, and says so in one line each."""
    missing = [path for path in photographs() if not path.exists()]
    if missing:
        leave_out(config, items, "photos", f"tests of photographs left out: there is no {missing[0]}")
    if any(item.get_closest_marker("mounts") for item in items) and not may_mount():
        leave_out(config, items, "mounts", "tests of a full disk left out: this user may not mount a file system")
    if not program():
        leave_out(config, items, "browser", "tests of the report left out: there is no Chromium here")


@pytest.fixture
def double() -> Iterator[None]:
    """Everything in float64: networks, noise, losses."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def leave_out(config: pytest.Config, items: list[pytest.Item], marker: str, reason: str) -> None:
    """Deselects the tests with a marker, and remembers what is to be said of it."""
    asking = [item for item in items if item.get_closest_marker(marker)]
    if asking:
        items[:] = [item for item in items if item not in asking]
        config.hook.pytest_deselected(items=asking)
        config.stash.setdefault(SAID, []).append(f"{len(asking)} {reason}")


def may_mount() -> bool:
    """Whether a small file system can be mounted here."""
    with tempfile.TemporaryDirectory() as place:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True).returncode:
            return False
        return subprocess.run(["umount", place], capture_output=True).returncode == 0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(SAID, []):
        terminalreporter.write_line(line)


def photographs() -> list[Path]:
    """The archives of the data set `photos`, as params.yaml names them."""
    root = Path(__file__).resolve().parents[1]
    archives = yaml.safe_load((root / "params.yaml").read_text())["data"]["photos"]["source"]["archives"]
    return [root / archive["path"] for archive in archives.values()]


SAID = pytest.StashKey[list[str]]()
