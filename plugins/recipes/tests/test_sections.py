from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.types import Context, Document, Query, Ranking, ScoredDocument
from rag.indexing import build_index
from rag.ingest.settings import ChunkSettings
from rag.stages.assemble import TokenBudgetAssembler
from ragline_recipes.sections import SectionsAssembler
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"]


def prose(name: str, n: int) -> str:
    return " ".join(f"In {name} the word number {i} is {WORDS[i % 12]} today." for i in range(n))


GUIDE = f"# Guide\n\n## Frames\n\n{prose('frames', 14)}\n\n## Wheels\n\n{prose('wheels', 14)}\n"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    """One page of two sections, each of several chunks that overlap, between two short pages."""
    folder = tmp_path_factory.mktemp("sections")
    texts = folder / "texts"
    texts.mkdir()
    (texts / "a.md").write_text("# Bells\n\nBells ring.\n")
    (texts / "guide.md").write_text(GUIDE)
    (texts / "z.md").write_text("# Locks\n\nLocks close.\n")
    settings = IndexSettings(chunking=ChunkSettings(tokens=40, overlap=12))
    build_index([texts], folder / "idx", legs=("lexical",), settings=settings)
    return LocalIndex.open(folder / "idx")


@pytest.fixture(scope="module")
def guide(index: LocalIndex) -> list[Document]:
    return [document for document in index.documents if document.parent.endswith("guide.md")]


def ranking(*documents: Document, where: Any = None) -> Ranking:
    hits = tuple(ScoredDocument(document=d, score=float(-i)) for i, d in enumerate(documents))
    return Ranking(query=Query(qid="q", text="x", where=where), hits=hits)


def assemble(index: LocalIndex, *documents: Document, where: Any = None, **arguments: Any) -> Context:
    assembler = SectionsAssembler(index=index, llm=ScriptedLLM(), **arguments)
    [context] = assembler.assemble([ranking(*documents, where=where)])
    return context


def under(documents: list[Document], heading: str) -> list[Document]:
    return [document for document in documents if document.metadata["headings"][-1] == heading]


def plain(text: str) -> str:
    return " ".join(text.split())


def test_a_hit_grows_to_its_section_and_no_further(index: LocalIndex, guide: list[Document]) -> None:
    frames = under(guide, "Frames")
    assert len(frames) >= 3
    context = assemble(index, frames[1], neighbours=0)
    [hit] = context.passages
    assert hit.doc_id == frames[1].doc_id
    assert plain(prose("frames", 14)) in plain(hit.document.text)
    assert "wheels" not in hit.document.text
    assert hit.document.metadata["start"] == frames[0].metadata["start"]
    assert hit.document.metadata["end"] == frames[-1].metadata["end"]
    assert len(hit.document.text) == hit.document.metadata["end"] - hit.document.metadata["start"]
    assert context.outcome.counts == {"grown": 1}


def test_neighbours_are_added_whatever_their_headings(index: LocalIndex, guide: list[Document]) -> None:
    first_of_wheels = under(guide, "Wheels")[0]
    [hit] = assemble(index, first_of_wheels).passages
    assert "frames the word number 13" in hit.document.text
    assert "frames the word number 1 " not in hit.document.text


def test_no_text_is_shown_twice_and_hits_inside_a_passage_are_merged(index: LocalIndex, guide: list[Document]) -> None:
    context = assemble(index, guide[1], *guide)
    shown = " ".join(plain(hit.document.text) for hit in context.passages)
    for name in ("frames", "wheels"):
        for i in range(14):
            assert shown.count(f"In {name} the word number {i} is") == 1
    assert context.outcome.counts["merged"] >= 2
    ids = [hit.doc_id for hit in context.passages]
    assert ids == list(dict.fromkeys(ids))


