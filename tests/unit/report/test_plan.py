"""`memgan plan`: sizes and work by hand."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from memgan.cli import app
from memgan.data.loader import Batch, pyramid
from memgan.data.worlds import sceneworld
from memgan.encoders.image import ImageEncoder
from memgan.encoders.text import TextEncoder
from memgan.encoders.vocabulary import Vocabulary
from memgan.errors import InputError
from memgan.gan.blocks import UpConv3x3
from memgan.gan.engine import Engine
from memgan.gan.generator import Generator
from memgan.gan.recipe import Recipe
from memgan.gan.texts import TextReader
from memgan.params.data import Archive
from memgan.params.encoders import Features
from memgan.params.evaluation import Metrics
from memgan.params.load import Settings, read_yaml
from memgan.report import amounts, costs, describe, judging, links, plan
from memgan.report.links import FIDELITY
from tests.factory import PARAMS, damsm_block, gan_block, images_block, train_block


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    own = PARAMS["data"]["photos"]
    write(PARAMS | {"data": PARAMS["data"] | {"own": own}})
    yield tmp_path
    read_yaml.cache_clear()


def write(tree: dict) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    read_yaml.cache_clear()


@pytest.fixture(scope="module")
def shared():
    """Plans, made once."""
    return {}


def planned(shared: dict, dataset: str) -> dict:
    if dataset not in shared:
        shared[dataset] = plan.plan(dataset, "ours", 10)
    return shared[dataset]


def step(shared: dict, dataset: str, name: str) -> dict:
    return next(each for each in planned(shared, dataset)["steps"] if each["step"] == name)


def test_v_of_coco_is_what_the_specification_says():
    features, images = Features(**PARAMS["features"] | PARAMS["data"]["coco"]["features"]), images_block(size=256, short_side=304)
    assert plan.v_bytes(features, images) == 512 * 16 * 16 * 2
    assert 82783 * plan.v_bytes(features, images) == pytest.approx(21.7e9, rel=0.001)


def test_disk_by_hand(shared):
    assert step(shared, "coco", "features")["disk"] == 2 * 82783 * 512 * 16 * 16 * 2  # plain and mirrored
    # five captions an image: 256 numbers and 12 words of 256; an image: 256 numbers and 17 x 17 regions of 256; all of two bytes
    assert step(shared, "coco", "bank")["disk"] == (82783 * 5 * (256 + 12 * 256) + 82783 * (256 + 289 * 256)) * 2
    weights = 553433881 + 108949747 + 248007048 + 625  # and YOLO's names
    fidelity = 95628359 if "inception-v3-compat" in str(PARAMS["data"]["coco"]["metrics"]) else 0
    assert step(shared, "coco", "download")["disk"] == 13510573713 + 6645013297 + 252872794 + weights + fidelity
    assert step(shared, "cub", "preprocess")["disk"] == round((8855 + 2933) * 304 * 304 * 0.6)


def test_work_by_hand(shared):
    assert step(shared, "cub", "train")["work"] == "265,200 steps of 20 images"  # 600 x 442
    assert step(shared, "coco", "train")["work"] == "709,560 steps of 14 images"  # 120 x 5,913
    sides = [256, 256, 128, 128, 64, 64, 64, 32, 32, 32, 16, 16, 16]
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    vgg = sum(9 * a * b * s * s for a, b, s in zip(widths, widths[1:], sides, strict=False))
    assert step(shared, "cub", "features")["multiply_adds"] == 2 * 8855 * vgg
    work = step(shared, "cub", "features")
    assert work["hours"] == pytest.approx(2 * work["multiply_adds"] / 10e12 / 3600)


def test_extra_samples_by_hand(shared):
    """SOA: 80 categories of at most 30,000 captions each, of which there are 202,520, three images each: the disk's bound."""
    various = PARAMS["sampling"]["diverse_captions"] * PARAMS["sampling"]["diverse_noises"]
    extra = step(shared, "coco", "extra_samples")
    assert extra["work"] == f"{various} images for diversity, at most 607,560 of captions that name an object"
    assert extra["disk"] == round((various + 607560) * 256 * 256 * 1.7)
    each = step(shared, "coco", "sample")["multiply_adds"] / 30000
    assert extra["multiply_adds"] == pytest.approx((various + 607560) * each)
    world = PARAMS["sampling"]["soa_captions"] * PARAMS["sampling"]["soa_images"]
    said = step(shared, "sceneworld", "extra_samples")["work"]
    assert said.endswith(f"at most {len(sceneworld.CATEGORIES) * world:,} of captions that name an object")
    assert step(shared, "cub", "extra_samples")["work"] == f"{various} images for diversity"  # it has no categories


