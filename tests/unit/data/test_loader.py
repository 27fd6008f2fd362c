import threading

import numpy as np
import pytest
import torch

from memgan import artifacts
from memgan.data import loader
from memgan.data.loader import Batch, TrainingBatches, pyramid, to_tensor, to_uint8
from memgan.data.prepare import prepared
from memgan.data.preprocess import index_text
from memgan.data.readers.records import Record
from memgan.data.writer import Shards
from memgan.errors import InputError
from tests.factory import images_block
from tests.rawdata import encoded, picture

COUNT = 11


def write_folder(path, count=COUNT, labels=True):
    """A folder as preprocess writes it: pictures of different widths, three captions each."""
    path.mkdir()
    images = images_block(size=16, short_side=20)
    index = {"classes": ["a", "b"], "categories": []}
    for split in ("train", "test"):
        shards = Shards(path, split, "png")
        for i in range(count):
            captions = tuple(f"caption {j} of {i}" for j in range(3))
            label = i % 2 if labels else None
            stored = prepared(Record("x", f"{split}{i}", split, encoded(picture(i, 40 + i, 30)), captions, "y", label), images)
            known = {"id": f"{split}{i}", "captions": list(captions), "label": label, "categories": [], "attributes": {}}
            shards.add(known | {"objects": stored.objects, "size": list(stored.size)}, stored.data)
        shards.close()
        index[split] = shards.rows
    artifacts.write_text(path / "index.json", index_text(index))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("loader") / "images")


def batches(folder, seed=3, batch=4, flip=True, **changes) -> TrainingBatches:
    return TrainingBatches(folder, images_block(size=16, short_side=20, flip=flip, **changes), stages=3, batch=batch, seed=seed)


def same(one: Batch, two: Batch) -> bool:
    return (
        all(torch.equal(a, b) for a, b in zip(one.images, two.images, strict=True))
        and all(torch.equal(getattr(one, name), getattr(two, name)) for name in ("rows", "labels", "flipped"))
        and one.captions == two.captions
    )


def test_a_batch_has_the_shapes_of_its_stages(folder):
    batch = batches(folder).batch_at(0)
    assert [tuple(image.shape) for image in batch.images] == [(4, 3, 4, 4), (4, 3, 8, 8), (4, 3, 16, 16)]
    for image in batch.images:
        assert image.dtype == torch.float32 and image.is_contiguous(memory_format=torch.channels_last)
        assert image.min() >= -1 and image.max() <= 1
    assert batch.rows.dtype == batch.labels.dtype == torch.int64 and batch.flipped.dtype == torch.bool
    assert len(batch.captions) == 4


def test_every_other_image_of_a_batch(folder):
    whole = batches(folder).batch_at(0)
    parts = [whole.every(first, 2) for first in range(2)]
    for k, part in enumerate(parts):
        assert part.captions == whole.captions[k::2]
        for name in ("rows", "labels", "flipped"):
            assert torch.equal(getattr(part, name), getattr(whole, name)[k::2])
        for one, of in zip(part.images, whole.images, strict=True):
            assert torch.equal(one, of[k::2]) and one.is_contiguous(memory_format=torch.channels_last)
    assert same(whole.every(0, 1), whole)


def test_a_batch_depends_on_seed_and_step_alone(folder):
    forwards, backwards = batches(folder), batches(folder)
    one = [forwards.batch_at(step) for step in range(6)]
    two = [backwards.batch_at(step) for step in reversed(range(6))][::-1]
    assert all(same(a, b) for a, b in zip(one, two, strict=True))
    assert not any(same(one[0], other) for other in one[1:])
    assert not same(one[0], batches(folder, seed=4).batch_at(0))


@pytest.mark.parametrize("workers", [1, 3])
def test_the_stream_is_the_same_batches(folder, workers):
    source = batches(folder)
    streamed = list(source.stream(1, 9, workers=workers))
    assert len(streamed) == 8 and all(same(batch, source.batch_at(step)) for step, batch in enumerate(streamed, start=1))
    assert list(source.stream(5, 5)) == []


def test_a_stream_that_is_left_ends_its_threads(folder):
    stream = batches(folder).stream(0, 10**9)
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_a_fault_in_a_worker_reaches_the_reader(tmp_path):
    path = write_folder(tmp_path / "images")
    source = batches(path)
    (path / "train-00000.tar").unlink()
    with pytest.raises(InputError, match="missing"):
        list(source.stream(0, 3))