def test_a_hit_that_overlaps_a_passage_loses_what_is_shown(index: LocalIndex, guide: list[Document]) -> None:
    one, two = guide[0], guide[1]
    assert two.metadata["start"] < one.metadata["end"]
    # A share of 50 words: no hit can grow by a whole chunk of its section, the second is cut to what is new.
    context = assemble(index, one, two, best=2, max_tokens=100, neighbours=0)
    shown = " ".join(hit.document.text for hit in context.passages)
    assert shown.count("word number 3 is") == 1
    assert [hit.document.metadata["end"] for hit in context.passages][:1] == [one.metadata["end"]]
    assert context.passages[1].document.metadata["start"] >= one.metadata["end"]


def test_the_budget_is_shared_and_kept(index: LocalIndex, guide: list[Document]) -> None:
    frames, wheels = under(guide, "Frames"), under(guide, "Wheels")
    context = assemble(index, frames[1], wheels[1], best=2, max_tokens=240, neighbours=0)
    assert [hit.doc_id for hit in context.passages] == [frames[1].doc_id, wheels[1].doc_id]
    assert context.n_tokens <= 240
    assert context.outcome.counts["grown"] == 2


def test_the_filter_of_the_query_holds_for_what_is_added(index: LocalIndex, guide: list[Document]) -> None:
    chunk = guide[1]
    where = {"start": {"gte": chunk.metadata["start"]}}
    for context in (
        assemble(index, chunk, where=where),
        SectionsAssembler(index=index, llm=ScriptedLLM(), where=where).assemble([ranking(chunk)])[0],
    ):
        [hit] = context.passages
        assert hit.document.metadata["start"] == chunk.metadata["start"]
        assert hit.document.metadata["end"] > chunk.metadata["end"]


def test_hits_without_a_parent_are_those_of_token_budget(index: LocalIndex) -> None:
    documents = [Document(doc_id=str(i), text=f"{prose(str(i), 3)}") for i in range(6)]
    arguments: dict[str, Any] = {"llm": ScriptedLLM(), "max_tokens": 100}
    [expected] = TokenBudgetAssembler(**arguments).assemble([ranking(*documents)])
    [context] = SectionsAssembler(index=index, **arguments).assemble([ranking(*documents)])
    assert context == expected
    assert len(context.passages) == 4


@pytest.mark.parametrize(
    "lie",
    [{"start": 0, "end": 10**12}, {"start": -5, "end": 3}, {"start": "0", "end": None}, {"start": True, "end": 7}],
)
def test_spans_that_lie_change_nothing(index: LocalIndex, guide: list[Document], lie: dict[str, Any]) -> None:
    liar = Document(doc_id=guide[1].doc_id, text="Steel.", metadata={**guide[1].metadata, **lie})
    [hit] = assemble(index, liar).passages
    assert hit.document.text == "Steel."


@pytest.mark.parametrize("arguments", [{"best": 0}, {"neighbours": -1}, {"max_tokens": 0}])
def test_senseless_arguments_are_refused(index: LocalIndex, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        SectionsAssembler(index=index, llm=ScriptedLLM(), **arguments)


def test_code_keeps_its_indentation_and_lines(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    code = "def f():\n" + "\n".join(f"    value_{i} = compute(value, {i})" for i in range(40)) + "\n"
    (texts / "f.py").write_text(code)
    settings = IndexSettings(chunking=ChunkSettings(tokens=40, overlap=0))
    build_index([texts], tmp_path / "idx", legs=("lexical",), settings=settings)
    with LocalIndex.open(tmp_path / "idx") as index:
        chunks = list(index.documents)
        [hit] = assemble(index, chunks[1]).passages
        metadata = hit.document.metadata
        assert (metadata["line"], metadata["end_line"]) == (1, 1 + hit.document.text.count("\n"))
        assert metadata["end_line"] >= chunks[2].metadata["end_line"]
        assert hit.document.text.split() == code[metadata["start"] : metadata["end"]].split()
        assert len(hit.document.text) == metadata["end"] - metadata["start"]
