"""Every retrieval strategy against brute force in NumPy, float64, after the formulas of SPEC 4 and AttnGAN's eqs. (7)-(10)."""

import numpy as np
import pytest

from memgan.memory.bank import MemoryBank
from memgan.memory.retrieval import Queries, nearest
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
    scores = []
    for regions in bank["regions"]:
        s = query["w"] @ regions.T  # eq. (7): words x regions
        share = np.exp(s) / np.exp(s).sum(axis=0)  # eq. (8)
        alpha = np.exp(4.0 * share) / np.exp(4.0 * share).sum(axis=1, keepdims=True)
        c = alpha @ regions  # eq. (9)
        cosine = (c * query["w"]).sum(axis=1) / np.linalg.norm(c, axis=1) / np.linalg.norm(query["w"], axis=1)
        scores.append(np.log(np.exp(5.0 * cosine).sum()) / 5.0)  # eq. (10)
    return np.array(scores)


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
    import torch

    from memgan.encoders.matching import word_scores
    from memgan.encoders.text import mask_of
    from memgan.memory.words import region_match

    encoded = random_queries(6).encoded
    words, mask = torch.from_numpy(encoded.words), mask_of(torch.from_numpy(encoded.lengths), encoded.words.shape[1])
    regions = torch.randn(5, words.shape[2], 3, 4, generator=torch.Generator().manual_seed(0))
    ours = region_match(words, mask, regions.flatten(2).transpose(1, 2), 4.0, 5.0)
    torch.testing.assert_close(ours, word_scores(regions, words.transpose(1, 2), mask, 4.0, 5.0).T)
