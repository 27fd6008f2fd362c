"""The whole of params.yaml: what may stand in it, its JSON schema, and its check before anything runs.

python -m memgan.params.schema          writes workflow/schemas/params.schema.json
"""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from memgan.artifacts import write_text
from memgan.errors import InputError
from memgan.params.ablations import Ablations
from memgan.params.base import Block, entry, optional
from memgan.params.data import Images, Source
from memgan.params.encoders import Damsm, Evaluator, Features
from memgan.params.evaluation import Metrics, Sampling
from memgan.params.gan import Gan, Pooling, Train
from memgan.params.load import Scalars, Settings, read_yaml, validated
from memgan.params.memory import Memory
from memgan.params.methods import Method

BLOCKS: dict[str, type[Block]] = {
    "images": Images,
    "damsm": Damsm,
    "evaluator": Evaluator,
    "features": Features,
    "memory": Memory,
    "gan": Gan,
    "train": Train,
    "sampling": Sampling,
    "metrics": Metrics,
}
PAPER = "ours"  # the run that changes nothing
SCHEMA = Path("workflow/schemas/params.schema.json")
Changes = dict[str, Any]
Key = Annotated[str, Field(pattern=r"^\w+$")]  # part of file names and of dotted keys


class DataSet(Block):
    """A data set: its source, and what it changes of each block (`{}` where nothing)."""

    source: Source = entry("where it comes from")
    images: Changes = entry("changes of `images`")
    damsm: Changes = entry("changes of `damsm`")
    evaluator: Changes = entry("changes of `evaluator`")
    features: Changes = entry("changes of `features`")
    memory: Changes = entry("changes of `memory`")
    gan: Changes = entry("changes of `gan`")
    train: Changes = entry("changes of `train`")
    sampling: Changes = entry("changes of `sampling`")
    metrics: Changes = entry("changes of `metrics`")


class Run(Block):
    """A named set of overrides, which win over everything else; only what comes after the encoders can change."""

    pooling: Pooling = Field("avg", description="kind of the content pooling")
    memory: Changes = Field({}, description="changes of `memory`")
    gan: Changes = Field({}, description="changes of `gan`")
    train: Changes = Field({}, description="changes of `train`")
    sampling: Changes = Field({}, description="changes of `sampling`")


class Params(Scalars):
    """params.yaml: everything that changes a number in a table, and nothing else."""

    ablations: Ablations = entry("data set and seeds of the ablations, apart from Table 1")
    images: Images = entry("geometry")
    damsm: Damsm = entry("text and image encoders")
    evaluator: Evaluator = entry("scoring network")
    features: Features = entry("network that gives v")
    memory: Memory = entry("memory bank and retrieval")
    gan: Gan = entry("generator and discriminators")
    train: Train = entry("losses and recipe")
    sampling: Sampling = entry("sampling")
    metrics: Metrics = entry("protocol")
    data: dict[Key, DataSet] = entry("the data sets that can be named")
    runs: dict[Key, Run] = entry("named overrides; `ours` is empty")
    methods: dict[Key, Method] = optional("other systems' samples, to be scored as ours are", {})


def check(path: Path) -> Params:
    """The whole file, each data set's and run's resolved blocks included. Raises InputError for the first fault."""
    Settings(path=path)  # refuses unknown names first
    params = validated(Params, read_yaml(path), path)
    if PAPER not in params.runs:
        raise InputError(f"{path}: `runs` has no `{PAPER}`, the paper's method; add `{PAPER}: {{}}`")
    for run in params.ablations.leave_out:
        Settings(run=run, path=path)
    for name in [*params.datasets, params.ablations.dataset, *(method.dataset for method in params.methods.values())]:
        Settings(dataset=name, path=path)
    for dataset in params.data:
        for run in [None, *params.runs]:
            check_resolved(Settings(dataset, run, path))
    return params


def check_resolved(settings: Settings) -> None:
    """The blocks as one data set and one run see them. Raises InputError for a faulty one, and if two do not go together."""
    for block, model in BLOCKS.items():
        settings.block(block, model)
    if misfit := settings.block("gan", Gan).misfit(settings.block("images", Images)):
        raise InputError(f"{settings.path}: `{settings.where('gan', 'stages')}`: {misfit} (data set `{settings.dataset}`)")


def schema() -> str:
    """The JSON schema of params.yaml."""
    return json.dumps(Params.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_text(SCHEMA, schema())
