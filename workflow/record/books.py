"""All contact with DVC (with `bulk`): its commands, dvc.lock, and its file of who reads and writes what."""

import atexit
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache
from itertools import product
from pathlib import Path
from subprocess import PIPE
from typing import Any

import psutil
import yaml

TABLE1, ABLATIONS = Path("dvc.yaml"), Path("ablations/dvc.yaml")
TEMPORARY = Path(".dvc/tmp")
RWLOCK, EXPERIMENTS = TEMPORARY / "rwlock", TEMPORARY / "exps/rwlock"  # DVC's notes of who reads and writes what
WORKSPACE = "workspace"  # what `dvc exp run` notes in the second before it touches any file; its queue notes other things there
BULK = (sys.executable, "-P", str(Path(__file__).with_name("bulk.py")))
SLACK = 1.0  # seconds by which clocks of processes and of files may differ
PATIENCE = 15.0  # seconds of silence
FAST_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a dvc.lock of all ablations takes seconds without libyaml
Stages = dict[str, dict[str, Any]]
_claims = ExitStack()
_closed = False


def close() -> None:
    """For programs that only read the rules: the books stay closed while they do."""
    global _closed
    _closed = True


def are_closed() -> bool:
    """Whether this Snakemake keeps no books: a DVC stage called it, and DVC keeps them; or it only reads the rules."""
    return _closed or "DVC_STAGE" in os.environ


def say(text: str) -> None:
    """One line on standard error."""
    print(f"record: {text}", file=sys.stderr, flush=True)


@cache
def are_kept() -> bool:
    """Whether there are books here: a git clone with DVC. Says so in one line, once, if not."""
    missing = [
        what
        for what, there in (
            ("git clone", Path(".git").exists()),
            (".dvc folder", TEMPORARY.parent.is_dir()),
            ("dvc.yaml", TABLE1.exists()),
            ("dvc", importlib.util.find_spec("dvc")),
        )
        if not there
    ]
    if missing:
        say(f"no {missing[0]} here: Snakemake works alone, and nothing is recorded")
    return not missing


def at_work() -> str | None:
    """The living process that DVC's notes name, other than this one."""
    for file, only in ((RWLOCK, None), (EXPERIMENTS, WORKSPACE)):
        try:
            noted, since = json.loads(file.read_text()), file.stat().st_mtime
        except (FileNotFoundError, ValueError):  # `claim` removes one that a kill has cut off
            continue
        for what, holders in (*noted.get("write", {}).items(), *noted.get("read", {}).items()):
            for holder in holders if isinstance(holders, list) else [holders]:
                if only in (None, what) and holder["pid"] != os.getpid() and _lives(holder["pid"], since):
                    return f"`{holder['cmd']}` (PID {holder['pid']})"
    return None


