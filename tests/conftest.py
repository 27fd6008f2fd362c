"""What all tests share: which are left out here, and why."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

# One run of the tests means the same as the next; `pytest --hypothesis-profile explore` draws new examples.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("repeatable")

PHOTOS = "photos: needs the archives of real photographs that params.yaml looks for beside the clone"
MOUNT = "mount: fills a small disk of its own, which only root may mount"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", PHOTOS)
    config.addinivalue_line("markers", MOUNT)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects the tests that this machine cannot run, and says so in one line each."""
    missing = [path for path in photographs() if not path.exists()]
    leave_out(config, items, "photos", f"of photographs left out: there is no {missing[0]}" if missing else "")
    if any(item.get_closest_marker("mount") for item in items):
        leave_out(config, items, "mount", "" if may_mount() else "of full disks left out: no disk may be mounted here")


def leave_out(config: pytest.Config, items: list[pytest.Item], marker: str, why: str) -> None:
    asking = [item for item in items if item.get_closest_marker(marker)]
    if asking and why:
        items[:] = [item for item in items if item not in asking]
        config.hook.pytest_deselected(items=asking)
        config.stash.setdefault(SAID, []).append(f"{len(asking)} tests {why}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(SAID, []):
        terminalreporter.write_line(line)


def may_mount() -> bool:
    """Whether a tmpfs can be mounted."""
    if os.geteuid():
        return False
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False).returncode == 0
        return mounted and subprocess.run(["umount", folder], check=False).returncode == 0


def photographs() -> list[Path]:
    """The archives of the data set `photos`, as params.yaml names them."""
    root = Path(__file__).resolve().parents[1]
    archives = yaml.safe_load((root / "params.yaml").read_text())["data"]["photos"]["source"]["archives"]
    return [root / archive["path"] for archive in archives.values()]


SAID = pytest.StashKey[list[str]]()
