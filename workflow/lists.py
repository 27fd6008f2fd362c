"""Refuses a stage that gathers results of many others, if params.yaml has come to list others than it was derived for.

python workflow/lists.py datasets=birdworld,sceneworld seeds=0
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def listed(entry: Any) -> str:
    """What an entry of params.yaml lists, in one word: the items of a list, the names of what is described, other values whole."""
    if isinstance(entry, Mapping):
        return ",".join(name if isinstance(value, Mapping) else f"{name}:{listed(value)}" for name, value in entry.items())
    return ",".join(map(str, entry)) if isinstance(entry, list) else str(entry)


def main() -> None:
    """Command line."""
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    for name, derived in (word.split("=", 1) for word in sys.argv[1:]):
        if derived != listed(params.get(name, [])):
            sys.exit(f"error: dvc.yaml was derived for other {name} than params.yaml lists ({derived}); run `make dvc`")


if __name__ == "__main__":
    main()
