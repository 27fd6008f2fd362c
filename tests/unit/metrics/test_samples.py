"""Samples are read in order, and what does not belong together is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from memgan.errors import InputError
from memgan.metrics.samples import Samples, made_with
from tests.scoring import png, record, write_samples, write_tar


def pictures(count: int, side: int = 4) -> list[np.ndarray]:
    return [np.full((side, side, 3), 10 * i, dtype=np.uint8) for i in range(count)]


def records(count: int) -> list[dict]:
    return [record(i, i, f"caption {i}", f"image {i}#0", i) for i in range(count)]


def shards(folder: Path) -> list[Path]:
    all_records, all_pictures = records(5), pictures(5)
    paths = [folder / "0.tar", folder / "1.tar"]
    write_samples(paths[0], all_records[:3], all_pictures[:3])
    write_samples(paths[1], all_records[3:], all_pictures[3:])
    return paths


def test_samples_come_in_the_order_of_their_indices(tmp_path: Path) -> None:
    paths = shards(tmp_path)
    for given in (paths, paths[::-1], [*paths, *(p.with_suffix(".json") for p in paths)]):
        found = Samples(given)
        assert len(found) == 5
        assert found.column("caption") == [f"caption {i}" for i in range(5)]
        assert [int(found.image(i)[0, 0, 0]) for i in range(5)] == [0, 10, 20, 30, 40]
    assert found[3].shape == (3, 4, 4)


def test_a_missing_shard_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not 0 to 1"):
        Samples(shards(tmp_path)[1:])


def test_images_and_records_must_match(tmp_path: Path) -> None:
    write_samples(tmp_path / "0.tar", records(3), pictures(3))
    write_tar(tmp_path / "0.tar", {f"{i:06d}.png": png(p) for i, p in enumerate(pictures(2))})
    with pytest.raises(InputError, match=r"2 images, but 3 records"):
        Samples([tmp_path / "0.tar"])
    write_tar(tmp_path / "0.tar", {f"{i:06d}.png": png(p) for i, p in enumerate(pictures(4)) if i != 1})
    with pytest.raises(InputError, match=r"no image 000001\.png"):
        Samples([tmp_path / "0.tar"])


def test_a_damaged_image_names_its_shard(tmp_path: Path) -> None:
    write_samples(tmp_path / "0.tar", records(2), pictures(2))
    write_tar(tmp_path / "0.tar", {"000000.png": png(pictures(1)[0]), "000001.png": b"no image"})
    found = Samples([tmp_path / "0.tar"])
    with pytest.raises(InputError, match=r"0\.tar: image 1: does not decode"):
        found.image(1)


def test_a_record_without_a_field_is_refused(tmp_path: Path) -> None:
    broken = records(2)
    del broken[1]["neighbour"]
    write_samples(tmp_path / "0.tar", broken, pictures(2))
    with pytest.raises(InputError, match="no `neighbour`"):
        Samples([tmp_path / "0.tar"])


def test_a_file_that_is_no_tar_is_refused(tmp_path: Path) -> None:
    write_samples(tmp_path / "0.tar", records(2), pictures(2))
    (tmp_path / "0.tar").write_bytes(b"something else")
    with pytest.raises(InputError, match="no readable tar"):
        Samples([tmp_path / "0.tar"])


def test_shards_of_other_parameters_are_not_mixed(tmp_path: Path) -> None:
    paths = shards(tmp_path)
    assert made_with(paths)["pooling"] == "avg"
    content = json.loads(paths[1].with_suffix(".json").read_text())
    content["manifest"]["params"]["training"]["pooling"] = "max"
    paths[1].with_suffix(".json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="other parameters"):
        made_with(paths)
    content["manifest"]["params"] = {}
    paths[0].with_suffix(".json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="does not tell"):
        made_with(paths)
