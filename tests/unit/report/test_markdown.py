"""Our Markdown as HTML: every cell, heading and note is there, and nothing in it can be taken for a tag."""

from html.parser import HTMLParser

from memgan.report.markdown import page, table
from memgan.report.rows import published_rows
from memgan.report.wide import wide
from tests.factory import ROOT


class Reader(HTMLParser):
    """Collects the texts of tags, and checks that each is closed."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag != "meta":
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in set(self.open):
            self.texts[tag][-1] += data


def test_every_kind_of_block() -> None:
    lines = table(["Name", "Value"], [["a|b", "1"], ["`x` **y** <b>", "2 <sup>1</sup>"]])
    text = page(
        "\n".join(["# Title", "", "Some <text>", "in two lines.", "", "## Part", "", *lines, "", "1. one", "2. two", "", "* item"])
    )
    found = Reader(text).texts
    assert found["title"] == found["h1"] == ["Title"]
    assert found["p"] == ["Some <text> in two lines."]
    assert found["th"] == ["Name", "Value"]
    assert found["td"] == ["a|b", "1", "x y <b>", "2 1"]
    assert (found["code"], found["strong"], found["sup"]) == (["x"], ["y"], ["1"])
    assert found["li"] == ["one", "two", "item"]
    assert text.count('class="number"') == 3


def test_table_1_keeps_all_its_cells_and_notes() -> None:
    rows = published_rows(ROOT / "workflow/data/published_table1.csv")
    markdown = wide(rows, [])
    found = Reader(page(markdown)).texts
    cells = [cell for line in markdown.splitlines() if line.startswith("|") for cell in line.strip("|").split("|")]
    assert len(found["td"]) + len(found["th"]) == len(cells) - len(found["th"])  # the rule's line has no cell
    assert len(found["li"]) == sum(bool(row["note"]) for row in rows)
    assert len(found["sup"]) == len(found["li"])
