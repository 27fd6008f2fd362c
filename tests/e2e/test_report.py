"""What is shown of results: the HTML report in a real browser, and DVC's metrics and plots."""

import base64
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser import Browser
from tests.workflow.clones import Clone

pytestmark = pytest.mark.xdist_group("e2e")
PICTURE = "document.querySelector('img[src^=\"data:image/png\"]')"  # no logo
CAPTIONS = {  # how they begin
    "samples": "samples, each beside the image that the memory retrieved",
    "diversity": "samples of a few captions",
    "curves": "the losses of the training",
    "copy": "how far samples lie from the image",
}
SOME = 0.004  # of a screenshot's pixels; the overview, little text and a graph, has 0.007, an empty page none


@pytest.fixture(scope="module")
def report(chain: Clone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the chain, away from the clone: it must need nothing else."""
    chain.run("snakemake --report report.html")
    return Path(shutil.move(chain.path / "report.html", tmp_path_factory.mktemp("report") / "report.html"))


def test_dvc_shows_our_main_scores_and_what_changed(chain: Clone):
    shown = json.loads(chain.run("dvc metrics show --json 2>/dev/null").stdout)
    (files,) = [entry["data"] for entry in shown.values()]
    assert list(files) == ["results/table1.json"]
    scores = files["results/table1.json"]["data"]
    assert set(scores) == {"birdworld", "sceneworld"}
    assert {"FID", "R-precision"} < set(scores["birdworld"])
    path = chain.path / "results/table1.json"
    text = path.read_text()
    try:
        path.write_text(text.replace(str(scores["birdworld"]["FID"]), "1.5"))
        said = chain.run("dvc metrics diff --json 2>/dev/null").stdout
    finally:
        path.write_text(text)
    assert '"new": 1.5' in said and "birdworld.FID" in said


def test_dvc_plots_the_curves(chain: Clone):
    chain.run("dvc plots show -o plots")
    page = (chain.path / "plots/index.html").read_text()
    for title in ("generator", "discriminators", "DAMSM"):
        assert title in page
    assert "sceneworld/ours/0/curves.csv" in page
    shutil.rmtree(chain.path / "plots")


@pytest.fixture(scope="module")
def browser(report: Path, tmp_path_factory: pytest.TempPathFactory):
    with Browser(tmp_path_factory.mktemp("profile"), report) as opened:
        opened.wait("document.body?.innerText.includes('Figures')")
        yield opened


def category(browser: Browser, name: str) -> list[list[str]]:
    """Opens a category from the menu; the texts of its rows. Clicks again if the page was still busy."""
    browser.value("app.setView({navbarMode: 'menu'})")
    browser.wait("document.querySelectorAll('tbody tr').length === 0")
    place = (
        f"[...document.querySelectorAll('#app span')].filter(e => e.innerText && e.innerText.trim() === {json.dumps(name)}).pop()"
    )
    browser.wait(f"document.querySelectorAll('tbody tr').length > 0 || ({place}?.click(), false)")
    return browser.value("[...document.querySelectorAll('tbody tr')].map(r => [...r.cells].map(c => c.innerText.trim()))")


def button(browser: Browser, row: int, which: int) -> None:
    """A click on a row's button: 0 shows the result, 1 says what is known of it."""
    browser.value(f"document.querySelectorAll('tbody tr')[{row}].querySelectorAll('a, button')[{which}].click()")


@pytest.mark.browser
def test_the_report_opens_with_its_overview(browser: Browser, tmp_path: Path):
    text = browser.value("document.body.innerText")
    assert "Table 1 of the paper, measured anew" in text.replace("\n", " ")
    assert coloured(browser.screenshot(tmp_path / "overview.png")) > SOME


@pytest.mark.browser
def test_table_1_is_shown_and_not_downloaded(browser: Browser, chain: Clone, tmp_path: Path):
    names = [row[0] for row in category(browser, "Tables")]
    assert sorted(names) == ["Retrieval", "Table 1"]
    table = names.index("Table 1")
    button(browser, table, 0)
    source = browser.wait("document.querySelector('iframe')?.src")
    assert base64.b64decode(source.partition("base64,")[2]) == (chain.path / "results/table1.html").read_bytes()
    time.sleep(1)
    assert coloured(browser.screenshot(tmp_path / "table.png")) > SOME
    button(browser, table, 1)
    browser.wait("document.body.innerText.includes('published rows as they were printed')")


@pytest.mark.browser
def test_every_figure_is_shown_with_its_caption(browser: Browser, chain: Clone, tmp_path: Path):
    rows = category(browser, "Figures")
    results, drawn = chain.path / "results", {}
    for path in results.glob("*/ours/0/figures/*.png"):
        drawn[path.parts[-5], "ours", "0", path.stem] = path.read_bytes()
    for path in results.glob("*/retrieval/*.png"):
        drawn[path.parts[-3], "", "", path.stem] = path.read_bytes()
    assert sorted(tuple(row[:4]) for row in rows) == sorted(drawn)
    source = ""
    for row, (dataset, run, seed, name) in enumerate(tuple(row[:4]) for row in rows):
        button(browser, row, 0)
        browser.wait(f"{PICTURE}?.naturalWidth > 300 && {PICTURE}.src !== {json.dumps(source)}")
        source = browser.value(f"{PICTURE}.src")
        assert base64.b64decode(source.partition("base64,")[2]) == drawn[dataset, run, seed, name]
        assert coloured(browser.screenshot(tmp_path / "figure.png")) > SOME
    for row, (dataset, run, _, name) in enumerate(tuple(row[:4]) for row in rows):
        category(browser, "Figures")
        button(browser, row, 1)
        caption = (
            f"Run ours, seed 0, on {dataset}: {CAPTIONS[name]}" if run else f"Captions of {dataset} that the encoders never saw"
        )
        browser.wait(f"document.body.innerText.replace(/\\s+/g, ' ').includes({json.dumps(caption)})")


def coloured(path: Path) -> float:
    """Share of the right three quarters of a screenshot, beside the menu, that is not white."""
    picture = np.asarray(Image.open(path).convert("RGB"))
    content = picture[:, picture.shape[1] // 4 :]
    return float((content.min(axis=2) < 200).mean())
