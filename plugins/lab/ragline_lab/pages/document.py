"""The document around a page's body, how it looks, and what files say made safe to stand in it. Nothing in it is fetched."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from rag.errors import SpecError
from rag.writing import printed_line


def document(title: str, body: Iterable[str]) -> str:
    """A whole page as text. The title is escaped here; the parts of the body are HTML, below the heading."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>{escaped(title)}</title>",
            f"<style>\n{STYLE}</style>",
            "<body>",
            f"<h1>{escaped(title)}</h1>",
            *body,
            "</body>",
            "</html>",
            "",
        ]
    )


def write_page(target: Path, text: str, *, advice: str) -> None:
    """Write a page.

    Args:
        advice: what to do where it cannot be, for the message.
    Raises:
        SpecError: the file cannot be written.
    """
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        why = error.strerror or str(error)
        raise SpecError(f"'{target}' cannot be written ({why}); {advice}") from None


STYLE = """\
:root {
  --paper: #fbfaf7; --card: #fff; --ink: #23211d; --quiet: #665f55; --line: #e5e0d6; --soft: #f1ede4;
  --higher: #0b6158; --lower: #9c2519;
  --c0: #2a6fb0; --c1: #d1701c; --c2: #2f8a57; --c3: #b6397d; --c4: #7a5cc0; --c5: #8a6d1d; --c6: #1a8a97; --c7: #6d6a66;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #161513; --card: #1f1d1a; --ink: #ece7de; --quiet: #aaa397; --line: #3a352f; --soft: #282520;
    --higher: #82cdc2; --lower: #ff9f93;
    --c0: #79b4ea; --c1: #f2a65e; --c2: #74c596; --c3: #ee8dbd; --c4: #b7a1f0; --c5: #d3b65c; --c6: #69c9d4; --c7: #b3aea7;
  }
}
* { box-sizing: border-box; }
html { color-scheme: light dark; }
body {
  margin: 0 auto; padding: 1.5rem; max-width: 84rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
}
h1 { font-size: 1.6rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .35rem; overflow-wrap: anywhere; }
p { margin: .25rem 0 .75rem; color: var(--quiet); max-width: 60rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .7rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
tr:last-child > * { border-bottom: 0; }
td { white-space: nowrap; }
thead th { vertical-align: bottom; background: var(--soft); font-weight: 600; }
th[scope=row], thead th:first-child {
  text-align: left; position: sticky; left: 0; background: var(--card); font-weight: 500;
  border-right: 1px solid var(--line);
}
thead th:first-child { background: var(--soft); }
th span { display: block; width: max-content; max-width: 8rem; margin-left: auto; overflow-wrap: anywhere; }
th[scope=row] span { max-width: min(16rem, 40vw); margin-left: 0; }
th small, td small { display: block; color: var(--quiet); font-weight: 400; }
th small { white-space: nowrap; }
th[scope=row] small { max-width: min(16rem, 40vw); white-space: normal; overflow-wrap: anywhere; }
.best { font-weight: 700; }
.higher { color: var(--higher); fill: var(--higher); }
.lower { color: var(--lower); fill: var(--lower); }
tr.published > * { font-style: italic; color: var(--quiet); }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(23rem, 100%), 1fr)); gap: 1rem; }
.card { border: 1px solid var(--line); border-radius: .5rem; background: var(--card); padding: .8rem 1rem; min-width: 0; }
.flow { overflow-x: auto; }
.flow svg { max-width: none; }
.band { fill: var(--c); fill-opacity: .45; }
.stage { fill: var(--quiet); }
.round { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: center; }
.legend { list-style: none; margin: 0; padding: 0; min-width: 0; }
.legend.across { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .5rem 0 0; }
.legend li { display: flex; gap: .5rem; align-items: baseline; overflow-wrap: anywhere; }
.legend i { flex: none; width: .8rem; height: .8rem; border-radius: .2rem; background: var(--c); }
svg { display: block; max-width: 100%; height: auto; font-size: 12px; }
svg text { fill: var(--ink); }
svg text.higher { fill: var(--higher); }
svg text.lower { fill: var(--lower); }
svg text.scale { fill: var(--quiet); font-size: 10px; paint-order: stroke; stroke: var(--card); stroke-width: 3px; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); }
.bar, .dot { fill: var(--c); }
.published { fill: none; stroke: var(--quiet); stroke-dasharray: 3 2; }
.outline { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
.ring { fill: none; stroke: var(--line); }
.axis, .whisker { fill: none; stroke: var(--quiet); }
a { color: inherit; text-underline-offset: .15em; }
details { border-bottom: 1px solid var(--line); padding: .35rem 0; }
details:last-child { border-bottom: 0; }
summary { cursor: pointer; font-weight: 600; overflow-wrap: anywhere; }
summary small { color: var(--quiet); font-weight: 400; }
details > .wide { margin: .4rem 0; }
.fate { display: inline-block; white-space: nowrap; }
.fate::before {
  content: ""; display: inline-block; width: .7rem; height: .7rem; margin-right: .4rem; border-radius: .2rem; background: var(--c);
}
.text { text-align: left; }
.text span { margin-left: 0; }
td.text { white-space: normal; min-width: 10rem; }
pre {
  margin: .3rem 0 .6rem; padding: .5rem .7rem; background: var(--soft); border-radius: .3rem; overflow-x: auto;
  font: .85rem/1.4 ui-monospace, Menlo, Consolas, "Liberation Mono", monospace;
}
.run { margin: .4rem 0 0; }
@media print { .wide { overflow: visible; } details > * { display: block; } }
"""


def escaped(text: str) -> str:
    """Text for an element or a quoted attribute. What cannot be printed, or turns text round, becomes U+FFFD.

    >>> escaped('<b onclick="x">')
    '&lt;b onclick=&quot;x&quot;&gt;'
    """
    return escape(printed_line(text), quote=True)


def link(target: Path, page: Path) -> str:
    """The address of a file or folder, relative to the folder of a page; never one of another scheme or host.

    >>> link(Path("/runs/a b/c:d"), Path("/runs/page.html"))
    './a%20b/c%3Ad'
    """
    relative = os.path.relpath(target.absolute(), page.absolute().parent)
    return "./" + quote(os.fsencode(relative.replace(os.sep, "/")), safe="/")


_MARKUP = re.compile(r"([\\`*_\[\]<>&|~#$])")


def inert(text: str) -> str:
    """Text that stands in Markdown as it is, on one line: no link, no markup, no cell of its own.

    >>> inert("a|b <img> [x](y)")
    'a\\\\|b \\\\<img\\\\> \\\\[x\\\\](y)'
    """
    return _MARKUP.sub(r"\\\1", printed_line(text))


def markdown_table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table in Markdown; the first row has the names of the columns. Cells are escaped here."""
    head, *body = ([inert(cell) for cell in row] for row in rows)
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in body:
        yield f"| {' | '.join(row)} |"
