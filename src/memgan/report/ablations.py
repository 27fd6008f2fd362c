r"""Step: the ablations' table (CSV, Markdown, HTML) and its figure: every run beside `ours`, several seeds (SPEC 13).

python -m memgan.report.ablations --out ablations.csv --wide ablations.md --page ablations.html --pictures folder \
  real.json metrics.json ...
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from memgan import steps
from memgan.artifacts import atomic_folder, write_text
from memgan.report.bars import bars_figure
from memgan.report.compared import CLAIMS, JUDGED, Claim, Run, Scores, base_of, claims, difference, read_scores, words
from memgan.report.markdown import page, table
from memgan.report.rows import REAL, number
from memgan.report.style import save, styled
from memgan.report.wide import shown

COLUMNS = (
    "run",
    "differs by",
    "dataset",
    "metric",
    "value",
    "std",
    "seeds",
    "values",
    "n",
    "extractor",
    "difference",
    "low",
    "high",
)
REAL_OF = "FID of training images, else test images"
SHOWN = ("FID", "IS", "R-precision", "SOA-C", "SOA-I", "attribute accuracy", "copy ratio")


def main(
    scores: Annotated[list[Path], Argument(help="real.json; metrics.json of each run and seed, in the order of the rows")],
    out: Annotated[Path, Option(help="tidy table, CSV")],
    wide: Annotated[Path, Option(help="tables to read, Markdown")],
    html: Annotated[Path, Option("--page", help="the same, HTML")],
    pictures: Annotated[Path, Option(help="folder of the figure")],
) -> None:
    """Writes the ablations."""
    runs, real = read_scores(scores)
    text = markdown(runs, real)
    with styled(), atomic_folder(pictures) as folder:
        save(bars_figure(runs, real), folder, "ablations")
    write_text(html, page(text))
    write_text(wide, text)
    write_text(out, to_csv(runs, real))
    steps.log.info("ablations: %d runs with seeds %s", len(runs), ", ".join(map(str, runs[0].scores)))


def to_csv(runs: Sequence[Run], real: Scores) -> str:
    """One row a run and metric: mean and std over seeds, each seed's value, and the paired difference run - ours.

    Before them the real images, which have neither seeds nor a difference.
    """
    base, text = base_of(runs), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for metric, found in real.items():
        known = [REAL, "", base.dataset, metric, number(found["value"]), "", "", ""]
        writer.writerow([*known, found["n"], found["extractor"], "", "", ""])
    for run in runs:
        first = next(iter(run.scores.values()))
        for metric in (metric for metric in first if run.values(metric)):
            value, std = run.spread(metric)
            apart = difference(run, base, metric) if run is not base else None
            seeds, values = " ".join(map(str, run.scores)), " ".join(map(number, run.values(metric)))
            known = [run.name, words(run, base), run.dataset, metric, number(value), _or_empty(std), seeds, values]
            ends = [_or_empty(end) for end in (apart or (None, None, None))]
            writer.writerow([*known, first[metric]["n"], first[metric]["extractor"], *ends])
    return text.getvalue()


def _or_empty(value: float | None) -> str:
    return "" if value is None else number(value)


def markdown(runs: Sequence[Run], real: Scores) -> str:
    """The claims, all runs, and how to read them."""
    base = base_of(runs)
    metrics = [metric for metric in SHOWN if base.values(metric)]
    trained = base.resolved["train"]["epochs"]
    n = base.scores[next(iter(base.scores))]["FID"]["n"]
    seeds = "1 seed" if len(base.scores) == 1 else f"{len(base.scores)} seeds"
    about = (
        f"Measured on `{base.dataset}`: {seeds}, {trained:g} epochs of training, {n} samples each. A short preset: "
        "its numbers compare runs with each other, not with Table 1."
    )
    reading = (
        "Means over seeds ± standard deviation. Differences are taken seed by seed; intervals are Student's, of 95 %, for their "
        "mean, and not corrected for the number of comparisons. Lower is better for FID, higher for the others; the copy ratio "
        "describes and does not rank."
    )
    parts = ["# Ablations", "", about, "", reading, "", "## The paper's claims", ""]
    parts += [*_claims(claims(list(runs))), "", f"## All runs: {', '.join(metrics)}", "", *_values(runs, real, metrics)]
    parts += ["", f"## Difference to `{base.name}`, seed by seed", "", *_differences(runs, metrics)]
    return "\n".join([*parts, "", *_extractors(base, metrics)]) + "\n"


def _claims(found: Sequence[Claim]) -> list[str]:
    lines = []
    for claim in found:
        if claim.run is None or claim.gain is None:
            lines.append([claim.text, "-", "-", claim.verdict, "-", "-", "-"])
            continue
        each = ", ".join(_signed(claim.metric, value) for value in claim.each)
        lines.append(
            [
                claim.text,
                f"`{claim.run.name}`",
                claim.metric,
                claim.verdict,
                each,
                _signed(claim.metric, claim.gain.mean),
                _ends(claim),
            ]
        )
    head = ["Claim", "Run without", "Metric", "Verdict", "Gain of each seed", "Mean gain", "95 % interval"]
    about = f"A gain is positive where the paper's choice is better. {JUDGED[0]} is the primary metric; {len(CLAIMS)} claims."
    return [*table(head, lines, left=4), "", about]


def _ends(claim: Claim) -> str:
    gain = claim.gain
    if gain is None or gain.low is None or gain.high is None:
        return "-"
    return f"{_signed(claim.metric, gain.low)} to {_signed(claim.metric, gain.high)}"


def _values(runs: Sequence[Run], real: Scores, metrics: Sequence[str]) -> list[str]:
    base = base_of(runs)
    lines = [[REAL, REAL_OF, *(shown(m, real[m]["value"]) if m in real else "-" for m in metrics)]] if real else []
    lines += [[f"`{run.name}`", words(run, base), *(_mean(run, metric) for metric in metrics)] for run in runs]
    return table(["Run", "Differs by", *metrics], lines, left=2)


def _mean(run: Run, metric: str) -> str:
    if not run.values(metric):
        return "-"
    value, std = run.spread(metric)
    return shown(metric, value) + (f" ± {shown(metric, std)}" if std is not None else "")


def _differences(runs: Sequence[Run], metrics: Sequence[str]) -> list[str]:
    base = base_of(runs)
    others = [run for run in runs if run is not base]
    return table(["Run", *metrics], [[f"`{run.name}`", *(_apart(run, base, metric) for metric in metrics)] for run in others])


def _apart(run: Run, base: Run, metric: str) -> str:
    """The difference and its interval, bold where that leaves out zero."""
    found = difference(run, base, metric)
    if found is None:
        return "-"
    said = _signed(metric, found.mean)
    if found.low is not None and found.high is not None:
        said += f" ({_signed(metric, found.low)} to {_signed(metric, found.high)})"
    return f"**{said}**" if found.decides else said


def _signed(metric: str, value: float) -> str:
    said = shown(metric, value)
    return said if said.startswith("-") else f"+{said}"


def _extractors(base: Run, metrics: Sequence[str]) -> list[str]:
    first = base.scores[next(iter(base.scores))]
    return [
        "Extractors: " + "; ".join(f"{metric}: {first[metric]['extractor']}, n {first[metric]['n']}" for metric in metrics) + "."
    ]


if __name__ == "__main__":
    steps.run(main)
