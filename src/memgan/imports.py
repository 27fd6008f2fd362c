"""Which files of the package a module runs: its own and all that it imports, directly or not.

Both engines list these files as inputs of a step, and a training state is keyed by their contents, so that an edit reruns what
it can change and nothing else. The imports are read from the syntax tree, those inside functions too; nothing is imported.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = __name__.partition(".")[0]
SOURCE = Path(__file__).resolve().parents[1]


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
    body = _tree(path).body
    return bool(body[1:] if ast.get_docstring(_tree(path)) is not None else body)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _package_of(name: str, path: Path) -> str:
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


@cache
def _imported(path: Path, package: str) -> tuple[str, ...]:
    names = []
    for node in _statements(_tree(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(name for name in names if name.split(".")[0] == PACKAGE)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements, those inside others too; `ast.walk` would visit every expression as well, at ten times the price."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        for inner in ("body", "orelse", "finalbody", "handlers", "cases"):
            todo += getattr(node, inner, ())
