"""Puts a table and its picture into a page of the documentation, between the two marks there.

python -m memgan.report.fill --table results/ablations.md --picture results/ablations/ablations.png --document docs/ABLATIONS.md
"""

import re
from pathlib import Path
from typing import Annotated

from typer import Option

from memgan import steps
from memgan.artifacts import atomic_file, write_text
from memgan.errors import InputError

MARKED = re.compile(r"(<!-- results:[^>]*-->\n).*(<!-- end of results -->)", re.DOTALL)


def main(
    table: Annotated[Path, Option(help="Markdown; its title is left out, its headings go one level down")],
    picture: Annotated[Path, Option(help="PNG, copied beside the page")],
    document: Annotated[Path, Option(help="the page")],
) -> None:
    """Fills a page with results."""
    put(document, filling(read(table)), picture)
    steps.log.info("%s: filled from %s", document, table)


def put(document: Path, text: str, picture: Path) -> None:
    """Puts a copy of the picture beside the page, and both between its marks. Raises InputError if it has none."""
    page = read(document)
    if not MARKED.search(page):
        raise InputError(f"{document}: there are no marks `<!-- results: ... -->` and `<!-- end of results -->`; put them back")
    beside = document.with_name(picture.name)
    with atomic_file(beside) as temporary:
        temporary.write_bytes(picture.read_bytes())
    parts = [f"![{picture.stem}]({beside.name})", text]
    write_text(document, MARKED.sub(lambda marks: "\n".join([marks[1], "\n\n".join(parts), "", marks[2]]), page))


def filling(text: str) -> str:
    """The table's text without its title, its headings one level down."""
    return re.sub(r"^(#+ )", r"#\1", re.sub(r"\A# .*\n+", "", text).strip(), flags=re.MULTILINE)


def read(path: Path) -> str:
    """The file's text. Raises InputError if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None


if __name__ == "__main__":
    steps.run(main)
