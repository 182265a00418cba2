"""How records show themselves, in a line, in a notebook or as a table of pandas.

Lines and pages are bounded and escaped, since texts are of strangers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

from rag.core.optional import need
from rag.core.words import printed_line

if TYPE_CHECKING:
    import pandas as pd

MOST_HITS = 20
"""Hits in a notebook."""
MOST_ANSWER = 4_000
"""Characters of an answer in a notebook."""
_IN_LINE = 3
_NAME, _TEXT = 60, 240
COLUMNS = ("qid", "rank", "doc_id", "score", "relevance", "title", "text", "metadata")
"""Of a table of pandas."""


class Hit(Protocol):
    """What is shown of a hit."""

    @property
    def doc_id(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def relevance(self) -> float | None: ...
    @property
    def title(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...


def hit_line(hit: Hit) -> str:
    """A hit in a line."""
    return f"<hit {_quoted(hit.doc_id)} {hit.score:.4f}: {_quoted(hit.text)}>"


def ranking_line(asked: str, hits: Sequence[Hit]) -> str:
    """A ranking in a line: its query, how many hits, and the first of them."""
    first = [f"{_quoted(hit.doc_id)} {hit.score:.4f}" for hit in hits[:_IN_LINE]]
    more = ", ..." if len(hits) > _IN_LINE else ""
    n = f"{len(hits):,} hit{'s' * (len(hits) != 1)}"
    return f"<Ranking of {_quoted(asked)}, {n}{': ' if first else ''}{', '.join(first)}{more}>"


def answer_line(asked: str, status: str, text: str, n_cited: int, n_passages: int) -> str:
    """An answer in a line."""
    return f"<Answer to {_quoted(asked)}, {status}: {_quoted(text)}, {n_cited} of {n_passages} passages cited>"


def ranking_html(asked: str, hits: Sequence[Hit]) -> str:
    """A ranking as a table."""
    return f"<div><p><b>{_html(asked, _TEXT)}</b></p>{_table(enumerate(hits, start=1), len(hits))}</div>"


def answer_html(asked: str, status: str, text: str, passages: Sequence[Hit], cited: frozenset[int]) -> str:
    """An answer with the passages that it cites, by their numbers from 1; with all of them where it cites none."""
    shown = [(n, hit) for n, hit in enumerate(passages, start=1) if n in cited or not cited]
    title = "Sources" if cited else "Retrieved, none cited"
    sources = f"<p><b>{title}</b></p>{_table(shown, len(shown))}" if shown else ""
    said = "" if status == "answered" else f" <i>({escape(status)})</i>"
    return (
        f"<div><p><b>{_html(asked, _TEXT)}</b>{said}</p>"
        f'<p style="white-space:pre-wrap">{escape(_cut(text, MOST_ANSWER))}</p>{sources}</div>'
    )


def frame_of(qid: str, hits: Sequence[Hit]) -> pd.DataFrame:
    """A row for each hit of a query, in rank order.

    Raises:
        MissingDependency: pandas is not installed.
    """
    need("pandas", by="to_pandas", line="pip install pandas")
    import pandas as pd

    rows = [
        (qid, rank, hit.doc_id, hit.score, hit.relevance, hit.title, hit.text, dict(hit.metadata))
        for rank, hit in enumerate(hits, start=1)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _table(numbered: Iterable[tuple[int, Hit]], n: int) -> str:
    rows = [row for row, _ in zip(map(_row, numbered), range(MOST_HITS), strict=False)]
    more = f"<p>and {n - MOST_HITS:,} more</p>" if n > MOST_HITS else ""
    head = "<tr><th></th><th>score</th><th>document</th><th>text</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>{more}"


def _row(numbered: tuple[int, Hit]) -> str:
    number, hit = numbered
    source = str(hit.metadata.get("source") or hit.doc_id)
    title = f"<br><small>{_html(hit.title, _NAME)}</small>" if hit.title else ""
    return (
        f"<tr><td>{number}</td><td>{hit.score:.4f}</td><td>{_html(source, _NAME)}{title}</td>"
        f'<td style="text-align:left">{_html(hit.text, _TEXT)}</td></tr>'
    )


def _html(text: str, most: int) -> str:
    return escape(printed_line(_cut(text, most)))


def _quoted(text: str) -> str:
    return repr(_cut(text, _NAME))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
