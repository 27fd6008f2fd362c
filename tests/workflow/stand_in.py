"""Stands in for every step in tests of the engines: takes its arguments, writes a digest of what they name and of its params."""

import fcntl
import hashlib
import json
import os
import sys
import time
from pathlib import Path

import yaml

OUTPUTS = {"out", "curves", "archives", "record", "real", "wide", "page", "summary", "pictures", "times"}
OUTPUTS |= {"varied", "varied-record", "named", "named-record"}
READS = {
    "data.render": ["seed"],
    "data.preprocess": ["images"],
    "encoders.vocabulary": ["damsm"],
    "encoders.damsm": ["seed", "threads", "damsm"],
    "encoders.evaluator": ["seed", "threads", "evaluator"],
    "encoders.vgg": ["seed", "threads", "features"],
    "gan.train": ["threads", "pooling", "gan", "train"],
    "gan.sample": ["threads", "sampling"],
    "metrics.extra_samples": ["threads", "sampling"],
    "metrics.measure": ["pooling", "metrics"],
}


def stand_in(module: str, value: int) -> None:
    """The step of that name; `value` stands for its code."""
    flags, rest = arguments()
    outputs = OUTPUTS | ({"sources"} if module == "data.render" else set())
    params = yaml.safe_load(Path("params.yaml").read_text())
    own = params["data"].get(flags.get("dataset"), {})
    read = [(params[key], own.get(key)) for key in READS.get(module, [])] + [params["runs"].get(flags.get("run"))]
    inputs = [digest(Path(path)) for name, path in sorted(flags.items()) if name not in outputs | {"log"} and Path(path).exists()]
    names = [flags.get(name) for name in ("dataset", "run", "seed", "shard")]
    content = json.dumps([module, value, read, names, inputs, [digest(Path(path)) for path in rest]], sort_keys=True)
    made = [Path(flags[name]) for name in sorted(outputs & flags.keys())]
    folder = made[0].parent / "state"
    with turn(folder, module):
        note("start", module, names)
        work(folder / f"{hashlib.md5(content.encode()).hexdigest()}", module, Path(flags["log"]))
        for path in made:
            write(path, content)
        note("end", module, names)


def arguments() -> tuple[dict[str, str], list[str]]:
    """Options by name, and positional arguments; the log is made at once."""
    words, flags, rest = sys.argv[1:], {}, []
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            flags[word[2:]] = words.pop(0)
        else:
            rest.append(word)
    Path(flags["log"]).parent.mkdir(parents=True, exist_ok=True)
    Path(flags["log"]).touch()
    return flags, rest


def turn(folder: Path, module: str):
    """As the real steps do: an orphan of a killed run is waited for."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / f"{module}.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def work(state: Path, module: str, log: Path) -> None:
    """Takes as long as the environment asks of this module: so many tenths of a second, or as long as a file is there.

    Like a training, it notes how far it has come, and goes on from there.
    """
    name = module.replace(".", "_").upper()
    resumed = state.exists()
    begun = int(state.read_text() or 0) if resumed else 0
    if resumed:
        log.write_text(f"resuming from step {begun}\n")
    state.touch()
    for tenth in range(begun, int(os.environ.get(f"TENTHS_{name}", "0"))):
        state.write_text(str(tenth + 1))
        time.sleep(0.1)
    while name in os.environ.get("HELD", "") and Path(os.environ["HELD_BY"]).exists():
        time.sleep(0.1)
    state.unlink()


def write(path: Path, content: str) -> None:
    """A file, or a folder of two, atomically."""
    temporary = path.with_name(f".{path.name}.tmp")
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        number = int(hashlib.md5(content.encode()).hexdigest()[:6], 16)
        temporary.write_text(json.dumps({"metrics": {"FID": {"value": number}}, "of": content}) + "\n")
        temporary.replace(path)
    else:
        path.mkdir(parents=True, exist_ok=True)
        for name in ("a", "b"):
            (path / name).write_text(content + name)


def note(what: str, module: str, names: list[str | None]) -> None:
    """Where the test asks for it, who worked when."""
    if "STAND_IN_LOG" in os.environ:
        with open(os.environ["STAND_IN_LOG"], "a") as file:
            file.write(json.dumps([what, module, names[0], time.monotonic()]) + "\n")


def digest(path: Path) -> str:
    """Of a file's or a folder's contents."""
    files = sorted(file for file in path.rglob("*") if not file.name.startswith(".")) if path.is_dir() else [path]
    return hashlib.md5(b"".join(file.read_bytes() for file in files)).hexdigest()
