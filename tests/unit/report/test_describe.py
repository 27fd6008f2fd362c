"""`memgan describe`: a tiny configuration counted by hand, and the paper's scale."""

import json
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from memgan.cli import app
from memgan.encoders.examples import WORLDS
from memgan.gan.discriminator import Discriminator
from memgan.gan.generator import Generator
from memgan.params.load import read_yaml
from memgan.report.describe import describe, table
from tests.factory import PARAMS, gan_block, images_block

TINY: dict[str, dict[str, Any]] = {
    "images": {"size": 16, "short_side": 16},
    "damsm": {"dimension": 4, "word_embedding": 6, "words": 5, "image_encoder": "small", "width": 2},
    "evaluator": {"width": 2, "features": 8},
    "features": {"network": "small", "channels": 6, "width": 2},
    "gan": {
        "stages": 2,
        "ngf": 2,
        "ndf": 3,
        "z": 5,
        "condition": 3,
        "acm_width": 7,
        "residual_blocks": 1,
        "norm": "batch",
        "whiten": True,
    },
}
# by hand: (parameters, multiply-adds); 3x3 kernels have no bias, BatchNorm has two parameters a channel; where a 3x3 kernel follows
# up-sampling, an output pixel sees 4 pixels
GENERATOR = {
    ("whitening of s", None): (0, 4 * 4),
    ("whitening of the mean w", None): (0, 4 * 4),
    ("conditioning augmentation", None): (4 * 12 + 12, 4 * 12),
    ("image feature", 1): (6 * 4 * 9 + 8, 6 * 4 * 4 * 8**2),
    ("image feature", 2): (2 * 4 * 9 + 8, 2 * 4 * 4 * 16**2),
    ("next stage's ACM", 2): (3 * 2 * 7 * 9, 3 * 2 * 7 * 9 * 8**2),
    ("head's ACM", 1): (3 * 2 * 7 * 9, 3 * 2 * 7 * 9 * 8**2),
    ("head's ACM", 2): (3 * 2 * 7 * 9, 3 * 2 * 7 * 9 * 16**2),
    ("first stage", 1): (18 * 1024 + 2048 + 32 * 4 * 9 + 8, 18 * 1024 + 32 * 4 * 4 * 8**2),  # 18 = 3 c + 5 z + 4 w + 6 v_G
    ("next stage", 2): (72 + 8 + 36 + 4 + 72 + 8, (72 + 36) * 8**2 + 32 * 16**2),
    ("head", 1): (2 * 3 * 9, 2 * 3 * 9 * 8**2),
    ("head", 2): (2 * 3 * 9, 2 * 3 * 9 * 16**2),
}
DISCRIMINATOR = {  # of stage 2
    ("content", 2): (0, 0),
    ("block 1", 2): (3 * 3 * 16 + 3, 3 * 3 * 16 * 8**2),
    ("block 2", 2): (6 * 6 * 16 + 12, 6 * 6 * 16 * 4**2),  # 6 = 3 ndf + 3 colours
    ("unconditional head", 2): (9 * 16 + 1, 9 * 16),
    # the sentence is multiplied by its nine taps, and those summed at each of the 16 places, instead of being spread over them
    ("joint block", 2): ((9 + 4) * 9 * 9 + 18, 9 * 9 * 9 * 16 + 4 * 9 * 9 + 9 * 9 * 16),
    ("conditional head", 2): (9 * 16 + 1, 9 * 16),
}
V = ("layers", None), (846 + 2 * 24, (54 + 36) * 16**2 + (72 + 144) * 8**2 + (216 + 324) * 4**2)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder with the project's params.yaml, with a data set `small` of the configuration above."""
    monkeypatch.chdir(tmp_path)
    small = PARAMS["data"]["birdworld"] | TINY
    tree = PARAMS | {"data": PARAMS["data"] | {"small": small}, "runs": {"ours": {}, "bare": {"gan": {"image_features": False}}}}
    tree["runs"]["blind"] = {"gan": {"content": False, "spectral_norm": True}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    read_yaml.cache_clear()
    yield tmp_path
    read_yaml.cache_clear()


@cache
def fresh(dataset: str, run: str = "ours") -> dict[str, Any]:
    """As described where nothing is made yet: the same in every test."""
    return describe(dataset, run)


def networks(described: dict[str, Any]) -> dict[str, Any]:
    return {network["network"]: network for network in described["networks"]}


def counts(network: dict[str, Any]) -> dict[tuple[str, int | None], tuple[int, int]]:
    return {(p["part"], p["stage"]): (p["parameters"], p["multiply_adds"]) for p in network["parts"]}


def test_every_part_of_a_tiny_gan_by_hand() -> None:
    found = networks(fresh("small"))
    assert counts(found["generator"]) == GENERATOR
    assert counts(found["discriminator 2"]) == DISCRIMINATOR
    assert (found["generator"]["parameters"], found["generator"]["multiply_adds"]) == (
        sum(p for p, _ in GENERATOR.values()),
        sum(m for _, m in GENERATOR.values()),
    )
    of_feature = sum(m for (part, _), (_, m) in GENERATOR.items() if part == "image feature" or part.endswith("ACM"))
    assert found["generator"]["of_feature"] == of_feature
    gan, images = gan_block(**TINY["gan"]), images_block(**TINY["images"])
    built = Generator(gan, images, 4, 6), Discriminator(8, gan, "avg", 4), Discriminator(16, gan, "avg", 4)
    for name, network in zip(("generator", "discriminator 1", "discriminator 2"), built, strict=True):
        assert found[name]["parameters"] == sum(parameter.numel() for parameter in network.parameters())  # and nothing else


def test_encoders_by_hand(project: Path) -> None:
    (project / "results" / "small").mkdir(parents=True)
    (project / "results" / "small" / "vocabulary.json").write_text(json.dumps({"words": ["a", "red", "bird"]}))
    found = networks(describe("small", "ours"))
    text = counts(found["text encoder, 5 words"])
    assert text["word table", None] == ((3 + 2) * 6, 0)  # padding and the unknown word have rows of their own
    assert text["bi-LSTM", None] == (2 * (4 * 2 * (6 + 2) + 2 * 4 * 2), 2 * 5 * 4 * 2 * (6 + 2))
    assert dict([V]) == counts(found["network of v, small"])
    # the small image encoder of 16 px: 3 -> 2 channels at 8 x 8, there again, and 2 -> 4 at 4 x 4
    trunk = 3 * 2 * 9 + 4 + 2 * 2 * 9 + 4 + 2 * 4 * 9 + 8, (54 + 36) * 8**2 + 72 * 4**2
    assert counts(found["image encoder, small"]) == {
        ("trunk", None): trunk,
        ("regions", None): (4 * 4, 4 * 4 * 4**2),
        ("global", None): (2 * 64 * 4 + 4, 2 * 64 * 4),
    }
    values = sum(len(values) for values in WORLDS["birdworld"].ATTRIBUTES.values())
    assert counts(found["evaluator"])["heads", None] == (8 * values + values, 8 * values)


@pytest.mark.parametrize(("dataset", "words"), [("cub", 18), ("coco", 12)])
def test_the_paper_scale(dataset: str, words: int) -> None:
    found = networks(fresh(dataset))
    assert [found[f"discriminator {k}"]["content_scales"] for k in (1, 2, 3)] == [4, 5, 6]
    for stage, side in enumerate((64, 128, 256), start=1):
        content = found[f"discriminator {stage}"]["parts"][0]
        assert content["inputs"] == [[3, side, side]]
        assert content["outputs"] == [[3, side >> k, side >> k] for k in range(1, stage + 4)]
    heads = [part for part in found["generator"]["parts"] if part["part"] == "head"]
    assert [part["outputs"] for part in heads] == [[[3, side, side]] for side in (64, 128, 256)]
    v = found["network of v, vgg16"]["parts"][0]
    assert (v["inputs"], v["outputs"], v["parameters"]) == ([[3, 256, 256]], [[512, 16, 16]], 14_714_688)
    trunk, regions, whole = found["image encoder, inception_v3"]["parts"]
    assert trunk["outputs"] == [[768, 17, 17], [2048]]
    assert (regions["outputs"], whole["outputs"]) == ([[256, 17, 17]], [[256]])
    assert found[f"text encoder, {words} words"]["parts"][1]["outputs"] == [[256, words], [256]]


Count = tuple[int, int]  # parameters, multiply-adds


def summed(*counts: Count) -> Count:
    return sum(p for p, _ in counts), sum(m for _, m in counts)


def conv3(a: int, b: int, side: int, norm: bool = True, seen: int = 9) -> Count:
    """3x3 without bias, with BatchNorm; `seen`: different pixels under its nine taps."""
    return 9 * a * b + 2 * b * norm, seen * a * b * side**2


def up(a: int, b: int, side: int) -> Count:
    """Up to `side`; twice as wide before the GLU. Of up-sampled pixels, four different ones lie under the taps."""
    return conv3(a, 2 * b, side, seen=4)


def generator_of_spec_5(ngf: int, residuals: int) -> Count:
    """SPEC 5 at the paper's scale: D 256, z and c 100, v 512 x 16 x 16, ACMs of 128, stages of 64, 128, 256 px."""

    def acm(side: int) -> Count:
        return summed(conv3(ngf, 128, side, norm=False), *[conv3(128, ngf, side, norm=False)] * 2)

    told, wide = 100 + 256 + 100 + 512, 16 * ngf  # [c, mean w, z, v_G]
    first = told * wide * 32 + 2 * wide * 32, told * wide * 32
    first_ups = [up(ngf << k, ngf << (k - 1), 4 << (5 - k)) for k in (4, 3, 2, 1)]
    branch = [up(512, ngf, 32), up(ngf, ngf, 64), up(ngf, ngf, 128), up(ngf, ngf, 256)]
    residual = [summed(conv3(ngf, 2 * ngf, side), conv3(ngf, ngf, side)) for side in (64, 128)] * residuals
    stages = [part for side in (64, 128) for part in (acm(side), up(ngf, ngf, 2 * side))]
    heads = [summed(acm(side), conv3(ngf, 3, side, norm=False)) for side in (64, 128, 256)]
    return summed((256 * 400 + 400, 256 * 400), first, *first_ups, *branch, *residual, *stages, *heads)


def discriminator_of_spec_6(ndf: int, side: int) -> Count:
    """SPEC 6: halved to 4 x 4, each time joined by 3 channels of content; back to 8 ndf; two heads, one with s of 256."""
    halved = side // 2
    parts = [(16 * 3 * ndf + ndf, 16 * 3 * ndf * halved**2)]  # the first has a bias and no norm
    width = ndf
    while halved > 4:
        halved //= 2
        parts.append((16 * (width + 3) * 2 * width + 2 * 2 * width, 16 * (width + 3) * 2 * width * halved**2))
        width *= 2
    width += 3
    for back in {64: [], 128: [8 * ndf], 256: [16 * ndf, 8 * ndf]}[side]:
        parts.append(conv3(width, back, 4))
        width = back
    # the sentence is the same at all places, so that its nine products are computed once and summed
    joint = 9 * (width + 256) * width + 2 * width, 9 * width * width * 16 + 9 * 256 * width + 9 * width * 16
    return summed(*parts, joint, *[(16 * width + 1, 16 * width)] * 2)


@pytest.mark.parametrize(("dataset", "ngf", "ndf", "residuals"), [("cub", 32, 64, 2), ("coco", 48, 96, 3)])
def test_the_paper_scale_is_the_sum_of_its_layers(dataset: str, ngf: int, ndf: int, residuals: int) -> None:
    """Counted a second time from SPEC 5 and 6 alone."""
    found = {name: (n["parameters"], n["multiply_adds"]) for name, n in networks(fresh(dataset)).items()}
    assert found["generator"] == generator_of_spec_5(ngf, residuals)
    for stage, side in enumerate((64, 128, 256), start=1):
        assert found[f"discriminator {stage}"] == discriminator_of_spec_6(ndf, side)


@pytest.mark.parametrize(("dataset", "run"), [("small", "ours"), ("small", "bare"), ("small", "blind"), ("coco", "ours")])
def test_nothing_is_counted_twice_or_left_out(dataset: str, run: str) -> None:
    for network in fresh(dataset, run)["networks"]:
        assert network["multiply_adds"] == sum(part["multiply_adds"] for part in network["parts"]), network["network"]
        assert all(prod(shape) > 0 for part in network["parts"] for shape in part["inputs"] + part["outputs"])


def test_a_run_changes_what_it_names() -> None:
    whole, bare, blind = (networks(fresh("small", run)) for run in ("ours", "bare", "blind"))
    assert ("image feature", 1) not in counts(bare["generator"])
    assert counts(bare["generator"])["head", 2] == (54, 54 * 16**2)
    assert bare["discriminator 2"] == whole["discriminator 2"]
    assert blind["discriminator 2"]["content_scales"] == 0
    assert counts(blind["discriminator 2"])["block 2", 2] == (3 * 6 * 16 + 12, 3 * 6 * 16 * 4**2)
    assert blind["generator"] == whole["generator"]


def test_what_is_not_known_yet_is_said() -> None:
    described = fresh("cub")
    table_row = described["networks"][4]["parts"][0]
    assert (table_row["part"], table_row["parameters"]) == ("word table", None)
    assert [note.split(":")[0] for note in described["notes"][1:]] == [
        "ACM",
        "word table",
        "frozen, with ImageNet's weights",
        "evaluator",
    ]
    assert [note.split(":")[0] for note in fresh("sceneworld")["notes"][1:]] == ["ACM", "word table"]
    assert not any(note.startswith("ACM") for note in fresh("small", "bare")["notes"])


def test_the_command_prints_a_table_or_the_same_as_json() -> None:
    said = CliRunner().invoke(app, ["describe", "--dataset", "small", "--run", "bare"])
    assert said.exit_code == 0
    assert said.stdout == table(fresh("small", "bare")) + "\n"
    heads = [line.split() for line in said.stdout.splitlines() if line.startswith("  head ")]
    assert heads == [["head", "1", "2x8x8", "3x8x8", "54", "0.00"], ["head", "2", "2x16x16", "3x16x16", "54", "0.01"]]
    described = json.loads(CliRunner().invoke(app, ["describe", "--dataset", "small", "--run", "bare", "--json"]).stdout)
    assert described == fresh("small", "bare")


def test_a_large_network_takes_no_memory() -> None:
    """On the meta device no tensor has numbers: what is built is never allocated."""
    made: list[torch.device] = []
    original = torch.nn.Conv2d.__init__

    def noted(self, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        made.append(self.weight.device)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Conv2d, "__init__", noted)
        describe("cub", "ours")
    assert len(made) > 100
    assert {device.type for device in made} == {"meta"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--dataset", "cup"], "there is no data set `cup`"), (["--dataset", "cub", "--run", "hours"], "there is no run `hours`")],
)
def test_unknown_names_end_in_one_line(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["describe", *arguments])
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.output
