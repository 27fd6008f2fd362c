"""Tables as Markdown, and our Markdown as a page of HTML that needs nothing else: the report and browsers show that."""

import re
from collections.abc import Iterator, Sequence
from html import escape

STYLE = """
body { font: 14px/1.45 system-ui, "DejaVu Sans", sans-serif; color: #1a1a1a; background: #fff;
  margin: 1.5rem auto; padding: 0 1rem; max-width: 75rem; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 1.8em; }
.table { overflow-x: auto; margin: 0.8em 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.22em 0.7em; border-bottom: 1px solid #e4e4e4; vertical-align: top; }
th { border-bottom: 2px solid #888; text-align: left; } tr:hover td { background: #f5f7fc; }
td.number, th.number { text-align: right; white-space: nowrap; }
sup { line-height: 0; } td:first-child { min-width: 8em; }
li, p { max-width: 60rem; } code { background: #f2f2f2; padding: 0 0.2em; }
"""
ALLOWED = re.compile(r"&lt;(/?su[pb])&gt;")


def table(head: Sequence[str], lines: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Lines of a table; the first `left` columns are text, the others numbers."""
    cells = [[cell.replace("|", r"\|") for cell in line] for line in [head, *lines]]
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return ["| " + " | ".join(line) + " |" for line in [cells[0], rule, *cells[1:]]]


def page(markdown: str) -> str:
    """The Markdown that our tables consist of (headings, paragraphs, tables, numbered notes, bold, code, <sup>) as HTML."""
    blocks = [block.splitlines() for block in re.split(r"\n\s*\n", markdown.strip())]
    title = re.sub(r"^#+ *", "", blocks[0][0])
    body = "\n".join(line for block in blocks for line in _block(block))
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


def _block(lines: Sequence[str]) -> Iterator[str]:
    first = lines[0]
    if heading := re.match(r"(#+) +(.*)", first):
        level = len(heading[1])
        yield f"<h{level}>{_inline(heading[2])}</h{level}>"
    elif first.startswith("|"):
        yield from _table(lines)
    elif re.match(r"\d+\. ", first):
        yield "<ol>"
        yield from (f"<li>{_inline(line.partition('. ')[2])}</li>" for line in lines)
        yield "</ol>"
    elif first.startswith("* "):
        yield "<ul>"
        yield from (f"<li>{_inline(line[2:])}</li>" for line in lines)
        yield "</ul>"
    else:
        yield f"<p>{_inline(' '.join(lines))}</p>"


def _table(lines: Sequence[str]) -> Iterator[str]:
    head, rule, *rows = [_cells(line) for line in lines]
    kinds = [' class="number"' if mark.endswith(":") else "" for mark in rule]
    yield '<div class="table"><table>'
    for tag, row in [("th", head), *(("td", row) for row in rows)]:
        cells = zip(kinds, row, strict=True)
        yield "<tr>" + "".join(f"<{tag}{kind}>{_inline(cell)}</{tag}>" for kind, cell in cells) + "</tr>"
    yield "</table></div>"


def _cells(line: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]


def _inline(text: str) -> str:
    text = ALLOWED.sub(r"<\1>", escape(text, quote=False))
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
