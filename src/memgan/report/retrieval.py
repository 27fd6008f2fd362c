"""Step: how well each retrieval strategy does on every data set: a tidy table (CSV) and the same for reading (Markdown) (SPEC 4).

python -m memgan.report.retrieval --out retrieval.csv --wide retrieval.md <data set>/retrieval.json ... \
    <data set>/retrieval_times.json ... <data set>/retrieval ...
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from memgan import steps
from memgan.artifacts import read_json, write_text
from memgan.errors import InputError
from memgan.metrics.score import score
from memgan.report.markdown import table
from memgan.report.rows import number

COLUMNS = ("dataset", "strategy", "metric", "value", "standard_error", "n", "captions", "encoder", "judge", "seed", "note")
CONTROLS = {
    "random": "control",
    "oracle": "upper bound",
    "ideal reader": "ceiling: the best image of the bank, by known attributes",
}
WORD_LEVEL = ("words_words", "words_image")
TIME = "time per query (ms)"
HEAD = """# How well a caption finds an image

Per cent, with standard errors, of the first neighbour unless the metric says otherwise. Test captions: one an image, whose own
image is not in the bank; what they have in common with the retrieved image is known from the data, no network judges. Training
captions: one an image, which is in the bank itself. `random` is a control, `oracle` gives back the caption's own image, and on a
world the ideal reader chooses the image of the bank of which most that is said is true. Times are milliseconds a query, all test
captions asked at once, and differ from run to run; speeds at COCO's scale are what `benchmarks/retrieval.py` measures.
"""


def main(
    found: Annotated[list[Path], Argument(help="retrieval.json and retrieval_times.json of each data set, folders of figures")],
    out: Annotated[Path, Option(help="tidy table, CSV")],
    wide: Annotated[Path, Option(help="the same for reading, Markdown")],
) -> None:
    """Writes the table of the retrieval strategies."""
    read = [(path, read_json(path)) for path in found if not path.is_dir()]
    times = {content["dataset"]: content for _, content in read if isinstance(content, dict) and "ms_per_query" in content}
    contents = [_whole(path, content, times) for path, content in read if content not in times.values()]
    rows = [row for content in contents for row in rows_of(content)]
    figures = {path.parent.name: path for path in found if path.is_dir()}
    parts = [_section(content, figures.get(content["resolved"]["dataset"]), wide.parent) for content in contents]
    write_text(wide, "\n".join([HEAD, *parts]))
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(out, text.getvalue())
    steps.log.info("retrieval: %d numbers of %d data sets", len(rows), len(contents))


def _whole(path: Path, content: Any, times: dict[str, Any]) -> dict[str, Any]:
    """One data set's scores, and after those of each strategy how long a query took."""
    if not isinstance(content, dict) or not {"scores", "resolved", "examples"} <= set(content):
        raise InputError(f"{path}: this holds no scores of retrieval; delete it and run again")
    if (mine := times.get(content["resolved"]["dataset"])) is None:
        raise InputError(f"{path}: its {path.stem}_times.json is not among the files; name it as well")
    judge = f"clock, {mine['threads']} threads" if mine["threads"] > 1 else "clock, 1 thread"
    scores = []
    for strategy in dict.fromkeys(row["strategy"] for row in content["scores"]):
        scores += [row for row in content["scores"] if row["strategy"] == strategy]
        if strategy in mine["ms_per_query"]:
            row = score(mine["ms_per_query"][strategy], mine["queries"], judge)
            scores.append({"strategy": strategy, "metric": TIME, "captions": "test"} | row)
    return content | {"scores": scores}


def rows_of(content: dict[str, Any]) -> list[dict[str, str]]:
    """The rows of one data set, in the order of strategies and metrics."""
    resolved = content["resolved"]
    shared = {"dataset": resolved["dataset"], "encoder": resolved["encoder"], "seed": str(resolved["seed"])}
    return [
        shared
        | {"strategy": row["strategy"], "metric": row["metric"], "captions": row["captions"], "judge": row["extractor"]}
        | {"value": number(row["value"]), "standard_error": "" if row["std"] is None else number(row["std"]), "n": str(row["n"])}
        | {"note": note(row["strategy"], resolved)}
        for row in content["scores"]
    ]


def note(strategy: str, resolved: dict[str, Any]) -> str:
    """What else a reader must know of a strategy: its place among the controls, its parameters, the size of the bank."""
    memory = resolved["memory"]
    said = [CONTROLS[strategy]] if strategy in CONTROLS else [f"index {memory['index']}"]
    said += [f"text weight {memory['text_weight']:g}"] if strategy == "both" else []
    said += [f"candidates {memory['candidates']}"] if strategy in WORD_LEVEL else []
    return "; ".join([*said, f"bank of {resolved['images']} images, {resolved['texts']} captions"])


def _section(content: dict[str, Any], figures: Path | None, home: Path) -> str:
    """One data set: a line a strategy, a column a metric, and the figure."""
    resolved, rows = content["resolved"], content["scores"]
    heads = list(dict.fromkeys((row["metric"], row["captions"]) for row in rows))
    counts = {head: {row["n"] for row in rows if (row["metric"], row["captions"]) == head} for head in heads}
    titles = [f"{metric}<br>{captions} captions, n {_span(counts[metric, captions])}" for metric, captions in heads]
    lines = []
    for strategy in dict.fromkeys(row["strategy"] for row in rows):
        mine = {(row["metric"], row["captions"]): row for row in rows if row["strategy"] == strategy}
        lines.append([f"`{strategy}`", *[_cell(mine.get(head)) for head in heads]])
    size = f"{resolved['images']} images with {resolved['texts']} captions in the bank, seed {resolved['seed']}."
    found = sorted(figures.glob("neighbours_*.png")) if figures else []
    pictures = [f"\n![Queries with their neighbours]({path.relative_to(home)})" for path in found]
    return "\n".join([f"## {resolved['dataset']}\n", f"{size}\n", *table(["strategy", *titles], lines), *pictures, ""])


def _span(counts: Sequence[int] | set[int]) -> str:
    return str(min(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    return f"{row['value']:.{3 if row['metric'] == TIME else 1}f}" + (f" ± {row['std']:.1f}" if row["std"] else "")


if __name__ == "__main__":
    steps.run(main)
