"""docs/FIDELITY.md says what is: its keys and values are those of params.yaml, its tests exist, and no key is missing.

python -m tests.unit.test_fidelity_page      writes the values of params.yaml into the page
"""

import ast
import re
from functools import cache
from typing import Any, NamedTuple

import pytest

from memgan.params.load import Settings
from memgan.params.schema import BLOCKS
from tests.factory import PARAMS, ROOT

PAGE = ROOT / "docs" / "FIDELITY.md"
SCALARS = ("seed", "seeds", "threads", "shards", "pooling", "datasets")
ORIGINS = {"[paper]", "[lineage]", "[ours]"}
# SPEC 2, 7, 9, 10, written down a second time: CUB, COCO
PAPER: dict[str, tuple[Any, Any]] = {
    "images.size": (256, 256),
    "images.short_side": (304, 304),
    "images.box_crop": (0.75, None),
    "images.flip": (True, True),
    "features.network": ("vgg16", "vgg16"),
    "features.channels": (512, 512),
    "damsm.dimension": (256, 256),
    "damsm.word_embedding": (300, 300),
    "damsm.words": (18, 12),
    "damsm.dropout": (0.5, 0.5),
    "damsm.gamma1": (4, 4),
    "damsm.gamma2": (5, 5),
    "damsm.gamma3": (10, 10),
    "damsm.foils": (0, 0),
    "damsm.image_encoder": ("inception_v3", "inception_v3"),
    "damsm.epochs": (200, 100),
    "damsm.batch": (48, 48),
    "damsm.lr": (2e-3, 2e-3),
    "damsm.decay": (0.98, 0.98),
    "damsm.lowest": (0.1, 0.1),
    "damsm.clip": (0.25, 0.25),
    "gan.stages": (3, 3),
    "gan.z": (100, 100),
    "gan.condition": (100, 100),
    "gan.whiten": (False, False),
    "gan.acm_start": ("lineage", "lineage"),
    "gan.ngf": (32, 48),
    "gan.ndf": (64, 96),
    "gan.residual_blocks": (2, 3),
    "gan.acm_width": (128, 128),
    "gan.norm": ("batch", "batch"),
    "gan.d_norm": ("batch", "batch"),
    "gan.image_features": (True, True),
    "gan.global_feature": (True, True),
    "gan.content": (True, True),
    "gan.spectral_norm": (False, False),
    "pooling": ("avg", "avg"),
    "train.epochs": (600, 120),
    "train.batch": (20, 14),
    "train.d_steps": (1, 1),
    "train.lr_g": (2e-4, 2e-4),
    "train.lr_d": (2e-4, 2e-4),
    "train.beta1": (0.5, 0.5),
    "train.beta2": (0.999, 0.999),
    "train.cooldown": (0, 0),
    "train.ema": (0.999, 0.999),
    "train.damsm_weight": (5, 50),
    "train.damsm_stages": ("last", "last"),
    "train.damsm_gamma3": (10, 10),
    "train.damsm_foils": (0, 0),
    "train.damsm_jitter": (0, 0),
    "train.diversity_weight": (0, 0),
    "train.kl_weight": (1, 1),
    "train.wrong_caption": (True, True),
    "train.neighbours": ("own", "own"),
    "train.augment": ("none", "none"),
    "sampling.samples": (30000, 30000),
    "sampling.soa_images": (3, 3),
    "metrics.real_images": (30000, 30000),
    "metrics.splits": (10, 10),
    "metrics.negatives": (99, 99),
    "metrics.folds": (10, 10),
    "metrics.fidelity": ("inception-v3-compat", "inception-v3-compat"),
    "metrics.inception_score": ("evaluator", "inception-v3-compat"),
    "metrics.fid_tv": (True, True),
    "metrics.detector": ("evaluator", "yolov3"),
    "metrics.confidence": (0.5, 0.5),
    "metrics.overlap": (0.4, 0.4),
}


class Row(NamedTuple):
    """One line of the page's tables."""

    choice: str
    paper: str
    worlds: str
    origin: str
    source: str
    entry: str
    tests: str

    def named(self) -> list[str]:
        return re.findall(r"`([^`]+)`", self.entry)


def rows() -> list[Row]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [Row(*row) for row in cells if row[0] not in ("choice", "---")]


def resolved(dataset: str, key: str) -> Any:
    """The value of a key, as the project's params.yaml gives it to a data set."""
    settings = Settings(dataset, path=ROOT / "params.yaml")
    block, _, field = key.partition(".")
    return getattr(settings.block(block, BLOCKS[block]), field) if field else settings.value(block)


def written(value: Any) -> str:
    """A value as the page writes it."""
    if isinstance(value, list | dict):
        return ", ".join(map(str, value)) or "none"
    words = {True: "true", False: "false", None: "none"}
    return words[value] if value is None or isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def cells(key: str) -> tuple[str, str]:
    """What the page must say of a key: (CUB; COCO), (birdworld; sceneworld), one where both are the same."""
    pairs = (("cub", "coco"), ("birdworld", "sceneworld"))
    return tuple("; ".join(dict.fromkeys(written(resolved(name, key)) for name in pair)) for pair in pairs)


@cache
def found_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("key", PAPER)
def test_the_presets_are_the_papers(key: str) -> None:
    assert (resolved("cub", key), resolved("coco", key)) == PAPER[key]


def test_every_entry_is_explained() -> None:
    """Each field of each block and each scalar has a line; SPEC: every [lineage] and [ours] choice is a named entry or constant."""
    explained = [key for row in rows() for key in row.named()]
    fields = {f"{block}.{field}" for block, model in BLOCKS.items() for field in model.model_fields}
    assert len(explained) == len(set(explained))
    assert set(explained) == fields | set(SCALARS)
    assert set(SCALARS) == {name for name, value in PARAMS.items() if name not in BLOCKS and not isinstance(value, dict)}


def test_values_are_those_of_params_yaml() -> None:
    said = {row.named()[0]: (row.paper, row.worlds) for row in rows() if row.named()}
    assert said == {key: cells(key) for key in said}, "write them anew: python -m tests.unit.test_fidelity_page"


def test_every_line_has_an_origin_and_only_constants_lack_a_key() -> None:
    for row in rows():
        assert row.origin in ORIGINS, row.choice
        assert row.named() or row.entry == "constant", row.choice
        assert row.paper, row.choice
        assert row.worlds, row.choice
        assert row.source != "–" or row.origin == "[ours]", row.choice


def test_every_test_that_is_named_exists() -> None:
    for row in rows():
        named = re.findall(r"`([^`]+)`", row.tests)
        assert named, row.choice
        for name in named:
            path, _, test = name.partition("::")
            assert test in found_in(path), f"{row.choice}: tests/{name}"


def refresh() -> None:
    """Writes the values of params.yaml into the page."""
    text = PAGE.read_text(encoding="utf-8")
    for row in rows():
        if key := " ".join(row.named()):
            changed = row._replace(paper=cells(key)[0], worlds=cells(key)[1])
            text = text.replace(f"| {' | '.join(row)} |", f"| {' | '.join(changed)} |")
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    refresh()
