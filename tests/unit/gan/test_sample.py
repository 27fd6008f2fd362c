"""The plan of samples: which captions, which noise, which shard."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from memgan.gan.sample import noise, plan, share

ROWS = [{"id": f"bird_{k}", "captions": [f"caption {k} {j}" for j in range(3)]} for k in range(7)]


@given(count=st.integers(1, 400), batch=st.integers(1, 60), shards=st.integers(1, 9))
def test_shards_are_whole_batches_and_cover_all_samples_once(count: int, batch: int, shards: int) -> None:
    parts = [share(count, batch, k, shards) for k in range(shards)]
    assert [index for part in parts for index in part] == list(range(count))
    assert all(part.start % batch == 0 for part in parts if len(part))


def test_passes_over_the_test_images_draw_captions_anew() -> None:
    plans = plan(ROWS, 21, seed=0)
    assert [p.row for p in plans] == [*range(7)] * 3
    assert all(p.caption == ROWS[p.row]["captions"][int(p.caption_id.split("#")[1])] for p in plans)
    assert len({p.caption_id for p in plans}) > 7
    assert plan(ROWS, 10, seed=0) == plans[:10]
    assert plan(ROWS, 21, seed=1) != plans


def test_noise_depends_on_its_own_seed_alone() -> None:
    z, jitter = noise([5, 6, 7], 10, 4)
    assert z.shape == (3, 10)
    assert jitter.shape == (3, 4)
    again, _ = noise([7], 10, 4)
    assert torch.equal(again[0], z[2])
    assert not torch.equal(z[0], z[1])
