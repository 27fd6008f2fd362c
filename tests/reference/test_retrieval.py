"""Every retrieval strategy against brute force in NumPy, float64, after the formulas of SPEC 4 and AttnGAN's eqs. (7)-(10)."""

import numpy as np
import pytest
import torch

from memgan.encoders.matching import word_scores
from memgan.memory.bank import MemoryBank
from memgan.memory.retrieval import Queries, nearest
from memgan.memory.words import region_match
from tests.banks import memory_block, random_queries, unit, write_bank

WEIGHT = 0.3


def sentence_sentence(query: dict, bank: dict) -> np.ndarray:
    return np.array([max(query["s"] @ s for s in bank["sentences"][bank["owner"] == i]) for i in range(bank["count"])])


def sentence_image(query: dict, bank: dict) -> np.ndarray:
    return bank["globals"] @ query["s"]


def both(query: dict, bank: dict) -> np.ndarray:
    return WEIGHT * sentence_sentence(query, bank) + (1 - WEIGHT) * sentence_image(query, bank)


def words_words(query: dict, bank: dict) -> np.ndarray:
    scores = np.full(bank["count"], -np.inf)
    for words, length, image in zip(bank["words"], bank["lengths"], bank["owner"], strict=True):
        score = np.mean([max(unit(w) @ other for other in words[:length]) for w in query["w"]])
        scores[image] = max(scores[image], score)
    return scores


def words_image(query: dict, bank: dict) -> np.ndarray:
    return np.array([matching(query["w"], regions) for regions in bank["regions"]])


def matching(words: np.ndarray, regions: np.ndarray) -> float:
    """R(Q, D) of T words (T x D) and an image's R regions (R x D), with gamma1 = 4 and gamma2 = 5."""
    s = words @ regions.T  # eq. (7): words x regions
    share = np.exp(s) / np.exp(s).sum(axis=0)  # eq. (8)
    alpha = np.exp(4.0 * share) / np.exp(4.0 * share).sum(axis=1, keepdims=True)
    c = alpha @ regions  # eq. (9)
    cosine = (c * words).sum(axis=1) / np.linalg.norm(c, axis=1) / np.linalg.norm(words, axis=1)
    return float(np.log(np.exp(5.0 * cosine).sum()) / 5.0)  # eq. (10)


FORMULAS = {f.__name__: f for f in (sentence_sentence, sentence_image, both, words_words, words_image)}


def stored(bank: MemoryBank) -> dict:
    """What lies in the bank's files, in float64."""
    arrays = {name: np.concatenate([*getattr(bank, name).blocks()]) for name in ("sentences", "words", "globals", "regions")}
    return {name: x.astype(np.float64) for name, x in arrays.items()} | {
        "count": len(bank),
        "owner": bank.owner,
        "lengths": bank.lengths,
    }


def expected(strategy: str, queries: Queries, bank: MemoryBank, k: int, exclude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    keys, rows, values = stored(bank), [], []
    encoded = queries.encoded
    for sentence, words, length, apart in zip(encoded.sentences, encoded.words, encoded.lengths, exclude, strict=True):
        query = {"s": sentence.astype(np.float64), "w": words[:length].astype(np.float64)}
        scores = FORMULAS[strategy](query, keys).round(9)
        order = [row for row in np.lexsort((np.arange(len(bank)), -scores)) if row not in apart][:k]
        rows.append(order)
        values.append(scores[order])
    return np.array(rows), np.array(values)


@pytest.fixture(scope="module", params=[False, True], ids=["all differ", "identical pairs"])
def bank(request, tmp_path_factory) -> MemoryBank:
    return write_bank(tmp_path_factory.mktemp("bank") / "bank", 41, repeats=request.param)


@pytest.mark.parametrize("k", [1, 6, 39])
@pytest.mark.parametrize("strategy", FORMULAS)
def test_agrees_with_brute_force(strategy, k, bank):
    queries = random_queries(9)
    exclude = np.random.default_rng(2).integers(-1, len(bank), (9, 2))
    exclude[:, 1] = np.where(exclude[:, 1] == exclude[:, 0], -1, exclude[:, 1])
    rows, scores = nearest(queries, bank, memory_block(strategy=strategy, candidates="all", text_weight=WEIGHT), k, exclude)
    wanted_rows, wanted_scores = expected(strategy, queries, bank, k, exclude)
    np.testing.assert_array_equal(rows, wanted_rows)
    np.testing.assert_allclose(scores, wanted_scores, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("strategy", "level"), [("words_words", "sentence_sentence"), ("words_image", "sentence_image")])
def test_word_level_ranks_what_the_sentence_level_hands_on(strategy, level, bank):
    queries, none = random_queries(7), np.full((7, 1), -1)
    rows, scores = nearest(queries, bank, memory_block(strategy=strategy, candidates=12), 5)
    handed, _ = expected(level, queries, bank, 12, none)
    everything, values = expected(strategy, queries, bank, len(bank), none)
    for query in range(7):
        order = [row for row in everything[query] if row in handed[query]][:5]
        assert rows[query].tolist() == order
        wanted = [values[query][list(everything[query]).index(row)] for row in order]
        np.testing.assert_allclose(scores[query], wanted, atol=1e-6, rtol=0)


def test_region_match_is_the_matching_score_of_damsm():
    """Both, the bank's and the loss's, against the equations."""
    encoded = random_queries(6).encoded
    words, lengths = torch.from_numpy(encoded.words).double(), torch.from_numpy(encoded.lengths)
    mask = torch.arange(words.shape[1]) < lengths[:, None]
    regions = torch.randn(5, 12, words.shape[2], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = [[matching(w[:length], image) for image in regions.numpy()] for w, length in zip(words.numpy(), lengths, strict=True)]
    np.testing.assert_allclose(region_match(words, mask, regions, 4.0, 5.0), wanted, atol=1e-10, rtol=0)
    of_the_loss = word_scores(regions.transpose(1, 2), words.transpose(1, 2), mask, 4.0, 5.0)
    np.testing.assert_allclose(of_the_loss.T, wanted, atol=1e-10, rtol=0)
