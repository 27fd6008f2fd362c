"""Figures: what is shown, and that the same inputs give the same bytes."""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from memgan.errors import InputError
from memgan.gan.train import table
from memgan.metrics.diversity import copy_check, histogram
from memgan.metrics.samples import Samples
from memgan.report import figures, style
from memgan.report.pictures import COUNT, LETTERS, LINES, SHOWN, diversity_figure, samples_figure, shortened, spread
from memgan.report.style import styled
from tests.scoring import World
from tests.unit.gan.test_engine import engine, run

CURVES = "step,d0,r1_0,d1,r1_1,kl,g0,g1,damsm\n" + "".join(
    f"{i},{1 + i / 50},{0.1 if i % 4 == 0 else ''},1,{0.2 if i % 4 == 0 else ''},0.05,2,{3 - i / 50},4\n" for i in range(40)
)


def test_the_step_writes_every_figure_twice_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "DPI", 40)
    world = World(tmp_path)
    curves = tmp_path / "curves.csv"
    curves.write_text(CURVES)
    samples, varied = world.samples(9), world.samples(9, shards=1, folder="varied")
    scores = tmp_path / "metrics.json"
    near, far = np.array([0.1, 0.2]), np.array([0.5, 1.0])
    judged = {"metrics": copy_check(near, far, "evaluator:birdworld"), "histograms": {"copy check": histogram(near, far)}}
    scores.write_text(json.dumps(judged))
    contents = []
    for name in ("one", "two"):
        figures.main(samples, world.inputs.images, curves, tmp_path / name, scores, varied[0])
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert set(contents[0]) == {f"{name}.{kind}" for name in ("samples", "curves", "copy", "diversity") for kind in ("pdf", "png")}
    assert contents[0] == contents[1]


def test_each_pair_shows_the_sample_its_retrieved_image_and_its_caption(tmp_path: Path) -> None:
    world = World(tmp_path)
    paths = world.samples(6)
    samples = Samples(paths)
    neighbour = figures.retrieved(world.inputs.images, paths, 16)
    with styled():
        figure = samples_figure(samples, neighbour)
    pictures, texts = figure.axes[0].images, [text.get_text() for text in figure.axes[0].texts]
    assert len(pictures) == 12
    for i, record in enumerate(samples.records):
        left, right = pictures[2 * i], pictures[2 * i + 1]
        assert np.array_equal(np.asarray(left.get_array())[::8, ::8], samples.image(i))
        assert np.array_equal(np.asarray(right.get_array())[::8, ::8], neighbour(record))
        assert texts[1 + i] == shortened(record["caption"])
        assert left.get_extent()[1] < right.get_extent()[0]
        assert left.get_extent()[2:] == right.get_extent()[2:]
    plt.close(figure)


def test_each_row_of_diversity_is_one_caption(tmp_path: Path) -> None:
    world = World(tmp_path)
    paths = world.samples(24 * 3)  # three passes, another caption each time
    samples = Samples(paths)
    for i, entry in enumerate(samples.records):
        entry["caption_id"] = f"caption {i % 2}"
    with styled():
        figure = diversity_figure(samples, figures.retrieved(world.inputs.images, paths, 16))
    rows = {picture.get_extent()[3] for picture in figure.axes[0].images}
    assert len(rows) == 2
    assert len(figure.axes[0].images) == 2 * (1 + SHOWN)
    plt.close(figure)


def test_figures_are_read_at_a_columns_width(tmp_path: Path) -> None:
    """Drawn at that size, no higher than a page, and no type below six points."""
    world = World(tmp_path)
    paths = world.samples(40)
    curves = tmp_path / "curves.csv"
    curves.write_text(CURVES)
    samples, neighbour = Samples(paths), figures.retrieved(world.inputs.images, paths, 16)
    with styled():
        drawn = [diversity_figure(samples, neighbour), figures.curves_figure(curves)]
        drawn.append(figures.copy_figure(histogram(np.array([0.1, 0.2]), np.array([0.5, 1.0])), "evaluator:birdworld"))
    for figure in drawn:
        width, height = figure.get_size_inches()
        assert width == style.COLUMN and height < 9.5
        assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= style.SMALLEST
        plt.close(figure)


