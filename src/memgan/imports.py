"""Which files of the package a module runs: its own and all that it imports, directly or not.

Both engines list these files as inputs of a step, and a training state is keyed by their contents, so that an edit reruns what
it can change and nothing else. The imports are read from the syntax tree, those inside functions too; nothing is imported.

Parsing all files takes half a second, so that what was found in a file is noted beside Python's own compiled files, and holds as
they do: as long as the file has the same time and size, and this one, which reads them, too.
"""

import ast
import atexit
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = __name__.partition(".")[0]
SOURCE = Path(__file__).resolve().parents[1]
NOTES = Path(__file__).parent / "__pycache__" / "imports.json"
_added: list[Path] = []


def code_of(module: str, source: Path = SOURCE) -> list[Path]:
    """Files of this package that `python -m <module>` can execute, relative to `source`, sorted.

    Packages' `__init__.py` files count only where they hold code, of which a docstring is none.
    """
    todo, seen, found = [module], {module}, set()
    while todo:
        name = todo.pop()
        for path in _files(name, source):
            if path not in found:
                found.add(path)
                new = set(_imported(path, _package_of(name, path))) - seen
                seen |= new
                todo += new
    return sorted(path.relative_to(source) for path in found)


@cache
def _files(name: str, source: Path) -> tuple[Path, ...]:
    """The module's file and the `__init__.py` of each package above it, where it holds code."""
    parts = name.split(".")
    packages = [source.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    own = [path for path in [source.joinpath(*parts).with_suffix(".py")] if path.is_file()]
    return (*own, *(path for path in packages if path.is_file() and _holds_code(path)))


def _holds_code(path: Path) -> bool:
    return bool(_found(path)["code"])


def _package_of(name: str, path: Path) -> str:
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


@cache
def _imported(path: Path, package: str) -> tuple[str, ...]:
    names = []
    for level, module, members in _found(path)["imports"]:
        parents = package.split(".")[: len(package.split(".")) - level + 1] if level else []
        base = ".".join([*parents, *([module] if module else [])])
        names += [base, *(f"{base}.{member}" for member in members)]
    return tuple(name for name in names if name.split(".")[0] == PACKAGE)


@cache
def _found(path: Path) -> dict[str, Any]:
    """Whether a file holds code, and its imports: [level, module, members]."""
    stamp, notes = [*_stamp(path), *_stamp(Path(__file__))], _notes()
    if (noted := notes.get(str(path))) and noted["stamp"] == stamp:
        return noted
    tree = ast.parse(path.read_text(encoding="utf-8"))
    code = bool(tree.body[1:] if ast.get_docstring(tree) is not None else tree.body)
    notes[str(path)] = {"stamp": stamp, "code": code, "imports": list(_imports(tree))}
    _added.append(path)
    return notes[str(path)]


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _imports(tree: ast.Module) -> Iterator[tuple[int, str | None, list[str]]]:
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module, [alias.name for alias in node.names]


@cache
def _notes() -> dict[str, Any]:
    """What was found before, by path; what is added is written down as the process ends, if it can be."""
    notes: dict[str, Any] = {}
    with suppress(OSError, ValueError, TypeError):
        notes = dict(json.loads(NOTES.read_text(encoding="utf-8")))
    atexit.register(lambda: _write(notes) if _added else None)
    return notes


def _write(notes: dict[str, Any]) -> None:
    own = {path: note for path, note in notes.items() if Path(path).is_relative_to(SOURCE) and Path(path).exists()}
    temporary = NOTES.with_suffix(f".{os.getpid()}.tmp")
    with suppress(OSError):
        NOTES.parent.mkdir(exist_ok=True)
        temporary.write_text(json.dumps(own), encoding="utf-8")
        temporary.replace(NOTES)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements, those inside others too; `ast.walk` would visit every expression as well, at ten times the price."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        for inner in ("body", "orelse", "finalbody", "handlers", "cases"):
            todo += getattr(node, inner, ())
