"""k, exclusions, controls, inverted lists and product codes; the scores themselves are in tests/reference/test_retrieval.py."""

import subprocess
import sys

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memgan.errors import InputError
from memgan.memory.bank import MemoryBank
from memgan.memory.index import best_images
from memgan.memory.retrieval import STRATEGIES, nearest
from tests.banks import memory_block, random_queries, write_bank

SEARCHING = [name for name in STRATEGIES if name not in ("random", "oracle")]


@pytest.fixture(scope="module")
def bank(tmp_path_factory) -> MemoryBank:
    return write_bank(tmp_path_factory.mktemp("bank") / "bank", 300)


@given(
    owner=st.lists(st.integers(-1, 5), min_size=1, max_size=12),
    values=st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=12, max_size=12),
    depth=st.integers(1, 8),
)
def test_best_images(owner, values, depth):
    best = {}
    for row, score in zip(owner, values, strict=False):
        if row >= 0:
            best[row] = max(score, best.get(row, -1))
    wanted = sorted(best, key=lambda row: (-best[row], row))[:depth]
    rows, scores = best_images(np.array([owner]), np.array([values[: len(owner)]]), depth)
    assert rows.shape == (1, depth)
    assert rows[0].tolist() == wanted + [-1] * (depth - len(wanted))
    np.testing.assert_allclose(scores[0, : len(wanted)], [best[row] for row in wanted])


@pytest.mark.parametrize("strategy", SEARCHING)
def test_neither_batch_nor_threads_change_an_answer(strategy, bank):
    queries, memory = random_queries(40), memory_block(strategy=strategy, candidates=80)
    rows, scores = nearest(queries, bank, memory, 3)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for one in (0, 17):
                alone = random_queries(40)
                alone.captions = alone.captions[one : one + 1]
                for name in ("sentences", "words", "lengths"):
                    setattr(alone.encoded, name, getattr(alone.encoded, name)[one : one + 1])
                found = nearest(alone, bank, memory, 3)
                assert found[0][0].tolist() == rows[one].tolist()
                assert found[1][0].tolist() == scores[one].tolist()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("strategy", [*SEARCHING, "random"])
def test_excluded_rows_never_come(strategy, bank):
    queries, memory = random_queries(10), memory_block(strategy=strategy, candidates=50)
    free, _ = nearest(queries, bank, memory, 6)
    rows, scores = nearest(queries, bank, memory, 4, exclude=free[:, [0, 2]])
    assert not (rows[:, :, None] == free[:, None, [0, 2]]).any()
    assert rows.tolist() == free[:, [1, 3, 4, 5]].tolist()
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize("strategy", [*SEARCHING, "random"])
def test_no_image_comes_twice_and_k_may_be_the_whole_bank(strategy, bank):
    rows, _ = nearest(random_queries(3), bank, memory_block(strategy=strategy), len(bank))
    assert all(sorted(row) == list(range(len(bank))) for row in rows.tolist())


@pytest.mark.parametrize("strategy", [*SEARCHING, "random"])
@pytest.mark.parametrize("candidates", [100, "all"])
def test_no_queries_no_answers(strategy, candidates, bank):
    rows, scores = nearest(random_queries(0), bank, memory_block(strategy=strategy, candidates=candidates), 3)
    assert rows.shape == scores.shape == (0, 3)


@pytest.mark.parametrize("strategy", [*SEARCHING, "random"])
@pytest.mark.parametrize(("k", "excluded"), [(301, 0), (300, 1), (0, 0)])
def test_more_than_the_bank_holds_is_refused(strategy, k, excluded, bank):
    with pytest.raises(InputError, match=f"bank: k = {k} neighbours of 300 images"):
        nearest(random_queries(1), bank, memory_block(strategy=strategy), k, np.zeros((1, excluded), int))


def test_random_depends_on_the_seed_and_the_caption_alone(bank):
    queries, memory = random_queries(20), memory_block(strategy="random")
    rows, scores = nearest(queries, bank, memory, 2)
    assert (scores == 0).all()
    assert len(np.unique(rows)) > 20
    queries.captions = queries.captions[::-1]
    assert nearest(queries, bank, memory, 2)[0].tolist() == rows[::-1].tolist()
    queries.seed = 1
    assert nearest(queries, bank, memory, 2)[0].tolist() != rows[::-1].tolist()


def test_oracle_gives_back_what_the_caller_knows(bank):
    queries = random_queries(3)
    with pytest.raises(InputError, match="oracle"):
        nearest(queries, bank, memory_block(strategy="oracle"))
    queries.own = np.array([5, 900, 2])
    assert nearest(queries, bank, memory_block(strategy="oracle"))[0].tolist() == [[5], [900], [2]]
    with pytest.raises(InputError, match="oracle"):
        nearest(queries, bank, memory_block(strategy="oracle"), 2)


