"""Refuses a stage that gathers results of many others, if params.yaml has come to list others than it was derived for.

python workflow/lists.py datasets=birdworld,sceneworld seeds=0
"""

import sys
from pathlib import Path

import yaml


def main() -> None:
    """Command line."""
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    for name, derived in (word.split("=") for word in sys.argv[1:]):
        if derived != ",".join(map(str, params[name])):
            sys.exit(f"error: dvc.yaml was derived for other {name} than params.yaml lists ({derived}); run `make dvc`")


if __name__ == "__main__":
    main()
