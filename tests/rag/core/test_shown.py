"""What a notebook and a prompt show of records and graphs: enough to go on with, bounded, and no markup of the corpus."""

from __future__ import annotations

import base64
import re
import sys
from html.parser import HTMLParser

import pytest

from rag.core.errors import MissingDependency
from rag.core.ranking import ranked
from rag.core.shown import COLUMNS
from rag.core.types import Answer, Citation, Context, Document, Query, Ranking, ScoredDocument
from rag.graph.draw import graph_html
from rag.graph.load import builtin_names, load_spec
from rag.graph.spec import GraphSpec

HOSTILE = "<script>alert(1)</script>\x1b[2J\u202e<img src=x onerror=alert(1)>&\"'"


def ranking(n: int, *, text: str = "Thirty days of leave.", query: str = "How much leave?") -> Ranking:
    hits = [
        ScoredDocument(
            document=Document(doc_id=f"d{i}{text}", text=text, title=text, metadata={"source": text}), score=1 / i
        )
        for i in range(1, n + 1)
    ]
    return Ranking(query=Query(qid="7", text=query), hits=ranked(hits))


def answer(of: Ranking, text: str, *markers: int) -> Answer:
    citations = tuple(Citation(marker=m, doc_id=of.hits[m - 1].doc_id, start=0, end=1) for m in markers)
    return Answer(query=of.query, text=text, context=Context(query=of.query, passages=of.hits), citations=citations)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_a_hit_has_what_its_document_has() -> None:
    [hit] = ranking(1)
    assert (hit.text, hit.title, hit.metadata) == (hit.document.text, hit.document.title, hit.document.metadata)


def test_a_line_says_what_was_asked_and_what_came_first() -> None:
    of = ranking(5, text="x")
    assert repr(of) == "<Ranking of 'How much leave?', 5 hits: 'd1x' 1.0000, 'd2x' 0.5000, 'd3x' 0.3333, ...>"
    assert repr(of[0]) == "<hit 'd1x' 1.0000: 'x'>"
    assert repr(answer(of, "Thirty [1].", 1)) == (
        "<Answer to 'How much leave?', answered: 'Thirty [1].', 1 of 5 passages cited>"
    )


def test_a_notebook_shows_hits_in_order_and_the_passages_that_are_cited() -> None:
    shown = Tags(ranking(3, text="x")._repr_html_())
    assert shown.seen.count("tr") == 1 + 3
    assert "How much leave?" in shown.words
    cited = Tags(answer(ranking(3, text="x"), "Thirty [2].", 2)._repr_html_())
    assert cited.seen.count("tr") == 1 + 1
    assert "Sources" in cited.words
    assert "2" in cited.words
    assert "Retrieved, none cited" in Tags(answer(ranking(3), "So.")._repr_html_()).words
    assert Tags(answer(ranking(0), "So.")._repr_html_()).seen.count("table") == 0


@pytest.mark.parametrize("text", [HOSTILE, "x" * 1_000_000, "a\n" * 100_000])
def test_hostile_and_endless_text_is_shown_bounded_and_as_text(text: str) -> None:
    of = ranking(200, text=text, query=text)
    for line in (repr(of), repr(of[0]), repr(answer(of, text, 1))):
        assert len(line) < 600
        assert line.isprintable()
    for page in (of._repr_html_(), answer(of, text)._repr_html_()):
        assert len(page) < 40_000
        assert set(Tags(page).seen) <= {"div", "p", "b", "table", "tr", "th", "td", "br", "small"}
        assert "and 180 more" in page


@pytest.mark.parametrize("name", builtin_names())
def test_a_graph_is_a_line_and_a_picture(name: str) -> None:
    graph = load_spec(name).graph
    assert len(repr(graph)) < 600
    assert f"{len(graph.nodes)} nodes" in repr(graph)
    shown = graph_html(graph)
    assert set(Tags(shown).seen) == {"p", "img"}, "a picture apart, whose style reaches nothing else on the page"
    [drawn] = re.findall(r"base64,([A-Za-z0-9+/=]+)", shown)
    assert base64.b64decode(drawn).startswith(b"<svg")


def lone(*, n: int = 1, description: str = "", circle: bool = False) -> GraphSpec:
    names = [f"n{i}{description}" for i in range(n)]
    nodes = {
        name: {"use": "rerank.identity", "in": before, "k": 1}
        for name, before in zip(names, ["query", *names], strict=False)
    }
    if circle:
        nodes[names[0]]["in"] = names[-1]
    return GraphSpec.model_validate({"version": 1, "description": description, "nodes": nodes, "output": names[-1]})


def test_a_hostile_a_large_and_a_circular_graph_are_shown_too() -> None:
    assert set(Tags(graph_html(lone(description=HOSTILE))).seen) == {"p", "img"}
    for graph in (lone(n=500), lone(n=2, circle=True)):
        assert set(Tags(graph_html(graph)).seen) == {"p"}
        assert len(graph_html(graph)) < 1_000


def test_a_ranking_is_a_table_of_pandas_and_tables_join() -> None:
    pandas = pytest.importorskip("pandas")
    one, none = ranking(3).to_pandas(), ranking(0).to_pandas()
    assert tuple(one.columns) == tuple(none.columns) == COLUMNS
    assert list(one["rank"]) == [1, 2, 3]
    assert list(one["score"]) == [1.0, 0.5, pytest.approx(1 / 3)]
    assert len(pandas.concat([one, none, one])) == 6


def test_without_pandas_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        MissingDependency, match=r"to_pandas needs pandas, which is not installed\. Run: pip install pandas"
    ):
        ranking(1).to_pandas()
