"""What all tests share: which are left out here, and why."""

from pathlib import Path

import pytest
import yaml
from hypothesis import settings

from tests.browser import program

# One run of the tests means the same as the next; `pytest --hypothesis-profile explore` draws new examples.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("repeatable")

PHOTOS = "photos: needs the archives of real photographs that params.yaml looks for beside the clone"
BROWSER = "browser: needs Chromium (Debian's package `chromium`)"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", PHOTOS)
    config.addinivalue_line("markers", BROWSER)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects the tests that need photographs or a browser where there is none, and says so in one line each."""
    config.stash[SAID] = []
    missing = [path for path in photographs() if not path.exists()]
    without = {
        "photos": f"there is no {missing[0]}" if missing else "",
        "browser": "" if program() else "there is no Chromium here",
    }
    for marker, why in without.items():
        asking = [item for item in items if item.get_closest_marker(marker)]
        if asking and why:
            items[:] = [item for item in items if item not in asking]
            config.hook.pytest_deselected(items=asking)
            config.stash[SAID].append(f"{len(asking)} tests marked `{marker}` left out: {why}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(SAID, []):
        terminalreporter.write_line(line)


def photographs() -> list[Path]:
    """The archives of the data set `photos`, as params.yaml names them."""
    root = Path(__file__).resolve().parents[1]
    archives = yaml.safe_load((root / "params.yaml").read_text())["data"]["photos"]["source"]["archives"]
    return [root / archive["path"] for archive in archives.values()]


SAID = pytest.StashKey[list[str]]()
