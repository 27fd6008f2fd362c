"""What `dvc status` and `dvc commit --force --no-relink` do, for many stages at once.

For each stage those commands read params.yaml, dvc.yaml and dvc.lock again, and write dvc.lock: with all ablations, for minutes.

python workflow/record/bulk.py status               prints JSON: each stage's outputs and inputs, and what has changed
python workflow/record/bulk.py commit ADDRESS...
python workflow/record/bulk.py mend FILE...         prints a line for each dvc.lock that a kill had cut off
"""

import io
import json
import os
import re
import sys
from collections.abc import Mapping
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from dvc.dependency import Dependency, param
from dvc.dvcfile import Lockfile
from dvc.exceptions import DvcException
from dvc.repo import Repo, locked
from dvc.utils.serialize import _common, _yaml, parse_yaml

STAGE = re.compile(r"  \S")  # a line of dvc.lock with which a stage begins


def main() -> None:
    """Command line. Ends with exit code 1 and DVC's one line if DVC refuses."""
    what, *rest = sys.argv[1:]
    if what == "mend":
        print("\n".join(filter(None, map(mend, map(Path, rest)))))
        return
    read_params_once()
    try:
        with Repo(_wait_for_lock=True) as repo:
            if what == "commit":
                write_whole()
                commit(repo, rest)
            else:
                print(json.dumps(status(repo)))
    except DvcException as fault:
        sys.exit(f"error: {fault}")


@locked
def status(repo: Any) -> dict[str, dict[str, Any]]:
    """By address: the outputs, the inputs, and what `dvc status` says has changed."""
    hash_inputs_once()
    return {stage.addressing: _status(stage) for stage in repo.index.stages}


def _status(stage: Any) -> dict[str, Any]:
    changed = stage.status(check_updates=False)
    return {
        "outs": [out.def_path for out in stage.outs],
        "deps": [dep.def_path for dep in stage.deps if not isinstance(dep, param.ParamsDependency)],
        "changed": changed.get(stage.addressing, []),
    }


@locked
def commit(repo: Any, addresses: list[str]) -> None:
    """Enters stages into their dvc.lock as they lie on the disk, and their outputs into the cache."""
    known = {stage.addressing: stage for stage in repo.index.stages}
    if missing := [address for address in addresses if address not in known]:
        sys.exit(f"error: there is no stage {missing[0]}")
    for dvcfile, stages in groupby(map(known.get, addresses), key=lambda stage: stage.dvcfile):
        done = []
        for stage in stages:
            stage.save()
            stage.commit(relink=False)
            done.append(stage)
        dvcfile.dump_stages(done, update_pipeline=False)


def mend(lock: Path) -> str | None:
    """Of a dvc.lock that a kill has cut off, keeps the stages that are whole, and says so: DVC writes it in place."""
    if not lock.exists():
        return None
    text = lock.read_text(encoding="utf-8", errors="replace")
    try:
        Lockfile.validate(parse_yaml(text, lock), str(lock))
    except DvcException:
        lines = text.splitlines(keepends=True)
        *whole, cut = [at for at, line in enumerate(lines) if STAGE.match(line)] or [0]
        if whole:
            _replace(lock, "".join(lines[:cut]))
        else:
            lock.unlink()
        return f"{lock} had been cut off; of its stages {len(whole)} are left, and what else is needed is made again"
    return None


def write_whole() -> None:
    """Makes DVC write its files beside their place and rename them, so that a kill leaves the old one or the new one."""

    def dump(path: str, data: Any, dumper: Any, fs: Any = None, **how: Any) -> None:
        stream = io.StringIO()
        dumper(data, stream, **how)
        _replace(Path(path), stream.getvalue())

    _common._dump_data = _yaml._dump_data = dump


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def read_params_once() -> None:
    """Makes DVC parse each file of parameters once, and look its entries up in what it then knows."""
    load = cache(lambda path, fs: param.load_path(path, fs))
    original = param.read_param_file

    def read(fs: Any, path: str, key_paths: list[str] | None = None, flatten: bool = False, **how: Any) -> Any:
        if not (key_paths and flatten) or how:
            return original(fs, path, key_paths, flatten=flatten, **how)
        tree = load(path, fs)
        return {key: entry for key in key_paths for entry in _entry(tree, key)}

    param.read_param_file = read


def hash_inputs_once() -> None:
    """Makes DVC look once at a file that many stages read: nearly all files of the package."""
    original, known = Dependency.get_hash, {}

    def get_hash(self: Dependency) -> Any:
        if self.fs_path not in known:
            known[self.fs_path] = original(self)
        return known[self.fs_path]

    Dependency.get_hash = get_hash


def _entry(tree: Any, key: str) -> list[Any]:
    """The entry at a dotted key, in a list; an empty list if there is none."""
    for part in key.split("."):
        if not isinstance(tree, Mapping) or part not in tree:
            return []
        tree = tree[part]
    return [tree]


if __name__ == "__main__":
    main()
