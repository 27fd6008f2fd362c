"""How far each run's training is: `memgan status`, while it runs and after."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memgan.artifacts import read_json
from memgan.errors import InputError
from memgan.state import PROGRESS, is_held

RESULTS = Path("results")
COLUMNS = ("data set", "run", "seed", "training", "step", "images/s", "time left", "last losses, or scores")
SCORES = 3  # shown of a run that is done


def status(results: Path = RESULTS) -> list[dict[str, Any]]:
    """One entry for each run that has been started: {"dataset", "run", "seed", "training", "progress", "scores"}.

    "training" is `running`, `stopped` (a state is kept, the same command goes on) or `done`; "progress" is what the training last
    told of itself, {} for results that came from elsewhere; "scores" are those of metrics.json.
    """
    folders = {path.parent for path in results.glob("*/*/*/generator.safetensors")}
    folders |= {path.parents[2] for path in results.glob(f"*/*/*/state/generator/{PROGRESS}")}
    return [entry(folder) for folder in sorted(folders, key=lambda folder: folder.parts)]


def entry(folder: Path) -> dict[str, Any]:
    """What is known of one run; `folder` is results/<dataset>/<run>/<seed>."""
    root = folder / "state/generator"
    done = (folder / "generator.safetensors").exists()
    return {
        "dataset": folder.parts[-3],
        "run": folder.parts[-2],
        "seed": folder.parts[-1],
        "training": "running" if is_held(root) else "done" if done else "stopped",
        "progress": content(root / PROGRESS),
        "scores": {name: score["value"] for name, score in content(folder / "metrics.json").get("metrics", {}).items()},
    }


def content(path: Path) -> dict[str, Any]:
    """A JSON file's mapping; empty if it is not there or cannot be read."""
    try:
        return dict(read_json(path))
    except (InputError, TypeError, ValueError):
        return {}


def table(entries: list[Mapping[str, Any]]) -> str:
    """The entries as lines of a terminal."""
    if not entries:
        return "nothing has been trained here yet: `make table1`, or `snakemake --cores all results/table1.csv`"
    rows = [COLUMNS, *(cells(one) for one in entries)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS) - 1)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip() for row in rows]
    return "\n".join([*lines, *notes(entries)])


def cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    """An entry's columns."""
    progress, name = one["progress"], (one["dataset"], one["run"], one["seed"])
    if one["training"] == "done":
        scores = list(one["scores"].items())[:SCORES]
        return (*name, "done", str(progress.get("steps", "")), "", "", ", ".join(f"{key} {value:.4g}" for key, value in scores))
    step = f"{progress['step']} of {progress['steps']}" if progress else ""
    losses = " ".join(f"{key} {value:.3f}" for key, value in progress.get("terms", {}).items())
    left = progress.get("eta_s") if one["training"] == "running" else None
    return (*name, one["training"], step, f"{progress.get('images_per_s', 0):.3g}", "" if left is None else spoken(left), losses)


def notes(entries: list[Mapping[str, Any]]) -> list[str]:
    """What to do about runs that have stopped."""
    return [
        f"{one['dataset']}/{one['run']}/{one['seed']}: stopped {ago(one['progress'])}; the same command goes on from step "
        f"{one['progress'].get('saved', 0)}, if parameters, code and inputs are as they were"
        for one in entries
        if one["training"] == "stopped"
    ]


def ago(progress: Mapping[str, Any]) -> str:
    """How long since the training last told of itself."""
    return f"{spoken(time.time() - progress['time'])} ago" if "time" in progress else "before its first step"


def spoken(seconds: float) -> str:
    """As hours, minutes and seconds, the two that count."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
