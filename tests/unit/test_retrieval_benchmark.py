"""The benchmark of retrieval on a very small bank: what it prints, and whether its bank is the one that its page describes."""

import json

import numpy as np
import pytest
import torch

from benchmarks import growth, retrieval
from benchmarks.run_all import LIMITS
from benchmarks.synthetic_bank import SyntheticBank
from memgan.memory.bank import MemoryBank

ASKED = {"sentence_exact_qps", "faiss_flat_qps", "numpy_qps", "sentence_ivf_qps", "sentence_ivf_recall", "words_qps"} | {
    *("words_recall", "words_image_qps", "words_image_recall", "peak_gb", "build_s")
}


@pytest.fixture(scope="module")
def synthetic() -> SyntheticBank:
    return SyntheticBank(800, captions=5, words=12, side=17, dimension=256, seed=0)


@pytest.fixture(scope="module")
def bank(synthetic, tmp_path_factory) -> MemoryBank:
    return synthetic.write(tmp_path_factory.mktemp("synthetic") / "bank")


def test_cosines_are_those_asked_for(synthetic, bank):
    sentences = np.concatenate([*bank.sentences.blocks()]).astype(np.float64).reshape(800, 5, 256)
    within = np.einsum("nid,njd->nij", sentences, sentences)[:, *np.triu_indices(5, 1)]
    assert within.mean() == pytest.approx(0.8, abs=0.01)  # captions of an image
    clusters = torch.randint(2000, (800,), generator=synthetic.rng("image", 0)).numpy()
    same = (clusters[:, None] == clusters) & ~np.eye(800, dtype=bool)
    across = np.einsum("nd,md->nm", sentences[:, 0], sentences[:, 1])
    assert across[same].mean() == pytest.approx(0.6, abs=0.02)  # images of a cluster
    assert across[clusters[:, None] != clusters].mean() == pytest.approx(0, abs=0.01)
    assert bank.regions.shape == (800, 289, 256) and bank.words.shape == (4000, 12, 256)


def test_queries_are_captions_with_noise(synthetic, bank):
    queries, rows = synthetic.queries(bank, 100, words=True)
    cosines = np.stack([bank.sentences.take(np.arange(4000)).astype(np.float32) @ s for s in queries.encoded.sentences])
    assert cosines.max(axis=1).mean() == pytest.approx(0.9, abs=0.01)
    assert (bank.owner[cosines.argmax(axis=1)] == rows).mean() > 0.97


def test_the_seed_decides_all(synthetic):
    again, other = (SyntheticBank(800, 5, 12, 17, 256, seed) for seed in (0, 1))
    ours = synthetic.text(0, 20)
    assert all(torch.equal(x, ours[name]) for name, x in again.text(0, 20).items())
    assert not torch.equal(other.text(0, 20)["words"], ours["words"])
    assert torch.equal(again.image(0, 3)["regions"], synthetic.image(0, 3)["regions"])
    streams = [synthetic.rng(what, start).initial_seed() for what in ("shared", "image", "caption") for start in (0, 800)]
    draws = {float(torch.rand(1, generator=torch.Generator().manual_seed(seed))) for seed in streams}
    assert len(draws) == len(streams)  # torch looks at 32 bits of a seed only


def test_prints_every_figure_and_removes_its_bank(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(retrieval, "OUT", tmp_path)
    monkeypatch.setattr(retrieval, "TURN", 200)
    monkeypatch.setattr(retrieval, "REFERENCES", {"words_words": (8, 3), "words_image": (8, 3)})
    retrieval.main(scale=0.001, queries=500, word_queries=10, threads=torch.get_num_threads(), seed=0, keep=False)
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert ASKED | set(LIMITS["retrieval"]) <= set(figures)
    assert figures["images"] == 83 and figures["queries"] == 500
    for name in ("sentence_exact_recall", "numpy_recall", "words_recall", "words_image_recall"):
        assert figures[name] == 1
    assert figures["sentence_own"] > 0.99 and figures["sentence_ivf_recall"] >= 0.99
    assert not list(tmp_path.glob("bank*"))


def test_growth_of_one_index(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "OUT", tmp_path)
    monkeypatch.setattr(growth, "KINDS", {"flat": 50, "ivf": 60, "pq": 60})
    threads, folder, points = torch.get_num_threads(), growth.write(1000, seed=0), []
    for images in (200, 1000):
        for kind in growth.KINDS:
            built, searched = (growth.one(folder, images, kind, threads, done) for done in (False, True))
            assert (tmp_path / f"{kind}-{images}.faiss").is_file() == (kind != "flat")
            points.append({"kind": kind, "images": images} | built | searched)
    rows = [np.array(point["rows"]) for point in points]
    assert all(len(row) == 50 and row.max() < point["images"] for row, point in zip(rows, points, strict=True))
    assert all(np.mean(row == rows[0 if n < 3 else 3]) > 0.95 for n, row in enumerate(rows))
    steep = [point | dict.fromkeys(growth.PANELS, point["images"] ** 0.5) for point in points]
    assert growth.slopes(steep) == dict.fromkeys(growth.KINDS, dict.fromkeys(growth.PANELS, 0.5))
    growth.draw(steep)
    assert (tmp_path / "growth.png").is_file()