def test_an_epoch_visits_every_image_at_most_once(folder):
    source = batches(folder)
    assert source.steps_per_epoch == 2
    epochs = [[row for step in (2 * e, 2 * e + 1) for row in source.batch_at(step).rows.tolist()] for e in range(40)]
    assert all(len(set(epoch)) == 8 for epoch in epochs) and len({tuple(epoch) for epoch in epochs}) == 40
    assert {row for epoch in epochs for row in epoch} == set(range(COUNT))


def test_crops_are_windows_of_the_image_or_of_its_mirror_image(folder):
    source = batches(folder)
    places, mirrored = set(), []
    for step in range(30):
        batch = source.batch_at(step)
        for row, crop, flipped in zip(batch.rows.tolist(), to_uint8(batch.images[-1]), batch.flipped.tolist(), strict=True):
            image = source.source.image(row)
            if flipped:
                crop = crop[:, ::-1]
            windows = np.lib.stride_tricks.sliding_window_view(image, (16, 16), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
            found = np.argwhere((windows == crop).all(axis=(2, 3, 4)))
            assert len(found) == 1
            places.add((tuple(found[0]), image.shape[1]))
            mirrored.append(flipped)
    tops, lefts = {p[0][0] for p in places}, {p[0][1] for p in places}
    assert tops == set(range(5)) and {0, 13} <= lefts  # the whole room is used
    assert 0.3 < np.mean(mirrored) < 0.7


def test_nothing_is_mirrored_unless_asked(folder):
    still, turned = batches(folder, flip=False), batches(folder)
    assert not any(still.batch_at(step).flipped.any() for step in range(10))
    for step in range(5):  # the other draws do not depend on the switch
        assert still.batch_at(step).captions == turned.batch_at(step).captions


def test_captions_belong_to_their_images_and_all_are_drawn(folder):
    source, drawn = batches(folder), set()
    for step in range(60):
        batch = source.batch_at(step)
        for row, caption in zip(batch.rows.tolist(), batch.captions, strict=True):
            assert caption in source.source.rows[row]["captions"]
            drawn.add(caption)
    assert len(drawn) == 3 * COUNT


def test_labels_are_classes_or_else_rows(folder, tmp_path):
    batch = batches(folder).batch_at(0)
    assert batch.labels.tolist() == [row % 2 for row in batch.rows.tolist()]
    batch = batches(write_folder(tmp_path / "images", labels=False)).batch_at(0)
    assert torch.equal(batch.labels, batch.rows)


def test_images_that_do_not_fit_are_decoded_when_needed(folder, monkeypatch):
    held = batches(folder)
    monkeypatch.setattr(loader, "HELD", 1000)
    streaming = batches(folder)
    assert all(same(held.batch_at(step), streaming.batch_at(step)) for step in range(4))
    assert streaming._held is None and held._held


def test_too_few_or_too_small_images_are_an_input_error(folder):
    with pytest.raises(InputError, match="has 11 training images, a batch 12"):
        batches(folder, batch=12)
    with pytest.raises(InputError, match="images are below 32 px"):
        TrainingBatches(folder, images_block(size=32, short_side=34), stages=3, batch=4, seed=0)


def test_every_level_survives_the_way_in_and_out():
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    tensor = to_tensor([levels, levels[::-1]])
    assert tensor.shape == (2, 3, 16, 16) and tensor.min() == -1 and tensor.max() == 1
    assert tensor[0, 1, 2, 3].item() == pytest.approx(levels[2, 3, 1] / 127.5 - 1, abs=1e-6)
    assert np.array_equal(to_uint8(tensor), np.stack([levels, levels[::-1]]))


def test_levels_are_rounded_half_to_even_and_clamped():
    values = torch.tensor([-7.0, 7.0, 0.0, 2 / 255, -1 + 1 / 127.5 * 0.49]).view(1, 1, 1, 5).expand(1, 3, 1, 5)
    assert to_uint8(values)[0, 0, :, 0].tolist() == [0, 255, 128, 128, 0]  # 127.5 and 128.5 both go to 128


@pytest.mark.parametrize(("side", "sizes"), [(16, [4, 8, 16]), (8, [1, 8]), (8, [8])])
def test_the_pyramid_is_the_mean_of_what_a_pixel_covers(side, sizes):
    image = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    for size, level in zip(sizes, pyramid(image, sizes), strict=True):
        step = side // size
        expected = sum(image[..., i::step, j::step] for i in range(step) for j in range(step)) / step**2
        assert level.shape == (2, 3, size, size) and torch.allclose(level, expected, atol=1e-6)


def test_the_pyramid_has_no_uneven_steps():
    with pytest.raises(ValueError, match="do not divide"):
        pyramid(torch.zeros(1, 3, 16, 16), [6, 16])