def test_yolo_is_counted_by_its_side(shared):
    """65.86 billion operations at 416 px, by its authors; 256 px are 0.379 of that."""
    metrics = Settings("coco").block("metrics", Metrics)
    assert judging.detector(metrics, 80) == pytest.approx(65.86e9 / 2 * (256 / 416) ** 2)
    assert judging.detector(metrics.model_copy(update={"detector": "evaluator"}), 80) == 0
    assert judging.detector(metrics, 0) == 0


def test_judges_by_hand(shared):
    """On COCO every sample passes DAMSM's image encoder and Inception, with one set of weights or with two; SOA's pass YOLO."""
    found = plan.Planned("coco", "ours", 10)
    metrics, encoder = found.settings.block("metrics", Metrics), found.whole["image encoder"]
    assert metrics.fidelity == metrics.inception_score == FIDELITY
    inceptions = 1 + metrics.fid_tv
    work = step(shared, "coco", "metrics")
    varied = PARAMS["sampling"]["diverse_captions"] * PARAMS["sampling"]["diverse_noises"]
    judged = 30000 * (encoder["multiply_adds"] + inceptions * judging.INCEPTION) + varied * judging.INCEPTION
    assert work["multiply_adds"] == pytest.approx(judged + 607560 * judging.detector(metrics, 80))
    numbers = 30000 * 4 * (2048 + 1008 + 2048 * metrics.fid_tv + found.damsm.dimension)
    assert work["memory"] > numbers + 4 * encoder["parameters"] + inceptions * judging.INCEPTION_WEIGHTS


def test_every_step_that_computes_holds_memory(shared):
    for dataset in ("cub", "coco", "birdworld"):
        for each in planned(shared, dataset)["steps"]:
            assert (each["memory"] > 0) == (each["step"] not in ("download", "render")), each


@pytest.mark.parametrize("name", ["damsm", "evaluator", "features"])
def test_what_a_training_step_keeps_grows_with_the_batch(name):
    """It is more than the pictures. What DAMSM compares, each caption with each image, grows with the batch's square."""
    kept, once = getattr(costs, f"{name}_kept"), PARAMS[name] | PARAMS["data"]["birdworld"].get(name, {})
    count = kept(Settings("birdworld"))
    assert count > 4 * once["batch"] * 3 * 32 * 32
    doubled = PARAMS["data"]["birdworld"] | {name: once | {"batch": 2 * once["batch"]}}
    write(PARAMS | {"data": {"birdworld": doubled}})
    double = kept(Settings("birdworld"))
    assert 2.2 * count < double < 4 * count if name == "damsm" else double == pytest.approx(2 * count, rel=0.02)


def test_published_networks_are_not_trained():
    assert costs.features_kept(Settings("cub")) == 0


def test_files_of_unknown_size_are_named_and_not_counted(shared):
    assert planned(shared, "cub")["unknown"] == ["captions"]
    assert step(shared, "cub", "download")["work"].endswith(" + captions, size unknown")
    total = plan.table(planned(shared, "cub")).splitlines()
    assert next(line for line in total if line.startswith("all ")).split()[1:4] == ["+", "captions,", "size"]
    assert planned(shared, "birdworld")["unknown"] == [] and "unknown" not in plan.table(planned(shared, "birdworld"))


def test_a_file_that_is_here_is_measured(tmp_path):
    captions = next(archive for role, archive in links.archives_of(Settings("cub")).items() if role.endswith("captions"))
    path = tmp_path / captions.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"captions")
    assert amounts.archive_bytes(captions) == 8 and plan.Planned("cub", "ours", 10).unknown == []
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.txt").write_bytes(b"four")
    (folder / "b.txt").write_bytes(b"two")
    assert amounts.archive_bytes(Archive(path=str(folder))) == 7


def test_scenes_of_archives_that_are_not_here_say_what_is_not_known():
    found = amounts.counts(Settings("photoscenes"))
    assert found.categories == 0 and found.known.endswith("categories, and with them SOA, not before its archives are here")


def test_all_is_the_sum_and_the_largest(shared):
    for dataset in ("cub", "birdworld"):
        found = planned(shared, dataset)
        for name in ("disk", "multiply_adds"):
            assert found["all"][name] == sum(each[name] for each in found["steps"])
        assert found["all"]["memory"] == max(each["memory"] for each in found["steps"])
        assert found["all"]["hours"] == pytest.approx(sum(each["hours"] or 0 for each in found["steps"]))


