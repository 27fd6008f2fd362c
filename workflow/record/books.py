"""All contact with DVC (with `commit`): its commands, dvc.lock, and its file of who reads and writes what."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import yaml

TABLE1, ABLATIONS = Path("dvc.yaml"), Path("ablations/dvc.yaml")
TEMPORARY = Path(".dvc/tmp")
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


def are_kept() -> bool:
    """Whether there are books here: a git clone with DVC. Says so in one line if not."""
    missing = [
        what
        for what, there in (("git clone", Path(".git").exists()), ("dvc.yaml", TABLE1.exists()), ("dvc", shutil.which("dvc")))
        if not there
    ]
    if missing:
        say(f"no {missing[0]} here: Snakemake works alone, and nothing is recorded")
    return not missing


def at_work() -> str | None:
    """The living process that DVC's file of readers and writers names, other than this one."""
    try:
        noted = json.loads((TEMPORARY / "rwlock").read_text())
    except (FileNotFoundError, ValueError):
        return None
    holders = [*noted.get("write", {}).values(), *(one for many in noted.get("read", {}).values() for one in many)]
    for holder in holders:
        if holder["pid"] != os.getpid() and _lives(holder["pid"]):
            return f"`{holder['cmd']}` (PID {holder['pid']})"
    return None


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def claim() -> None:
    """Notes this process among DVC's readers, so that DVC makes nothing here until `release`. Ends it if DVC is at work."""
    from dvc.fs import localfs
    from dvc.lock import LockError
    from dvc.rwlock import rwlock

    TEMPORARY.mkdir(exist_ok=True)
    try:
        _claims.enter_context(rwlock(str(TEMPORARY), localfs, "snakemake", [str(Path.cwd())], [], False))
    except LockError:
        sys.exit(f"error: {at_work() or 'DVC'} is at work here; wait for it, or end it")


def release() -> None:
    """Lets DVC in again."""
    _claims.close()


def status() -> dict[str, dict[str, Any]] | None:
    """What has changed since it was recorded, by stage: {"changed deps": {...}, "changed outs": {...}, "changed command": {}}.

    None if DVC cannot tell. An output that only the cache lacks has not changed.
    """
    answer = subprocess.run(["dvc", "--wait-for-lock", "status", "--json"], capture_output=True, text=True, check=False)
    if answer.returncode:
        say(f"`dvc status` failed, so file times are trusted: {' '.join(answer.stderr.split())[-300:]}")
        return None
    stages = {address: _merged(why) for address, why in json.loads(answer.stdout or "{}").items()}
    return {address: why for address, why in stages.items() if why}


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


def read(path: Path) -> dict[str, Any]:
    """A YAML file's mapping, empty if there is no file."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.exists() else {}


def commit(addresses: list[str]) -> None:
    """Enters stages into dvc.lock as they lie on the disk, and their outputs into the cache."""
    command = [sys.executable, "-P", str(Path(__file__).with_name("commit.py")), *addresses]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        say(f"the results could not be recorded; the next run tries again: {' '.join(answer.stderr.split())[-300:]}")
