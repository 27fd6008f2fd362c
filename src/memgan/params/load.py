"""Reads params.yaml for a step: its blocks, with what the data set and the run change of them."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from memgan.errors import InputError
from memgan.params.base import Block
from memgan.params.data import Source

PATH = Path("params.yaml")
B = TypeVar("B", bound=Block)


class Settings:
    """The entries of params.yaml as one data set and one run see them.

    Precedence: `runs.<run>` over `data.<dataset>` over the top level. Every key that is read is noted in the file that
    MEMGAN_READS names, if set, so that a test can hold it against the keys that the rule declares.
    """

    def __init__(self, dataset: str | None = None, run: str | None = None, path: Path = PATH):
        self.dataset, self.run, self.path = dataset, run, path
        self.tree = read_yaml(path)
        self._known("data", dataset, "data set")
        self._known("runs", run, "run")

    def block(self, name: str, model: type[B]) -> B:
        """The resolved block `name`. Raises InputError naming the key that is wrong."""
        merged = self._read(name)
        for place, owner in (("data", self.dataset), ("runs", self.run)):
            if owner:
                changes = (self._read(place, owner, name) if place == "data" else self._read(place, owner).get(name)) or {}
                merged = merged | changes
        return validated(model, merged, self.path, name)

    def value(self, name: str) -> Any:
        """The scalar `name`, as the run sees it."""
        value = self._read(name)
        return self._read("runs", self.run).get(name, value) if self.run else value

    def entry(self, *keys: str) -> Any:
        """The entry at these keys, which neither data set nor run changes."""
        return self._read(*keys)

    def source(self) -> Source:
        """Where the data set comes from."""
        return validated(Source, self._read("data", str(self.dataset), "source"), self.path, f"data.{self.dataset}.source")

    def _read(self, *keys: str) -> Any:
        node: Any = self.tree
        for key in keys:
            if not isinstance(node, Mapping) or key not in node:
                raise InputError(f"{self.path}: there is no entry `{'.'.join(keys)}`; add it (README, params.yaml)")
            node = node[key]
        if trace := os.environ.get("MEMGAN_READS"):
            with open(trace, "a", encoding="utf-8") as file:
                file.write(".".join(keys) + "\n")
        return node

    def _known(self, place: str, name: str | None, what: str) -> None:
        known = self.tree.get(place, {})
        if name is not None and name not in known:
            raise InputError(f"{self.path}: there is no {what} `{name}` under `{place}`; known: {', '.join(known)}")


@cache
def read_yaml(path: Path) -> dict[str, Any]:
    """The file's mapping. Raises InputError if it is missing or no YAML mapping."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file here; run in the project's root") from None
    except yaml.YAMLError as fault:
        raise InputError(f"{path}: this is not YAML ({fault})") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: this is no mapping of entries")
    return tree


def validated(model: type[B], content: Any, path: Path, key: str) -> B:
    """`content` as a block. Raises InputError that names the first wrong key and the mend."""
    try:
        return model.model_validate(content)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join([key, *(str(part) for part in first["loc"])])
        if first["type"] == "extra_forbidden":
            raise InputError(f"{path}: unknown entry `{where}`; known here: {', '.join(model.model_fields)}") from None
        raise InputError(f"{path}: `{where}`: {first['msg']} (it is {first['input']!r})") from None
