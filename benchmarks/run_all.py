"""Runs every benchmark here, and writes benchmarks/results.json and a plot of its figures against their limits.

python -m benchmarks.run_all [--only train_step --only retrieval] [--scale 0.05]       (in the repository's root, PYTHONPATH=src)

A benchmark is a file here that can be run; CALLS holds the arguments of those that are called in several ways, LIMITS what is asked
of their figures. One that fails (orchestration needs Table 1 to have been made) is noted with its last line. A benchmark that is
not run this time keeps its figures, with the machine and the day on which they were measured.
"""

import datetime
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import typer
from typer import Option

from benchmarks.measure import facts
from memgan.artifacts import atomic_folder, write_json
from memgan.report.style import WIDTH, save, styled

HERE = Path("benchmarks")
RESULTS, PLOT = HERE / "results.json", HERE / ".out" / "limits"
CALLS = {
    "train_step": [["--mode", mode] for mode in ("train", "sample", "damsm", "features")],
    "loader": [[], ["--dataset", "cub", "--images", "640", "--side", "500", "--alone"]],
    "orchestration": [[], ["--stand-ins", "--ablations"]],
}
LIMITS = {  # benchmark -> figure -> (the least, or the most, that is asked for)
    "train_step": {"fraction": (0.65, None), "counted_over_needed": (None, 1.01)},
    "orchestration": {
        "snakemake_noop_s": (None, 5.0),
        "dvc_noop_s": (None, 5.0),
        "record_share": (None, 0.1),
        "ablations_snakemake_noop_s": (None, 15.0),
        "ablations_dvc_noop_s": (None, 15.0),
    },
    "loader": {"idle": (None, 0.05)},
    "preprocess": {"ratio": (1.7, None), "small_ratio": (1.7, None)},
    "metrics": {"measure_s": (None, 180.0)},
    "retrieval": {
        "exact_over_faiss": (0.9, None),
        "sentence_ivf_qps": (5000.0, None),
        "sentence_ivf_recall": (0.99, None),
        "words_qps": (100.0, None),
        "words_recall": (0.98, None),
        "words_image_qps": (20.0, None),
        "words_image_recall": (0.95, None),
        "peak_gb": (None, 4.0),
        "build_s": (None, 120.0),
    },
}


def main(
    only: Annotated[list[str] | None, Option(help="benchmarks to run; the others keep their figures")] = None,
    scale: Annotated[float, Option(help="of the retrieval's bank: share of COCO")] = 1.0,
) -> None:
    """Runs them one after the other."""
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"benchmarks": {}}
    names = only or benchmarks()
    if unknown := set(names) - set(benchmarks()):
        sys.exit(f"error: no benchmark {', '.join(sorted(unknown))} here; there are {', '.join(benchmarks())}")
    for name in names:
        more = ["--scale", str(scale)] if name == "retrieval" else []
        for arguments in CALLS.get(name, [[]]):
            label = " ".join([name, *arguments])
            found["benchmarks"][label] = outcome(name, [*arguments, *more])
            print(f"{label}: {json.dumps(checks(name, found['benchmarks'][label]))}", flush=True)
            found["machine"] = facts()
            write_json(RESULTS, found)
    with styled(), atomic_folder(PLOT) as folder:
        save(plot(found["benchmarks"]), folder, "limits")
    print(json.dumps({"results": str(RESULTS), "plot": str(PLOT / "limits.png"), "benchmarks": len(found["benchmarks"])}))


def benchmarks() -> list[str]:
    """Names of the files here that can be run, but for this one."""
    files = sorted(path for path in HERE.glob("*.py") if path.stem != "run_all")
    return [path.stem for path in files if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")]


def outcome(name: str, arguments: list[str]) -> dict[str, Any]:
    """The JSON object that a benchmark prints last, and when and in what time it was measured; its last line if it fails."""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], capture_output=True, text=True, check=False)
    noted = {"arguments": arguments, "day": datetime.date.today().isoformat(), "seconds": round(time.monotonic() - began, 1)}
    if done.returncode:
        return noted | {"failed": (done.stderr.strip().splitlines() or ["without a word"])[-1]}
    return noted | {"machine": facts(), "figures": json.loads(done.stdout.strip().splitlines()[-1])}


def checks(name: str, result: dict[str, Any]) -> dict[str, Any]:
    """Figure by figure that has a limit: what was measured, what was asked for, and whether it is kept."""
    if "failed" in result:
        return {"failed": result["failed"]}
    checked = {}
    for figure, (least, most) in LIMITS.get(name, {}).items():
        if (value := result["figures"].get(figure)) is not None:
            kept = (least is None or value >= least) and (most is None or value <= most)
            checked[figure] = {"value": value, "asked": f">= {least:g}" if most is None else f"<= {most:g}", "kept": kept}
    return checked


def plot(results: dict[str, Any]) -> plt.Figure:
    """A bar for each figure that has a limit, as a multiple of it, so that all fit one axis; to the right of 1 is kept."""
    bars = []
    for label, result in results.items():
        for figure, check in checks(label.split()[0], result).items():
            if isinstance(check, dict):
                sign, limit = check["asked"].split()
                ratio = check["value"] / float(limit) if sign == ">=" else float(limit) / max(check["value"], 1e-9)
                value = f"{check['value']:,.0f}" if check["value"] >= 1000 else f"{check['value']:.3g}"
                bars.append((f"{label}: {figure}", ratio, f"{value} ({check['asked']})", check["kept"]))
    figure, axis = plt.subplots(figsize=(WIDTH, 0.6 + 0.24 * max(1, len(bars))), layout="constrained")
    for place, (_, ratio, said, kept) in enumerate(reversed(bars)):
        axis.barh(place, min(ratio, 10), color="#6cc5b0" if kept else "#ff725c", height=0.6)
        axis.text(min(max(ratio, 1), 10) * 1.04, place, said, va="center", fontsize=6)
    axis.set_yticks(range(len(bars)), [label for label, *_ in reversed(bars)], fontsize=6)
    axis.axvline(1.0, color="#333333", linewidth=0.8)
    axis.set(xscale="log", xlim=(0.1, 25), xlabel="times better than asked for (1: just kept)")
    axis.grid(visible=False, axis="y")
    return figure


if __name__ == "__main__":
    typer.run(main)