def test_shortlist_keeps_the_best(bank):
    """Images that come first by regions, though 150 candidates are cut to 64 by pooled regions."""
    queries = random_queries(30)
    rows, _ = nearest(queries, bank, memory_block(strategy="words_image", candidates=299), 1)
    exact, _ = nearest(queries, bank, memory_block(strategy="words_image", candidates="all"), 1)
    assert np.mean(rows == exact) > 0.5  # regions of noise; chance is 0.2


@pytest.mark.parametrize("index", ["ivf", "pq"])
@pytest.mark.parametrize("strategy", ["sentence_sentence", "sentence_image", "both"])
def test_with_all_lists_probed_the_answer_is_exact(index, strategy, bank):
    queries = random_queries(20)
    exact = nearest(queries, bank, memory_block(strategy=strategy), 3)
    rows, scores = nearest(queries, bank, memory_block(strategy=strategy, index=index, lists=8, probes=8, code_bytes=16), 3)
    assert np.mean(rows == exact[0]) >= (1 if index == "ivf" else 0.97)
    np.testing.assert_allclose(scores, exact[1], atol=1e-6 if index == "ivf" else 0.1)


@pytest.mark.parametrize("index", ["ivf", "pq"])
def test_few_probes_find_close_ones_and_never_fall_short(index, bank):
    rows = np.arange(0, 300, 7)
    queries = random_queries(len(rows))
    queries.encoded.sentences = bank.globals.take(rows).astype(np.float32)
    memory = memory_block(strategy="sentence_image", index=index, lists=0, probes=2, code_bytes=8)
    assert np.mean(nearest(queries, bank, memory)[0][:, 0] == rows) > 0.9
    found, _ = nearest(queries, bank, memory, 250)  # far more than two lists hold
    assert all(len(set(row)) == 250 for row in found.tolist())


@pytest.mark.parametrize("index", ["ivf", "pq"])
def test_a_built_index_is_left_for_the_next_process_and_is_the_same(index, tmp_path, bank, monkeypatch):
    memory, queries = memory_block(strategy="sentence_sentence", index=index, lists=8, probes=2, code_bytes=8), random_queries(9)
    left = bank.folder.parent / "state" / "index"
    before = set(left.glob("*.faiss"))
    first = nearest(queries, MemoryBank(bank.folder), memory, 5)
    (path,) = set(left.glob("*.faiss")) - before or before
    content = path.read_bytes()
    monkeypatch.setattr("memgan.memory.index._built", None)  # building again would fail
    again = nearest(queries, MemoryBank(bank.folder), memory, 5)
    assert again[0].tolist() == first[0].tolist() and again[1].tolist() == first[1].tolist()
    monkeypatch.undo()
    path.write_bytes(content[:-3])  # a damaged one is built anew
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    nearest(queries, MemoryBank(bank.folder), memory, 5)
    torch.set_num_threads(torch_threads)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"index": "ivf", "lists": 1000}, "memory.lists"), ({"index": "pq", "lists": 4, "code_bytes": 7}, "memory.code_bytes")],
)
def test_an_index_that_does_not_fit_is_refused(changes, key, bank):
    with pytest.raises(InputError, match=key):
        nearest(random_queries(1), bank, memory_block(strategy="sentence_sentence", **changes))


@pytest.mark.parametrize("candidates", [0, -5, "some"])
def test_candidates_are_a_number_or_all(candidates):
    with pytest.raises(ValueError, match="candidates"):
        memory_block(candidates=candidates)


def test_product_codes_need_enough_vectors(tmp_path):
    small = write_bank(tmp_path / "bank", 20)
    with pytest.raises(InputError, match="pq needs 256 vectors"):
        nearest(random_queries(1), small, memory_block(strategy="sentence_image", index="pq", code_bytes=8))


def test_faiss_works_in_one_process_with_torch_imported_after_it():
    """Both bring an OpenMP; the rest of this file imports torch first."""
    code = """import faiss, torch
import numpy as np
x = np.random.default_rng(0).standard_normal((2000, 64)).astype(np.float32)
index = faiss.IndexFlatIP(64)
index.add(x)
found = index.search(x[:300], 1)[1][:, 0]
product = (torch.from_numpy(x[:300]) @ torch.from_numpy(x).T).argmax(dim=1).numpy()
assert (found == product).all()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_gpu_is_used_when_there_is_one(bank, monkeypatch):
    moved = []
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", lambda: "resources", raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", lambda _, device, index: moved.append(device) or index, raising=False)
    fresh = MemoryBank(bank.folder)
    rows, _ = nearest(random_queries(4), fresh, memory_block(strategy="sentence_sentence"), 2)
    assert moved == [0]
    assert rows.tolist() == nearest(random_queries(4), bank, memory_block(strategy="sentence_sentence"), 2)[0].tolist()