def _lives(pid: int, since: float) -> bool:
    """Whether the process that had this number at that time still runs; the system may have given it to a younger one."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() < since + SLACK
    except psutil.NoSuchProcess:
        return False


def claim() -> None:
    """Notes this process among DVC's readers, so that DVC makes nothing here until `release`. Ends it if DVC is at work.

    In both of DVC's files: `dvc exp run` changes params.yaml and restores outputs before it looks into the first.
    """
    atexit.register(release)
    _note(RWLOCK, str(Path.cwd()))
    _note(EXPERIMENTS, WORKSPACE)


def _note(file: Path, what: str) -> None:
    from dvc.fs import localfs
    from dvc.lock import LockError
    from dvc.rwlock import RWLockFileCorruptedError, rwlock

    file.parent.mkdir(parents=True, exist_ok=True)
    note = (str(file.parent), localfs, "snakemake", [what], [], False)
    try:
        _claims.enter_context(rwlock(*note))
    except (LockError, RWLockFileCorruptedError):
        if other := at_work():
            sys.exit(f"error: {other} is at work here; wait for it, or end it")
        # What a killed DVC has left, cut off or with a number that is in use again, for which DVC takes it for a living one's.
        file.unlink(missing_ok=True)
        _claims.enter_context(rwlock(*note))


def release() -> None:
    """Lets DVC in again."""
    _claims.close()


def ask() -> subprocess.Popen[str]:
    """Starts the look at what has changed, which takes its second or two beside the reading of the rules."""
    return subprocess.Popen([*BULK, "status"], stdout=PIPE, stderr=PIPE, text=True)


def status(asked: subprocess.Popen[str]) -> Stages | None:
    """By stage its outputs and its inputs ("outs", "deps"), and what has changed since they were recorded ("changed").

    None if DVC cannot tell. That is {"changed deps": {...}, "changed outs": {...}, "changed command": {}}, empty if nothing has;
    an output that only the cache lacks has not changed.
    """
    try:
        answer, complaint = asked.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        say("waiting for `dvc status`: it reads what has changed, or waits for another dvc")
        answer, complaint = asked.communicate()
    if asked.returncode and _mended():
        return status(ask())
    if asked.returncode:
        say(f"`dvc status` failed, so file times are trusted: {' '.join(complaint.split())[-300:]}")
        return None
    return {address: stage | {"changed": _merged(stage["changed"])} for address, stage in json.loads(answer).items()}


def _mended() -> bool:
    """Whether a dvc.lock was found cut off, and is whole now."""
    locks = [str(file.with_suffix(".lock")) for file in (TABLE1, ABLATIONS)]
    found = subprocess.run([*BULK, "mend", *locks], stdout=PIPE, text=True, check=False).stdout.split("\n")
    for line in filter(None, found):
        say(line)
    return any(found)


def _merged(why: list[dict[str, Any] | str]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for one in why:
        merged |= one if isinstance(one, dict) else {one: {}}
    if outs := {path: what for path, what in merged.pop("changed outs", {}).items() if what != "not in cache"}:
        merged["changed outs"] = outs
    return merged


def recorded() -> dict[str, dict[str, Any]]:
    """The stages of dvc.lock, by address."""
    stages = {}
    for file in (TABLE1, ABLATIONS):
        lock = file.with_suffix(".lock")
        for name, stage in (read(lock).get("stages") or {}).items():
            stages[name if file == TABLE1 else f"{file}:{name}"] = stage
    return stages


def listed(config: Mapping[str, Any]) -> set[str]:
    """Addresses of the stages that there are. dvc.lock may remember others, for which nobody vouches any more."""
    table1 = {name for rule, stage in read(TABLE1).get("stages", {}).items() for name in instances(rule, stage, config)}
    others = read(ABLATIONS).get("stages", {})
    names = [f"{rule}@{key}" for rule, stage in others.items() for key in stage.get("foreach", ())]
    names += [rule for rule, stage in others.items() if "foreach" not in stage]
    return table1 | {f"{ABLATIONS}:{name}" for name in names}


def instances(rule: str, stage: Mapping[str, Any], config: Mapping[str, Any]) -> set[str]:
    """Names of the stages that an entry of dvc.yaml stands for."""
    axes = stage.get("matrix", {}).values()
    values = [config.get(axis.strip("${}"), []) if isinstance(axis, str) else axis for axis in axes]
    return {f"{rule}@{'-'.join(map(str, each))}" if axes else rule for each in product(*values)}


def read(path: Path) -> dict[str, Any]:
    """A YAML file's mapping, empty if there is no file."""
    return yaml.load(path.read_text(encoding="utf-8"), FAST_LOADER) or {} if path.exists() else {}


def commit(addresses: list[str]) -> None:
    """Enters stages into dvc.lock as they lie on the disk, and their outputs into the cache."""
    answer = subprocess.run([*BULK, "commit", *addresses], capture_output=True, text=True, check=False)
    if answer.returncode:
        say(f"the results could not be recorded; the next run tries again: {' '.join(answer.stderr.split())[-300:]}")
