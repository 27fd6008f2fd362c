"""Reads params.yaml for a step: its scalars and blocks, with what the data set and the run change of them.

A step looks at what it reads, and at the names of all entries: a misspelt one is refused under either engine.
"""

import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_args

import yaml
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from memgan.errors import InputError
from memgan.params.base import Block, Pooling, entry
from memgan.params.data import Source

PATH = Path("params.yaml")
B = TypeVar("B", bound=Block)
V = TypeVar("V")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is 7 times as fast; every step waits for it
SHOWN = 60  # characters of a wrong value
NO_MAPPING = ("dict_type", "model_type")  # pydantic's names of faults
PLAIN = {  # what pydantic says of these is about Python; {} is the wrong value
    "tuple_type": "write a list: [{}]",
    "too_short": "the list is empty; name at least one",
    "string_pattern_mismatch": "a name has letters, digits and _ alone",
}


def distinct(values: tuple[V, ...]) -> tuple[V, ...]:
    """The same. Raises ValueError if one comes twice."""
    if len(set(values)) < len(values):
        raise ValueError("no value may come twice")
    return values


Seed = Annotated[int, Field(ge=0)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(distinct)]


class Scalars(Block):
    """What stands alone, outside of any block."""

    seed: Seed = entry("of the worlds, the splits and the encoders")
    seeds: Seeds = entry("one trained generator each")
    threads: int = entry("torch threads of a job: their number changes the order of sums", ge=1)
    shards: int = entry("jobs that share the sampling of one run; the images are the same whatever it is", ge=1)
    pooling: Pooling = entry("kind of the discriminators' content pooling; paper avg")
    datasets: Annotated[tuple[str, ...], AfterValidator(distinct)] = entry(
        "what Table 1 is measured on, names under `data`", min_length=1
    )


SCALARS = {
    name: TypeAdapter(Annotated[field.annotation, *field.metadata]) if field.metadata else TypeAdapter(field.annotation)
    for name, field in Scalars.model_fields.items()
}
AFTER = ("memory", "gan", "train", "sampling")  # blocks that a run may change: what comes after the encoders
BLOCKS = ("images", "damsm", "evaluator", "features", *AFTER, "metrics")
NAMES = {  # of the entries at each level
    "": (*SCALARS, "ablations", *BLOCKS, "data", "runs", "methods"),
    "data": ("source", *BLOCKS),
    "runs": ("pooling", *AFTER),
}


class Settings:
    """The entries of params.yaml as one data set and one run see them.

    Precedence: `runs.<run>` over `data.<dataset>` over the top level. Every key that is read is noted in the file that
    MEMGAN_READS names, if set, so that a test can hold it against the keys that the rule declares.
    """

    def __init__(self, dataset: str | None = None, run: str | None = None, path: Path = PATH):
        self.dataset, self.run, self.path = dataset, run, path
        self.tree = read_yaml(path)
        refuse_faulty(self.tree, NAMES[""], path)
        self._known("data", dataset, "data set")
        self._known("runs", run, "run")

    def block(self, name: str, model: type[B]) -> B:
        """The resolved block `name`. Raises InputError naming the key that is wrong, where it stands."""
        merged, places = self._resolved(name)
        return validated(model, merged, self.path, name, places)

    def where(self, name: str, field: str) -> str:
        """The key at which the field of the block `name` stands."""
        return f"{self._resolved(name)[1].get(field, name)}.{field}"

    def value(self, name: str) -> Any:
        """The scalar `name`, as the run sees it. Raises InputError if it is none that it may be."""
        value, where = self._read(name), name
        if self.run and name in (changes := self._read("runs", self.run)):
            value, where = changes[name], f"runs.{self.run}.{name}"
        try:
            found = SCALARS[name].validate_python(value)
        except ValidationError as fault:
            refuse(fault, self.path, where)
        return list(found) if isinstance(found, tuple) else found

    def entry(self, *keys: str) -> Any:
        """The entry at these keys, which neither data set nor run changes."""
        return self._read(*keys)

    def source(self) -> Source:
        """Where the data set comes from."""
        return validated(Source, self._read("data", str(self.dataset), "source"), self.path, f"data.{self.dataset}.source")

    def _resolved(self, name: str) -> tuple[dict[str, Any], dict[str, str]]:
        """The block's fields, and by their names where those stand that the data set or the run changes."""
        merged, places = self._read(name), dict[str, str]()
        for place, owner in (("data", self.dataset), ("runs", self.run)):
            if owner:
                changes = self._read(place, owner, name) if place == "data" else self._read(place, owner).get(name, {})
                merged = merged | changes
                places |= dict.fromkeys(changes, f"{place}.{owner}.{name}")
        return merged, places

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
        if name is None:
            return
        if name not in known:
            raise InputError(f"{self.path}: there is no {what} `{name}` under `{place}`; known: {', '.join(map(str, known))}")
        refuse_faulty(known[name], NAMES[place], self.path, f"{place}.{name}")


