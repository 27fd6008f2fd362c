"""Which samples the diversity score is made of."""

from memgan.metrics.variations import plan


def rows(count: int) -> list[dict]:
    return [{"id": f"image {i}", "captions": [f"first of {i}", f"second of {i}"]} for i in range(count)]


def test_few_captions_spread_over_the_split_each_many_times() -> None:
    found = plan(rows(100), captions=4, noises=3)
    assert [p.index for p in found] == list(range(12))
    assert [p.row for p in found] == [0, 0, 0, 25, 25, 25, 50, 50, 50, 75, 75, 75]
    assert {(p.caption_id, p.caption) for p in found} == {(f"image {i}#0", f"first of {i}") for i in (0, 25, 50, 75)}


def test_a_small_split_gives_what_it_has() -> None:
    assert [p.row for p in plan(rows(2), captions=5, noises=2)] == [0, 0, 1, 1]
