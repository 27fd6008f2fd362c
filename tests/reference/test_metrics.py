"""Our scores against torch-fidelity called directly, and the steps from files to files."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch_fidelity

from memgan.artifacts import load_tensors, save_tensors
from memgan.data.loader import to_tensor
from memgan.data.shards import ImageFolder
from memgan.data.worlds import sceneworld
from memgan.encoders.judges import load_evaluator
from memgan.errors import InputError
from memgan.metrics import extractor, measure, reference
from memgan.metrics.judge import image_quality, inception_score
from memgan.metrics.protocol import Protocol
from memgan.metrics.reference import load_reference
from memgan.metrics.samples import RealImages, Samples
from memgan.params.load import Settings
from tests.scoring import SIZE, World


@pytest.fixture(params=["birdworld", "sceneworld"])
def world(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    return World(tmp_path, request.param)


def refer(world: World) -> tuple[Path, Path]:
    paths = world.folder / "reference.safetensors", world.folder / "real.json"
    reference.main(world.name, *vars(world.inputs).values(), *paths)
    return paths


def score(world: World, samples: list[Path], kept: Path, name: str = "metrics.json", **more: Path) -> dict:
    out = world.folder / name
    measure.main(samples, world.name, "ours", 0, *vars(world.inputs).values(), kept, out, **more)
    return json.loads(out.read_text())


def test_our_numbers_are_torch_fidelitys(world: World) -> None:
    kept, _ = refer(world)
    samples = Samples(world.samples(40))
    protocol = Protocol(Settings(world.name), world.inputs)
    real, _ = load_reference(kept, protocol)
    passes = protocol.passes(samples)
    ours = image_quality(protocol, passes, real) | inception_score(protocol, passes)
    theirs = torch_fidelity.calculate_metrics(
        input1=samples, input2=RealImages(protocol.test, SIZE), feature_extractor=protocol.evaluator, cuda=False, verbose=False,
        isc=True, fid=True, kid=True, prc=True, isc_splits=2, kid_subsets=5, kid_subset_size=10, prc_neighborhood=2,
        save_cpu_ram=True,
    )  # fmt: skip
    expected = {
        "FID": ("frechet_inception_distance", None),
        "IS": ("inception_score_mean", "inception_score_std"),
        "KID": ("kernel_inception_distance_mean", "kernel_inception_distance_std"),
        "precision": ("precision", None),
        "recall": ("recall", None),
    }
    for name, (value, std) in expected.items():
        assert ours[name]["value"] == pytest.approx(theirs[value], abs=2e-6), name
        assert ours[name]["std"] == (None if std is None else pytest.approx(theirs[std], abs=2e-6)), name


def test_every_score_names_extractor_and_n(world: World) -> None:
    kept, real = refer(world)
    found = score(world, world.samples(40), kept)
    expected = {"FID", "IS", "KID", "precision", "recall", "R-precision", "attribute accuracy", "attribute accuracy (all)"}
    expected |= {"SOA-C", "SOA-I"} if world.name == "sceneworld" else set()
    row = json.loads(real.read_text())
    assert set(row["metrics"]) == expected
    assert set(found["metrics"]) == expected | {"distance to retrieved", "distance to random", "copy ratio"}
    for scores in (found["metrics"], row["metrics"]):
        for entry in scores.values():
            assert world.name in entry["extractor"]
            assert entry["n"] > 0
    assert found["metrics"]["FID"]["n"] == 40
    assert found["metrics"]["FID"]["n_real"] == row["metrics"]["IS"]["n"] == 24
    assert row["metrics"]["FID"]["n"] == 12
    assert set(row["ceilings"]) == {"R-precision", "attribute accuracy", "attribute accuracy (all)"}
    assert found["resolved"]["pooling"] == "avg"


def test_soa_has_samples_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted one by one, with what the evaluator's heads say and what the world's reader reads."""
    monkeypatch.chdir(tmp_path)
    world = World(tmp_path, "sceneworld")
    kept, _ = refer(world)
    path, entries = world.extra("soa", captions=12, images=3)
    found = score(world, world.samples(40), kept, soa=path)["metrics"]
    judge, pictures = load_evaluator(world.inputs.evaluator), Samples([path])
    hits: dict[str, list[bool]] = {}
    for i, entry in enumerate(entries):
        logits = judge.logits(to_tensor([pictures.image(i)]))
        for name, values in sceneworld.read_caption(entry["caption"]).items():
            if name != "background" and "absent" not in values:
                hits.setdefault(name, []).append(judge.heads[name][int(logits[name].argmax())] != "absent")
    assert len(hits) > 3
    assert found["SOA-C"]["value"] == pytest.approx(100 * np.mean([np.mean(each) for each in hits.values()]), abs=1e-5)
    assert found["SOA-I"]["value"] == pytest.approx(100 * np.mean([hit for each in hits.values() for hit in each]), abs=1e-5)
    assert found["SOA-I"]["n"] == sum(map(len, hits.values()))
    assert (found["SOA-C"]["categories"], found["SOA-C"]["captions"]) == (len(hits), 12)