@cache
def read_yaml(path: Path) -> dict[str, Any]:
    """The file's mapping. Raises InputError if it is missing, no YAML mapping, or has a key twice."""
    try:
        loader = LOADER(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        refuse_repeated(root, path)
        tree = loader.construct_document(root) if root else None
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file here; run in the project's root") from None
    except OSError as fault:
        raise InputError(f"{path}: this cannot be read ({fault.strerror}); make it a file that you may read") from None
    except UnicodeDecodeError as fault:
        line = fault.object[: fault.start].count(b"\n") + 1
        raise InputError(f"{path}: line {line}: this is no UTF-8; save the file in UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as fault:  # a date that there is not, an anchor that holds itself
        raise InputError(f"{path}: this is not YAML ({' '.join(str(fault).split())})") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: this is no mapping of entries")
    return tree


def refuse_repeated(node: yaml.Node | None, path: Path, prefix: str = "") -> None:
    """Raises InputError for a key that comes twice in one mapping: PyYAML would take the last, and DVC refuses the file."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            refuse_repeated(item, path, prefix)
    elif isinstance(node, yaml.MappingNode):
        known = set[tuple[str, str]]()
        for key, content in node.value:
            name, kind = f"{prefix}{key.value}", (key.tag, str(key.value))
            if kind in known:
                raise InputError(f"{path}: line {key.start_mark.line + 1}: `{name}` comes twice; leave one of them")
            known.add(kind)
            refuse_repeated(content, path, f"{name}.")


def validated(model: type[B], content: Any, path: Path, key: str = "", places: Mapping[str, str] | None = None) -> B:
    """`content` as a block. Raises InputError that names the first wrong key and the mend.

    `places`: fields that stand elsewhere than under `key`.
    """
    try:
        return model.model_validate(content)
    except ValidationError as fault:
        refuse(fault, path, key, places or {}, model)


def refuse(
    fault: ValidationError, path: Path, key: str, places: Mapping[str, str] | None = None, model: type[Block] | None = None
) -> NoReturn:
    """Raises InputError for what is wrong at `key`: unknown names first, since the entry that is missing is misspelt there."""
    first = min(fault.errors(), key=lambda error: error["type"] != "extra_forbidden")
    loc = [str(part) for part in first["loc"] if part != "[key]"]
    where = ".".join(filter(None, [(places or {}).get(loc[0], key) if loc else key, *loc]))
    if first["type"] == "extra_forbidden":
        raise InputError(unknown(where, fields_at(model, loc[:-1]), path)) from None
    if first["type"] == "missing":
        raise InputError(f"{path}: there is no entry `{where}`; add it (README, params.yaml)") from None
    if first["type"] in NO_MAPPING:
        raise InputError(no_mapping(where, path)) from None
    empty = first["input"] is None
    given = "..." if empty else repr(first["input"])
    given = given if len(given) <= SHOWN else f"{given[:SHOWN]}..."
    said = PLAIN[first["type"]].format(given) if first["type"] in PLAIN else first["msg"].removeprefix("Value error, ")
    raise InputError(f"{path}: `{where}`: {said} (it is {'empty' if empty else given})") from None


def fields_at(kind: Any, loc: Iterable[str]) -> Iterable[str]:
    """Names of the fields of the block at `loc` in a block or in a mapping of blocks; none where there is no block."""
    for part in loc:
        if isinstance(kind, type) and issubclass(kind, Block):
            kind = kind.model_fields[part].annotation if part in kind.model_fields else None
        else:
            kind = get_args(kind)[-1] if get_args(kind) else None
    blocks = [each for each in (kind, *get_args(kind)) if isinstance(each, type) and issubclass(each, Block)]
    return blocks[0].model_fields if blocks else ()


def refuse_faulty(entries: Any, names: Iterable[str], path: Path, where: str = "") -> None:
    """Raises InputError if the entries at `where` are none, for one that has another name than these, and for an empty block."""
    if not isinstance(entries, Mapping):
        raise InputError(no_mapping(where, path))
    for name, content in entries.items():
        key = f"{where}.{name}" if where else str(name)
        if name not in names:
            raise InputError(unknown(key, names, path))
        if name not in SCALARS and not isinstance(content, Mapping):
            raise InputError(no_mapping(key, path))


def no_mapping(where: str, path: Path) -> str:
    """What is said of a block that is empty or something else."""
    return f"{path}: `{where}` is no mapping of entries; write them under it, or `{{}}` where there are none"


def unknown(where: str, names: Iterable[str], path: Path) -> str:
    """What is said of an unknown entry."""
    near = get_close_matches(where.rpartition(".")[2], list(names), n=1)
    meant = f"; is `{near[0]}` meant?" if near else ""
    return f"{path}: unknown entry `{where}`{meant}" + (f"; known here: {', '.join(names)}" if names else "")