def test_64_samples_are_as_wide_as_a_page_and_nothing_overlaps(tmp_path: Path) -> None:
    world = World(tmp_path)
    paths = world.samples(70)
    samples = Samples(paths)
    for i, entry in enumerate(samples.records):
        entry["caption"] = f"{i} " + "a bird with scarlet wings and beak, a bluish crown, yellow legs and an emerald tail " * 2
    with styled():
        figure = samples_figure(samples, figures.retrieved(world.inputs.images, paths, 16))
    (axes,) = figure.axes
    assert figure.get_size_inches()[0] == style.WIDTH
    assert len(axes.images) == 2 * 64 and len(axes.texts) == 1 + 64
    figure.canvas.draw()
    boxes = [thing.get_window_extent() for thing in (*axes.images, *axes.texts)]
    assert not [1 for i, box in enumerate(boxes) if box.count_overlaps(boxes[i + 1 :])]
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and figure.bbox.y0 <= box.y0 for box in boxes)
    assert min(text.get_fontsize() for text in axes.texts) >= style.SMALLEST
    plt.close(figure)


def test_samples_are_spread_over_all_of_them() -> None:
    many = [f"bird {i}" for i in range(5000)]
    assert spread(many)[:3] == [0, 78, 156]
    assert len(spread(many)) == len(set(spread(many))) == COUNT
    assert spread(many[:3]) == [0, 1, 2]


def test_no_caption_is_shown_twice() -> None:
    assert spread(["a pear", "a bee", "a pear", "an owl", "a bee"]) == [0, 1, 3]
    shown = spread([f"bird {i % 100}" for i in range(5000)])
    assert len(shown) == COUNT
    assert max(shown) < 100


def test_captions_keep_to_their_lines() -> None:
    text = shortened("word " * 100)
    assert len(text.split("\n")) == LINES
    assert max(len(line) for line in text.split("\n")) <= LETTERS
    assert text.endswith("...")
    assert shortened("a b c", 3, 9) == "a b\nc"


def test_curves_show_each_stage_and_an_untrained_run_says_so(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    path.write_text(CURVES)
    figure = figures.curves_figure(path)
    names = [[text.get_text() for text in axis.get_legend().get_texts()] for axis in figure.axes]
    stages = ["stage 1", "stage 2"]
    assert names == [stages, stages, stages, ["KL", "DAMSM"]]  # and no panel for diversity, which is not in use
    plt.close(figure)
    path.write_text("step\n")
    figure = figures.curves_figure(path)
    assert {text.get_text() for axis in figure.axes for text in axis.texts} == {"no step was trained"}
    plt.close(figure)


def test_every_loss_of_a_step_is_drawn(tmp_path: Path) -> None:
    subject = engine(train={"damsm_weight": 1.0, "diversity_weight": 0.5, "r1_gamma": 1.0, "r1_interval": 2})
    path = tmp_path / "curves.csv"
    path.write_text(table([{"step": step, **terms} for step, terms in enumerate(run(subject, 0, 3))]))
    names = set(figures.read_curves(path).columns) - {"step"}
    assert all(any(re.fullmatch(pattern, name) for pattern in figures.PANELS.values()) for name in names)
    figure = figures.curves_figure(path)
    assert [axis.get_title() for axis in figure.axes] == list(figures.PANELS)
    assert [text.get_text() for text in figure.axes[-1].get_legend().get_texts()] == ["diversity"]
    plt.close(figure)


@pytest.mark.parametrize(("text", "said"), [("a,b\n1,2\n", "no column `step`"), ("", "not CSV")])
def test_curves_that_are_none_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "curves.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        figures.read_curves(path)
