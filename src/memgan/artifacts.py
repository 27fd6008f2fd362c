"""How results reach the disk, and what is written about them.

A file or folder is written under a temporary name, synced and renamed, so that a half-written one never passes for a finished one.
Every artefact carries a manifest: parameters, seed, code, inputs and library versions. Nothing in it depends on the clock or the
machine's name: the same inputs give the same bytes.
"""

import ast
import errno
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from memgan.errors import InputError
from memgan.imports import SOURCE, code_of

LIBRARIES = ("torch", "torchvision", "numpy", "pillow")
NEARLY_FULL = 2**26  # bytes


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it to `path` if the block ends well, removes it otherwise.

    Raises InputError if `path` is no file but a device or a folder, which a rename would replace, if it is to lie in what is no
    folder, and if the disk is full.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is no file that can be replaced; name another")
    _refuse_files(path.parent)
    temporary = temporary_of(path)
    try:
        with full_disk_told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path`; puts it in the place of `path` if the block ends well, removes it otherwise.

    Raises InputError if `path`, or what it is to lie in, is no folder, and if the disk is full.
    """
    _refuse_files(path)
    temporary = temporary_of(path)
    try:
        with full_disk_told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.mkdir()
            yield temporary
            for file in temporary.rglob("*"):
                _sync(file)
            shutil.rmtree(path, ignore_errors=True)
            temporary.replace(path)
            _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse_files(folder: Path) -> None:
    """Raises InputError if there is something else where the folder, or one above it, is to be."""
    first = next(path for path in (folder, *folder.parents) if path.exists())
    if not first.is_dir():
        raise InputError(f"{first}: is a file; name a folder")


def temporary_of(path: Path) -> Path:
    """The name under which this process writes `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def temporaries(folder: Path, name: str) -> list[Path]:
    """What killed processes have left half-written of the file `name`; for one that knows that nobody writes it now."""
    return list(folder.glob(f".{glob.escape(name)}.*.tmp"))


@contextmanager
def full_disk_told(path: Path) -> Iterator[None]:
    """Turns what libraries make of a full disk, each in its own words, into one line."""
    try:
        yield
    except InputError:
        raise
    except Exception as fault:
        if not disk_is_full(fault, path):
            raise
        raise InputError(f"{path}: the disk is full ({_free(path) / 1e6:,.0f} MB free); make room and run again") from None


def disk_is_full(fault: Exception, path: Path) -> bool:
    """Whether writing `path` failed for want of room. torch does not say why it failed, so that the room left is looked up."""
    if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    told = str(fault)
    torchs = isinstance(fault, RuntimeError) and ("PytorchStreamWriter" in told or "inline_container" in told)
    return "os error 28" in told or "No space left" in told or (torchs and _free(path) < NEARLY_FULL)


def _free(path: Path) -> int:
    return shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically, indented, keys in the order given."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads JSON. Raises InputError if the file is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; make it with `snakemake --cores all {path}`") from None
    except ValueError as fault:
        raise InputError(f"{path}: this is not JSON ({fault}); delete it and run again") from None


def save_tensors(path: Path, tensors: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Writes tensors as safetensors, atomically, with the manifest in the header."""
    from safetensors.torch import save_file

    with atomic_file(path) as temporary:
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(plain, temporary, metadata={"manifest": json.dumps(manifest)})


def load_tensors(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads a safetensors file: (tensors by name, manifest). Raises InputError if it is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            manifest = json.loads((file.metadata() or {}).get("manifest", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, manifest  # noqa: SIM118 (no mapping)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; make it with `snakemake --cores all {path}`") from None
    except SafetensorError as fault:
        raise InputError(f"{path}: damaged ({fault}); delete it and run again") from None


def manifest(module: str, params: Mapping[str, Any], inputs: Mapping[str, Path], seed: int | None = None) -> dict[str, Any]:
    """What is written about an artefact.

    `module` is the step's dotted name, `params` its resolved blocks, `inputs` the files and folders it read by role.
    """
    return {
        "step": module,
        "params": dict(params),
        "seed": seed,
        "code": digest_of_code(module),
        "inputs": {role: sha256(path) for role, path in inputs.items()},
        "versions": {name: version(name) for name in LIBRARIES},
    }


def digest_of_code(module: str) -> str:
    """sha256 over the syntax trees of the files that the module runs: comments and layout do not count."""
    total = hashlib.sha256()
    for path in code_of(module):
        total.update(f"{path}\0{ast.dump(ast.parse((SOURCE / path).read_text(encoding='utf-8')))}\0".encode())
    return total.hexdigest()


def sha256(path: Path) -> str:
    """sha256 of a file, or of a folder's relative names and contents. Raises InputError if there is none."""
    if path.is_dir():
        total = hashlib.sha256()
        for file in sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")):
            total.update(f"{file.relative_to(path)}\0{sha256(file)}\0".encode())
        return total.hexdigest()
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; make it with `snakemake --cores all {path}`")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed from the names of what it is for: seed_of(run_seed, "sample", caption_id, index).

    The same parts give the same seed on every machine; other parts give an unrelated one.
    """
    return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[:8], "big") >> 1