def test_a_training_step_by_hand():
    networks = {"generator": 100, "discriminator 1": 10, "discriminator 2": 20, "image encoder": 7, "text encoder": 1, "of v": 40}
    lazy = train_block(r1_gamma=1.0, r1_interval=15, damsm_weight=1.0)
    assert costs.step_multiply_adds(networks, lazy) == 3 * 100 + 8 * 30 + 3 * 30 / 15 + 2 * 7 + 1
    assert costs.step_multiply_adds(networks, train_block(r1_gamma=0.0, damsm_weight=0.0)) == 3 * 100 + 8 * 30 + 1
    everywhere = train_block(r1_gamma=0.0, damsm_weight=1.0, damsm_stages="all")
    assert costs.step_multiply_adds(networks, everywhere) == 3 * 100 + 8 * 30 + 2 * (2 * 7) + 1
    diverse = train_block(r1_gamma=0.0, damsm_weight=1.0, diversity_weight=0.5)
    assert costs.step_multiply_adds(networks, diverse) == 3 * 100 + 8 * 30 + 2 * 7 + 1 + 60 + 7
    diverse = train_block(r1_gamma=0.0, damsm_weight=0.0, diversity_weight=0.5)  # the encoder sees both, and learns from one
    assert costs.step_multiply_adds(networks, diverse) == 3 * 100 + 8 * 30 + 2 * 7 + 1 + 60 + 7
    diverse = train_block(r1_gamma=0.0, damsm_weight=0.0, diversity_weight=0.5, damsm_stages="all")  # it looks at the last alone
    assert costs.step_multiply_adds(networks, diverse) == 3 * 100 + 8 * 30 + 2 * 7 + 1 + 60 + 7
    own = train_block(r1_gamma=0.0, damsm_weight=0.0, neighbours="own")
    assert costs.step_multiply_adds(networks | {"network of v": 9}, own, online=True) == 3 * 100 + 8 * 30 + 1 + 9
    retrieved = train_block(r1_gamma=0.0, damsm_weight=0.0, neighbours="retrieved")
    assert costs.step_multiply_adds(networks | {"network of v": 9}, retrieved, online=True) == 3 * 100 + 8 * 30 + 1
    turns = train_block(r1_gamma=1.0, r1_interval=15, damsm_weight=1.0, d_steps=3, neighbours="own")
    by_turn = 100 + 6 * 30 + 3 * 30 / 15 + 1 + 9
    wanted = 3 * by_turn + 2 * 100 + 2 * 30 + 2 * 7
    assert costs.step_multiply_adds(networks | {"network of v": 9}, turns, online=True) == wanted


@pytest.mark.parametrize("turns", [1, 2])
def test_a_training_step_as_it_is_counted(turns):
    """PyTorch's own count of a real step, R1 aside, which it cannot count, is what the formula says, to a few per cent."""
    write(
        PARAMS | {"runs": {"ours": {}}, "data": {"small": PARAMS["data"]["birdworld"] | {"damsm": {"dimension": 32, "words": 6}}}}
    )
    found = {
        network["network"].partition(",")[0]: network["multiply_adds"] for network in describe.describe("small", "ours")["networks"]
    }
    damsm, images, torch_threads = damsm_block(dimension=32, words=6), images_block(), torch.get_num_threads()
    train, count = train_block(batch=4, d_steps=turns, r1_gamma=0.0), 4 * turns
    vocabulary = Vocabulary(["a", "red", "bird"])
    text, picture = (network.eval().requires_grad_(False) for network in (TextEncoder(5, damsm), ImageEncoder(damsm, images.size)))
    channels = PARAMS["features"]["channels"]
    engine = Engine(Recipe(gan_block(), train, images, damsm, "avg", 0), TextReader(vocabulary, text, 6), picture, channels)
    shown = pyramid(torch.rand(count, 3, 32, 32) * 2 - 1, [8, 16, 32])
    rows = torch.arange(count)
    batch = Batch(shown, rows, ["a red bird"] * count, rows, torch.zeros(count, dtype=torch.bool))
    counter = FlopCounterMode(display=False)
    with counter:
        engine.step(batch, torch.rand(count, channels, 4, 4), 1)
    expected = 4 * costs.step_multiply_adds(found | {"text encoder": 0}, train)
    assert counter.get_total_flops() // 2 == pytest.approx(expected, rel=0.08)
    assert torch.get_num_threads() == torch_threads


