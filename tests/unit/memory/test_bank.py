import json
import shutil

import numpy as np
import pytest
import torch

from memgan.data.loader import to_tensor
from memgan.data.shards import ImageFolder
from memgan.encoders.matched import load_damsm
from memgan.errors import InputError
from memgan.memory import bank as bank_step
from memgan.memory import shards
from memgan.memory.bank import MemoryBank, pool
from memgan.memory.retrieval import retrieve
from tests.banks import memory_block
from tests.factory import damsm_block, images_block
from tests.untrained import IMAGES, SMALL


@pytest.fixture
def made(world):
    world.features()
    return MemoryBank(world.bank())


def whole(rows) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([*rows.blocks()])).float()


def test_holds_the_encoders_embeddings(world, made):
    damsm, geometry = damsm_block(**SMALL["damsm"]), images_block(**SMALL["images"])
    text, image = load_damsm(world.root / "damsm", damsm, geometry, world.captions.vocabulary)
    folder = ImageFolder(world.root / "images", "train")
    captions = [caption for row in folder.rows for caption in row["captions"]]
    tokens, lengths = world.captions.vocabulary.encode(captions, damsm.words)
    w, s = text(tokens, lengths)
    regions, globals_ = image(to_tensor([folder.centre(i, 16) for i in range(IMAGES)]))
    normal = torch.nn.functional.normalize
    close = {"atol": 2e-3, "rtol": 2e-3}
    torch.testing.assert_close(whole(made.sentences), normal(s, dim=1), **close)
    torch.testing.assert_close(whole(made.words), normal(w, dim=1).transpose(1, 2), **close)
    torch.testing.assert_close(whole(made.globals), normal(globals_, dim=1), **close)
    torch.testing.assert_close(whole(made.regions), regions.flatten(2).transpose(1, 2), **close)
    torch.testing.assert_close(whole(made.pooled), pool(regions), **close)
    assert made.lengths.tolist() == lengths.tolist()
    assert made.owner.tolist() == [i for i, row in enumerate(folder.rows) for _ in row["captions"]]
    assert made.captions_of(np.array([2, 0])).tolist() == [3, 4, 5, 0]
    assert (len(made), made.gamma1, made.gamma2) == (IMAGES, damsm.gamma1, damsm.gamma2)


def test_a_training_caption_finds_itself(world, made):
    folder = ImageFolder(world.root / "images", "train")
    captions = [row["captions"][-1] for row in folder.rows]
    for strategy in ("sentence_sentence", "words_words"):
        rows, scores = retrieve(captions, made, world.captions, memory_block(strategy=strategy))
        assert all(caption in folder.rows[row]["captions"] for caption, row in zip(captions, rows[:, 0], strict=True))
        np.testing.assert_allclose(scores, 1, atol=1e-3)


def test_captions_that_are_too_long_keep_their_first_words(world):
    long = "this bird is red with a long beak"
    short = world.captions.encode(["this bird is red with a"])
    np.testing.assert_array_equal(world.captions.encode([long]).words, short.words)


def test_a_caption_does_not_depend_on_its_company(world):
    captions = ["a red bird", "blue", "this bird is green with a", "a bird", "red", "nonsense"] * 15
    together = world.captions.encode(captions)
    for i in range(6):
        alone = world.captions.encode([captions[i]])
        assert np.array_equal(alone.sentences[0], together.sentences[i])
        assert np.array_equal(alone.words[0], together.words[i])


def test_a_killed_build_goes_on_with_the_next_shard_and_ends_in_the_same_bytes(world, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 4 * 2 * 16 * (16 + 16 + 1))  # four images a shard
    world.features()
    whole = {path.name: path.read_bytes() for path in world.bank().iterdir()}
    shutil.rmtree(world.root / "bank")
    real, asked = bank_step.image_keys, []

    def killed(*arguments):
        asked.append(arguments[-2])
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(bank_step, "image_keys", killed)
    with pytest.raises(KeyboardInterrupt):
        world.bank()
    assert not (world.root / "bank").exists()
    assert {path.name: path.read_bytes() for path in world.bank().iterdir()} == whole
    assert asked == [0, 4, 4, 8]  # the first shard is kept, the one that was being made is made again


@pytest.mark.parametrize("part", ["text", "image"])
def test_a_changed_or_cut_shard_is_refused_by_name(world, made, part):
    path = world.root / "bank" / f"{part}-00000.safetensors"
    content = path.read_bytes()
    strategy = "sentence_sentence" if part == "text" else "sentence_image"
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match=rf"bank/{part}-00000\.safetensors: its contents have changed"):
        retrieve(["a red bird"], MemoryBank(world.root / "bank"), world.captions, memory_block(strategy=strategy))
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match=rf"bank/{part}-00000\.safetensors: cut off or changed"):
        MemoryBank(world.root / "bank")


def test_features_of_other_images_are_refused(world):
    path = world.features() / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"ids": content["ids"][1:]}))
    with pytest.raises(InputError, match="features of other images"):
        world.bank()


def test_a_folder_of_something_else_is_no_bank(world):
    with pytest.raises(InputError, match=r"features/manifest\.json: no memory bank's, encoder is missing"):
        MemoryBank(world.features())


def test_rows_are_found_by_id(made):
    assert made.rows_of([made.ids[5], made.ids[0]]).tolist() == [5, 0]
    with pytest.raises(InputError, match="bank: holds no image `nobody`; its ids are like image 0"):
        made.rows_of(["nobody"])


def test_a_bank_of_another_encoder_is_refused(world, made):
    world.captions.encoder.embedding.weight.data[2, 0] += 1e-3
    with pytest.raises(InputError, match=r"bank: made with another text encoder; make it again"):
        retrieve(["a red bird"], made, world.captions, memory_block())


@pytest.mark.parametrize(("caption", "fault"), [("", "no word"), (" ?! ", "no word"), ("qwerty asdf", "none of its words")])
def test_unreadable_captions_are_refused_or_looked_up_as_unknown(world, made, caption, fault):
    with pytest.raises(InputError, match=fault):
        retrieve(["a red bird", caption], made, world.captions, memory_block())
    rows, _ = retrieve(["a red bird", caption], made, world.captions, memory_block(), strict=False)
    assert rows.shape == (2, 1)


def test_a_half_known_caption_is_answered(world, made):
    assert retrieve(["qwerty red"], made, world.captions, memory_block())[0].shape == (1, 1)
