"""The runs of the ablations, each beside `ours` of the same seeds, and the paper's claims (SPEC 13)."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from memgan.artifacts import read_json
from memgan.errors import InputError
from memgan.methods.ours import CHOICES, at, departs
from memgan.report.pairs import Difference, paired
from memgan.report.rows import REAL

BASE = "ours"
LOWER = {"FID", "FID-tv", "KID"}  # better when lower; all others: when higher
JUDGED = ("FID", "R-precision", "attribute accuracy")  # by which the claims are judged, the primary metric first
IDENTITY = {"run", "seed", "uses"}  # of a result's parameters: what names it
EPOCHS = "train.epochs"
CLAIMS: dict[str, dict[str, Any]] = {  # the paper's -> how the run differs that goes without
    "memory beats a purely parametric generator": {"gan.image_features": False, "gan.global_feature": False},
    "content features help the discriminators": {"gan.content": False},
    "average pooling of the content beats max pooling": {"pooling": "max"},
}


Scores = Mapping[str, Any]  # metric -> score


class Run(NamedTuple):
    """One run with all its seeds."""

    name: str
    dataset: str
    resolved: Mapping[str, Any]
    scores: Mapping[int, Scores]  # by seed

    def values(self, metric: str) -> list[float]:
        """One a seed, in the order of seeds; empty if a seed has no such score."""
        found = [of[metric]["value"] for of in self.scores.values() if metric in of]
        return found if len(found) == len(self.scores) else []

    def spread(self, metric: str) -> tuple[float, float | None]:
        """Mean over seeds, and their standard deviation, None with one seed."""
        values = self.values(metric)
        return mean(values), stdev(values) if len(values) > 1 else None


class Claim(NamedTuple):
    """What one metric says of one claim; `gain` is positive where the paper's choice is better."""

    text: str
    run: Run | None
    metric: str
    each: list[float]
    gain: Difference | None

    @property
    def verdict(self) -> str:
        """In words."""
        if self.gain is None:
            return "no run of params.yaml goes without it alone"
        if not self.gain.decides:
            return "open: the interval holds 0" if self.gain.low is not None else "open: one seed gives no interval"
        return "holds" if self.gain.mean > 0 else "does not hold: the contrary is seen"


def read_scores(files: Iterable[Path]) -> tuple[list[Run], Scores]:
    """The runs in the order given, and the scores of the data set's real images, none if no file holds them.

    Raises InputError if `ours` is missing, or if not all are of the same data set and the runs of the same seeds.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    real: dict[str, Any] | None = None
    for path in files:
        content = read_json(path)
        if not isinstance(content, dict) or not {"resolved", "metrics"} <= set(content):
            raise InputError(f"{path}: this holds no scores; delete it and run again")
        if content["resolved"].get("method") == REAL:
            real = content
        else:
            found.setdefault(content["resolved"]["run"], []).append(content)
    runs = [
        Run(name, of[0]["resolved"]["dataset"], of[0]["resolved"], {c["resolved"]["seed"]: c["metrics"] for c in of})
        for name, of in found.items()
    ]
    base = base_of(runs)
    for run in runs:
        if (run.dataset, list(run.scores)) != (base.dataset, list(base.scores)):
            raise InputError(
                f"ablations: run `{run.name}` has another data set or other seeds than `{BASE}`; measure the same of both"
            )
    if real and real["resolved"]["dataset"] != base.dataset:
        raise InputError(
            f"ablations: real images of {real['resolved']['dataset']}, runs of {base.dataset}; give those of one data set"
        )
    return runs, real["metrics"] if real else {}


def base_of(runs: Iterable[Run]) -> Run:
    """The run that the others are compared with. Raises InputError if it is missing."""
    for run in runs:
        if run.name == BASE:
            return run
    raise InputError(f"ablations: the run `{BASE}` is missing, with which all others are compared")


def changes(run: Run, base: Run) -> dict[str, Any]:
    """Dotted key -> value, where the run's parameters depart from the base's."""
    mine, theirs = leaves(run.resolved), leaves(base.resolved)
    return {key: value for key, value in mine.items() if key not in IDENTITY and value != theirs.get(key)}


def leaves(tree: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Dotted key -> value of all that is no block itself."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= leaves(value, f"{before}{key}.") if isinstance(value, Mapping) else {before + key: value}
    return found


def words(run: Run, base: Run) -> str:
    """The same in words: those of the tables' rows for what the paper chooses, keys for all else."""
    said = departs(run.resolved, {key: at(base.resolved, key) for key in CHOICES})
    said += [
        f"{key} {value}" for key, value in changes(run, base).items() if key not in CHOICES and not (key == EPOCHS and not value)
    ]
    return ", ".join(said) or "-"


def difference(run: Run, base: Run, metric: str) -> Difference | None:
    """run - base, seed by seed; None where one of them has no such score."""
    one, other = run.values(metric), base.values(metric)
    return paired(one, other) if one and other else None


def claims(runs: list[Run]) -> list[Claim]:
    """Each claim by each metric that judges, whichever way it falls."""
    base, found = base_of(runs), []
    for text, without in CLAIMS.items():
        run = next((run for run in runs if changes(run, base) == without and at(run.resolved, EPOCHS)), None)
        if run is None:
            found.append(Claim(text, None, JUDGED[0], [], None))
            continue
        for metric in JUDGED:
            one, other = (run.values(metric), base.values(metric))
            if one and other:
                better, worse = (one, other) if metric in LOWER else (other, one)
                each = [a - b for a, b in zip(better, worse, strict=True)]
                found.append(Claim(text, run, metric, each, paired(better, worse)))
    return found