def test_what_is_kept_for_backward():
    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Tanh())
    images = torch.zeros(2, 3, 16, 16)
    # the convolution keeps its input, tanh its output; weights are counted elsewhere
    assert costs.kept(lambda: layer(images), layer) == 4 * 2 * (3 + 8) * 16 * 16
    assert costs.widest(layer, lambda: layer(images)) == 4 * 2 * (8 + 8) * 16 * 16
    with torch.no_grad():
        assert costs.kept(lambda: layer(images), layer) == 0


def test_training_memory_grows_with_the_batch_but_weights_do_not():
    """What is kept for backward grows by as much an image; the kernels that up-blocks derive from their weights are kept once."""
    one, two, three = (training_memory(times) for times in (1, 2, 3))
    assert one["weights"] == two["weights"] == three["weights"]
    assert three["kept"] - two["kept"] == two["kept"] - one["kept"] > 0
    with torch.device("meta"):
        network = Generator(gan_block(), images_block(), PARAMS["damsm"]["dimension"], PARAMS["features"]["channels"])
    kernels = sum(4 * part.weight.numel() * 16 // 9 for part in network.modules() if isinstance(part, UpConv3x3))  # 4 x 4 of 3 x 3
    assert 0 <= 2 * one["kept"] - two["kept"] - kernels < 0.01 * one["kept"]


def test_a_second_drawing_keeps_the_shifts_of_v():
    """Five maps of ngf channels an image: of the heads at 8, 16 and 32 px, of the next stages at 8 and 16."""
    (with_it, without), train = (training_memory(1, diversity_weight=weight) for weight in (0.8, 0.0)), PARAMS["train"]
    assert with_it["weights"] == without["weights"]
    numbers = train["batch"] * PARAMS["gan"]["ngf"] * (8**2 + 16**2 + 32**2 + 8**2 + 16**2)
    assert with_it["kept"] - without["kept"] == 4 * numbers


def training_memory(times: int, **changes: float) -> dict[str, int]:
    """Of birdworld's training with a batch as many times as large."""
    birdworld = PARAMS["data"]["birdworld"]
    data = PARAMS["data"] | {"birdworld": birdworld | {"train": birdworld["train"] | changes}}
    write(PARAMS | {"train": PARAMS["train"] | {"batch": times * PARAMS["train"]["batch"]}, "data": data})
    return costs.training_memory(Settings("birdworld", "ours"))


def test_counts_come_from_what_is_there(tmp_path):
    assert amounts.counts(Settings("birdworld")) == (8000, 3000, 10, 0, "params.yaml")
    assert amounts.counts(Settings("cub"))[:3] == (8855, 2933, 10)
    with pytest.raises(InputError, match=r"`data.own` is not known yet; run `snakemake --cores all results/own/images`, or write"):
        amounts.counts(Settings("own"))
    folder = tmp_path / "results/own/images"
    folder.mkdir(parents=True)
    rows = [{"captions": ["a"]}, {"captions": ["a", "b"]}]
    (folder / "index.json").write_text(json.dumps({"train": rows, "test": rows[:1], "categories": ["a", "b"]}))
    assert amounts.counts(Settings("own")) == (2, 1, 1.5, 2, "counted")


def test_the_command_prints_a_table_or_the_same_as_json(shared):
    said = CliRunner().invoke(app, ["plan", "--dataset", "birdworld", "--tflops", "10"])
    assert said.exit_code == 0
    assert said.stdout == plan.table(planned(shared, "birdworld")) + "\n"
    rows = {line.split()[0]: line for line in said.stdout.splitlines() if line.strip()}
    assert "8,000 training and 3,000 test images, 10 captions each (params.yaml)" in rows["birdworld,"]
    assert rows["preprocess"].split()[1:5] == ["11,000", "images,", "2", "cores"]
    told = json.loads(CliRunner().invoke(app, ["plan", "--dataset", "birdworld", "--tflops", "10", "--json"]).stdout)
    assert told == planned(shared, "birdworld")


def test_without_a_speed_it_is_measured(monkeypatch):
    monkeypatch.setattr(costs, "measured_tflops", lambda: 0.125)
    said = CliRunner().invoke(app, ["plan", "--dataset", "birdworld"])
    assert "0.125 TFLOPS (measured here)" in said.stdout


def test_the_speed_is_a_speed():
    assert 0 < costs.measured_tflops(0.01) < 1000


def test_unknown_names_end_in_one_line():
    result = CliRunner().invoke(app, ["plan", "--dataset", "cup", "--tflops", "1"])
    assert result.exit_code == 1 and "there is no data set `cup`" in result.stderr
