import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memgan.encoders import vocabulary
from memgan.encoders.vocabulary import Vocabulary, count_words, words_of
from memgan.errors import InputError
from tests.unit.encoders.conftest import write_params

WORDS = Vocabulary(["a", "bird", "red", "with", "wings", "blue", "and", "beak"])


def test_words_are_lower_case_without_punctuation():
    assert words_of("A red-winged Bird, isn't it? Ünï 2x") == ["a", "red", "winged", "bird", "isn", "t", "it", "ünï", "2x"]


def test_the_commonest_words_come_first_and_equal_ones_in_order():
    assert count_words(["b a b", "c a b", "d"], 1) == [("b", 3), ("a", 2), ("c", 1), ("d", 1)]
    assert count_words(["b a b", "c a b", "d"], 2) == [("b", 3), ("a", 2)]


def test_numbers_zero_and_one_are_no_words():
    assert len(WORDS) == 10
    tokens, lengths = WORDS.encode(["A red bird!", "a purple bird"], 4)
    assert tokens.tolist() == [[2, 4, 3, 0], [2, 1, 3, 0]]
    assert lengths.tolist() == [3, 3]
    assert tokens.dtype == lengths.dtype == torch.int64


@pytest.mark.parametrize("caption", ["", "?!", "  "])
def test_a_caption_without_words_is_one_unknown_word(caption):
    tokens, lengths = WORDS.encode([caption], 3)
    assert tokens.tolist() == [[1, 0, 0]]
    assert lengths.tolist() == [1]


def test_long_captions_keep_their_first_words_in_evaluation():
    tokens, lengths = WORDS.encode(["a red bird with blue wings"], 4)
    assert tokens.tolist() == [[2, 4, 3, 5]]
    assert lengths.tolist() == [4]


@given(count=st.integers(1, 30), words=st.integers(1, 12), seed=st.integers(0, 1000))
def test_long_captions_keep_an_ordered_subset_in_training(count, words, seed):
    many = Vocabulary([f"w{i}" for i in range(30)])
    caption = " ".join(f"w{i}" for i in range(count))
    tokens, lengths = many.encode([caption], words, np.random.default_rng(seed))
    kept = tokens[0, : lengths[0]]
    assert lengths[0] == min(count, words)
    assert (kept.diff() > 0).all()
    assert kept.min() >= 2
    assert kept.max() < 2 + count
    assert (tokens[0, lengths[0] :] == 0).all()


def test_the_subset_differs_from_draw_to_draw_and_reaches_the_end():
    rng = np.random.default_rng(0)
    drawn = {tuple(WORDS.encode(["a red bird with blue wings"], 4, rng)[0][0].tolist()) for _ in range(60)}
    assert len(drawn) > 5
    assert any(6 in row for row in drawn)  # wings, the last word


def test_the_step_writes_what_load_reads(project):
    out = Path("results/vocabulary.json")
    vocabulary.main(images=Path("images"), dataset="birdworld", out=out)
    loaded = Vocabulary.load(out)
    assert set(loaded.words) == {"a", "square", "on", "ground", "with", "that", "is", "red", "green", "blue", "yellow"}
    assert loaded.words[0] == "a"  # and square, twice an image
    content = json.loads(out.read_text())
    assert content["counts"] == sorted(content["counts"], reverse=True)
    assert content["manifest"]["step"] == "memgan.encoders.vocabulary"
    first = out.read_bytes()
    vocabulary.main(images=Path("images"), dataset="birdworld", out=out)
    assert out.read_bytes() == first


def test_a_min_count_that_leaves_nothing_is_refused(project):
    write_params(project, damsm={"min_count": 1000})
    with pytest.raises(InputError, match=r"images.*min_count"):
        vocabulary.main(images=Path("images"), dataset="birdworld", out=Path("vocabulary.json"))
    assert not Path("vocabulary.json").exists()


@pytest.mark.parametrize("content", ["[]", '{"words": "a b"}', '{"words": [1]}', "{}"])
def test_other_files_are_no_vocabulary(tmp_path, content):
    path = tmp_path / "vocabulary.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"vocabulary\.json: this is no vocabulary"):
        Vocabulary.load(path)


def test_the_digest_tells_vocabularies_apart():
    assert Vocabulary(["a", "b"]).digest == Vocabulary(["a", "b"]).digest
    assert len({Vocabulary(words).digest for words in (["a", "b"], ["b", "a"], ["ab"], ["a"])}) == 4
