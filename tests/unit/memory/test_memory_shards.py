"""Writing shard by shard: kills, stale states, damaged files."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memgan.errors import InputError
from memgan.memory import shards
from memgan.memory.shards import Part, Shards, build

IMAGES = 10


class Killed(Exception):
    """What stops a build in the middle."""


class Source:
    """Makes shards of three images and notes which; stops at image `stop_at`."""

    def __init__(self, stop_at: int | None = None, add: float = 0.0):
        self.made, self.stop_at, self.add = [], stop_at, add

    def make(self, start: int, stop: int) -> dict[str, torch.Tensor]:
        if self.stop_at is not None and start >= self.stop_at:
            raise Killed
        self.made.append(start)
        x = torch.arange(start, stop, dtype=torch.float16)[:, None, None] + torch.tensor([0.0, 0.25]).half() + self.add
        return {"x": x.expand(-1, 3, 2).contiguous(), "n": torch.arange(start, stop)}

    def build(self, out: Path, **manifest) -> None:
        build(out, [Part("part", IMAGES, shards.SHARD_BYTES // 3, self.make)], {"ids": [*range(IMAGES)]}, manifest)


@pytest.fixture
def out(tmp_path) -> Path:
    Source().build(tmp_path / "out")
    return tmp_path / "out"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_writes_shards_and_a_manifest(out):
    content = json.loads((out / "manifest.json").read_text())
    assert [(entry["file"], entry["first"], entry["rows"]) for entry in content["shards"]] == [
        ("part-00000.safetensors", 0, 3),
        ("part-00001.safetensors", 3, 3),
        ("part-00002.safetensors", 6, 3),
        ("part-00003.safetensors", 9, 1),
    ]
    assert sorted(contents(out)) == sorted([entry["file"] for entry in content["shards"]] + ["manifest.json"])
    assert [*(out.parent / "state" / "out").iterdir()] == [out.parent / "state" / "out" / "lock"]


@given(rows=st.lists(st.integers(0, IMAGES - 1), max_size=20))
def test_rows_come_in_the_order_asked_for(rows, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "rows"
    if not folder.exists():
        Source().build(folder)
    array = Shards(folder).array("part", "x")
    assert array.shape == (IMAGES, 3, 2)
    wanted = np.broadcast_to(np.array(rows, float)[:, None, None] + np.array([0, 0.25]), (len(rows), 3, 2))
    np.testing.assert_array_equal(array.take(np.array(rows)), wanted)
    flat = array.flattened()
    np.testing.assert_array_equal(flat.take(3 * np.array(rows, int) + 2), wanted[:, 2])


def test_rows_are_mapped_not_read(out):
    assert isinstance(Shards(out).array("part", "x").block(0).base, np.memmap)


@pytest.mark.parametrize("rows", [[-1], [IMAGES], [0, 3, IMAGES]])
def test_rows_that_are_not_there_are_refused(rows, out):
    with pytest.raises(IndexError, match=f"of an array of {IMAGES} rows"):
        Shards(out).array("part", "x").take(np.array(rows))


def test_a_killed_build_goes_on_and_ends_in_the_same_bytes(out, tmp_path):
    again = tmp_path / "again"
    with pytest.raises(Killed):
        Source(stop_at=6).build(again)
    assert not again.exists()
    source = Source()
    source.build(again)
    assert source.made == [6, 9]
    assert contents(again) == contents(out)


def test_a_damaged_shard_of_a_killed_build_is_made_again(out, tmp_path):
    again = tmp_path / "again"
    with pytest.raises(Killed):
        Source(stop_at=6).build(again)
    left = next((tmp_path / "state" / "again").glob("*/part-00001.safetensors"))
    left.write_bytes(left.read_bytes()[:-5])
    source = Source()
    source.build(again)
    assert source.made == [3, 6, 9]
    assert contents(again) == contents(out)


def test_a_state_of_other_inputs_is_never_resumed(tmp_path):
    again = tmp_path / "again"
    with pytest.raises(Killed):
        Source(stop_at=6, add=100).build(again, params=1)
    source = Source()
    source.build(again, params=2)
    assert source.made == [0, 3, 6, 9]
    assert Shards(again).array("part", "x").take(np.array([1]))[0, 0, 0] == 1


def test_an_old_folder_stays_until_the_new_one_is_whole(out):
    before = contents(out)
    with pytest.raises(Killed):
        Source(stop_at=3, add=1).build(out, params=2)
    assert contents(out) == before
    Source(add=1).build(out, params=2)
    assert Shards(out).array("part", "x").take(np.array([1]))[0, 0, 0] == 2


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def change(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")


@pytest.mark.parametrize(("harm", "fault"), [(cut, "cut off"), (Path.unlink, "missing"), (change, "contents have changed")])
def test_a_harmed_shard_is_refused_by_name(out, harm, fault):
    harm(out / "part-00001.safetensors")
    with pytest.raises(InputError, match=rf"part-00001\.safetensors: .*{fault}.*; delete the folder"):
        Shards(out).array("part", "x").take(np.array([4]))


def test_only_shards_that_are_read_are_hashed(out):
    change(out / "part-00001.safetensors")
    array = Shards(out).array("part", "x")
    assert array.take(np.array([0, 9])).shape == (2, 3, 2)
    with pytest.raises(InputError, match="part-00001"):
        Shards(out).verify()


def test_a_damaged_header_is_refused_by_name(out):
    path = out / "part-00000.safetensors"
    path.write_bytes(b"\xff" * path.stat().st_size)
    with pytest.raises(InputError, match=r"part-00000\.safetensors: its header is damaged"):
        Shards(out).array("part", "x")


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"manifest\.json: there is no such file"):
        Shards(tmp_path)


def test_a_build_of_ten_times_the_images_takes_no_more_memory(tmp_path):
    """The largest size of a process that builds 4 and then 40 shards of 4 MB; a shard that were kept would add its 4 MB."""
    code = """import resource, sys
from pathlib import Path
import torch
from memgan.memory import shards
make = lambda start, stop: {"x": torch.full((stop - start, 1 << 20), float(start)).half()}
shards.SHARD_BYTES = 4 << 20
for images in (8, 8, 80):
    shards.build(Path(sys.argv[1]) / str(images), [shards.Part("x", images, 2 << 20, make)], {}, {"images": images})
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    env = os.environ | {"PYTHONPATH": str(Path(shards.__file__).parents[2])}
    said = subprocess.check_output([sys.executable, "-c", code, str(tmp_path)], env=env, text=True)
    _, before, after = map(int, said.split())
    assert len(list((tmp_path / "80").glob("*.safetensors"))) == 40
    assert after - before < 40


def test_ram_holds_one_shard_whatever_the_number_of_images():
    part = Part("part", 82783, 289 * 256 * 2, lambda start, stop: {})
    spans = part.ranges()
    assert spans[0][0] == 0 and spans[-1][1] == 82783
    assert all(stop == start for (_, stop), (start, _) in pairwise(spans))
    assert max(stop - start for start, stop in spans) * part.image_bytes <= shards.SHARD_BYTES