def test_each_extractor_sees_each_set_once_and_real_images_never_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world, said = World(tmp_path, "sceneworld"), []
    kept, _ = refer(world)
    monkeypatch.setattr(extractor.log, "info", lambda text, *values: said.append(text % values))
    more = {name: world.extra(name, captions=4, images=3)[0] for name in ("soa", "variations")}
    found = score(world, world.samples(40), kept, **more)["metrics"]
    assert sorted(line for line in said if "one pass" in line) == [
        "damsm:sceneworld: one pass over 40 samples",
        "evaluator:sceneworld: one pass over 12 samples for SOA",
        "evaluator:sceneworld: one pass over 12 samples for diversity",
        "evaluator:sceneworld: one pass over 40 samples",
    ]
    assert (found["diversity"]["n"], found["diversity"]["groups"]) == (12, 4)


def test_scores_are_the_same_bytes_whatever_the_shards(world: World) -> None:
    kept, real = refer(world)
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (kept, real)]
    refer(world)
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in (kept, real)] == before
    one = score(world, world.samples(40, shards=1, folder="one"), kept)
    three = score(world, world.samples(40, shards=3, folder="three"), kept)
    assert one["metrics"] == three["metrics"]


def test_real_images_scored_as_samples_are_the_real_images(world: World) -> None:
    protocol = Protocol(Settings(world.name), world.inputs)
    kept, _ = refer(world)
    real, _ = load_reference(kept, protocol)
    passes = protocol.passes(RealImages(ImageFolder(world.inputs.images, "test"), SIZE))
    found = image_quality(protocol, passes, real)
    assert found["FID"]["value"] == pytest.approx(0, abs=1e-3)
    assert found["precision"]["value"] == found["recall"]["value"] == 1


def test_fewer_real_images_are_drawn_by_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world = World(tmp_path, real_images=10)
    kept, real = refer(world)
    row = json.loads(real.read_text())["metrics"]
    assert (row["FID"]["n_real"], row["FID"]["n"], row["precision"]["n"]) == (10, 12, 10)
    assert score(world, world.samples(30), kept)["metrics"]["FID"]["n_real"] == 10


def test_a_reference_of_another_protocol_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, _ = refer(world)
    monkeypatch.setattr(extractor, "register_torchvision", lambda: extractor.TORCHVISION)
    text = world.params_file.read_text().replace("metrics: {}", "metrics: {fid_tv: true}")
    other = world.folder / "other.yaml"
    other.write_text(text)
    with pytest.raises(InputError, match="other extractors; make it again"):
        load_reference(kept, Protocol(Settings(world.name, path=other), world.inputs))


@pytest.mark.parametrize(
    ("old", "new", "other"), [("seed: 0", "seed: 1", "seed"), ("real_images: 30000", "real_images: 9", "real_images")]
)
def test_a_reference_of_other_draws_is_refused(world: World, old: str, new: str, other: str) -> None:
    kept, _ = refer(world)
    params = world.folder / "other.yaml"
    text = world.params_file.read_text()
    assert old in text
    params.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=f"made with other {other}; make it again"):
        load_reference(kept, Protocol(Settings(world.name, path=params), world.inputs))


def test_a_reference_of_another_evaluator_is_refused(world: World, tmp_path: Path) -> None:
    """Its file differs, though its name is the same."""
    kept, _ = refer(world)
    tensors, written = load_tensors(world.inputs.evaluator)
    other = tmp_path / "evaluator.safetensors"
    save_tensors(other, {name: value * 1.5 for name, value in tensors.items()}, written)
    with pytest.raises(InputError, match="made with other evaluator; make it again"):
        load_reference(kept, Protocol(Settings(world.name), replace(world.inputs, evaluator=other)))


def test_fid_tv_stands_beside_fid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mean(extractor.nn.Module):
        def forward(self, images):
            return None, images.mean(dim=(2, 3)).repeat(1, 4) + np.pi

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(extractor, "register_torchvision", lambda: extractor.register(extractor.TORCHVISION, Mean()))
    world = World(tmp_path, fid_tv=True)
    kept, real = refer(world)
    found = score(world, world.samples(30), kept)["metrics"]
    assert found["FID-tv"]["extractor"] == json.loads(real.read_text())["metrics"]["FID-tv"]["extractor"] == extractor.TORCHVISION
    assert found["FID-tv"]["value"] != found["FID"]["value"]
