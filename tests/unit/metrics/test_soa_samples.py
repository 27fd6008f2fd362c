"""Which samples SOA is made of."""

import tarfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from memgan.gan.sample import paint
from memgan.metrics.samples import Samples
from memgan.metrics.soa_samples import plan
from memgan.params.evaluation import Sampling

ROWS = [{"id": f"image {i}", "captions": [f"{i} {j}" for j in range(3)]} for i in range(20)]


def sampling(captions: int, images: int = 3) -> Sampling:
    return Sampling(samples=1, batch=2, soa_captions=captions, soa_images=images)


def table() -> np.ndarray:
    """What the 60 captions name: the first category the even ones, the second every tenth, the third nobody."""
    numbers = np.arange(60)
    return np.stack([numbers % 2 == 0, numbers % 10 == 0, numbers < 0], axis=1)


def test_captions_of_each_category_are_drawn_up_to_the_limit() -> None:
    named = table()
    found = plan(ROWS, named, sampling(8), seed=0)
    assert [p.index for p in found] == list(range(len(found)))
    counts = Counter(p.caption_id for p in found)
    assert set(counts.values()) == {3}
    drawn = [3 * int(name.split("#")[0].split()[1]) + int(name.split("#")[1]) for name in counts]
    assert named[drawn, 0].all()  # the second category's are among the first's
    assert named[drawn, 1].sum() == 6  # all there are
    assert 8 <= len(drawn) <= 14
    assert all(p.caption == f"{p.row} {p.caption_id.split('#')[1]}" for p in found)


def test_the_same_captions_for_every_run_and_others_for_another_seed() -> None:
    one, same, other = (plan(ROWS, table(), sampling(8), seed) for seed in (0, 0, 1))
    assert one == same
    assert one != other


def test_all_captions_where_the_limit_is_far() -> None:
    assert len(plan(ROWS, table(), sampling(1000, images=2), seed=0)) == 60


def test_nothing_is_planned_and_read_where_nothing_is_named(tmp_path: Path) -> None:
    assert plan(ROWS, np.zeros((60, 0), dtype=bool), sampling(8), seed=0) == []
    assert paint(SimpleNamespace(batch=2), None, [], 0, tmp_path / "soa.tar") == []
    (tmp_path / "soa.json").write_text('{"samples": []}')
    with tarfile.open(tmp_path / "soa.tar") as archive:
        assert archive.getnames() == []
    assert len(Samples([tmp_path / "soa.tar"])) == 0
