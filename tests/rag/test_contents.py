"""Contents beside text: the records, their digests, and how they travel. The kinds here are toys; no picture is opened."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from generators.llm.scripted import ScriptedLLM
from rag.cli import main
from rag.core.content_forms import IN_WORDS
from rag.core.contents import (
    Content,
    TextWith,
    beside,
    content_json,
    digest_of,
    kinds_of,
    of_kinds,
    read_content,
    with_contents,
)
from rag.core.errors import SpecError
from rag.core.types import Document, Message, Query, Ranking, ScoredDocument
from rag.graph.check import check
from rag.graph.load import load_spec
from rag.indexing import build_index
from rag.ingest.chunk import chunk
from rag.ingest.records import corpus_document
from rag.ingest.settings import ChunkSettings
from rag.ingest.types import Block, ParsedDocument
from rag.ingest.worker import pack, unpack
from rag.pipeline import load_pipeline
from rag.pipeline.as_json import ranking_json
from rag.pipeline.identity import question_key
from rag.stages.assemble import TokenBudgetAssembler
from ragline_serve.service.history import by_turns
from ragline_serve.service.wire.chat import ChatMessage
from rerankers import RERANKERS
from retrievers.index.directory import LocalIndex
from retrievers.index.documents import Documents
from retrievers.index.writer import DocumentsWriter
from retrievers.legs import LEGS
from retrievers.legs.dense.kind import DenseKind, DenseMaker, LocalDense
from retrievers.legs.protocol import Opening

RED, BLUE = b"\xff\x00\x00\xff", b"\x00\x00\xff\xff"


def picture(pixels: bytes, **changes: Any) -> Content:
    """2 x 2 grey values."""
    return Content(kind="picture", uri=f"memory:{pixels.hex()}", sha256=sha256(pixels).hexdigest(), **changes)


# --- the record and its digest ---


def test_a_text_alone_has_the_digest_of_its_text() -> None:
    assert digest_of("ä") == sha256("ä".encode()).digest()
    assert Document(doc_id="d", title="T", text="x").digest == sha256(b"T x").digest()


def test_a_digest_goes_by_what_a_model_reads() -> None:
    red, blue = picture(RED), picture(BLUE)
    digests = [
        digest_of("x"),
        digest_of("x", [red]),
        digest_of("x", [blue]),
        digest_of("x", [red, blue]),
        digest_of("x", [blue, red]),
        digest_of("x", [picture(RED, text="a caption")]),
        digest_of("x", [replace(red, kind="scan")]),
        digest_of("y", [red]),
    ]
    assert len(set(digests)) == len(digests)
    elsewhere = replace(red, uri="file:///elsewhere.png", media_type="image/png", metadata={"page": 3})
    assert digest_of("x", [elsewhere]) == digest_of("x", [red])


def test_a_content_is_plain_data_and_back() -> None:
    content = picture(RED, text="red", media_type="image/x-toy", metadata={"page": 3})
    assert read_content(json.loads(json.dumps(content_json(content)))) == content
    assert set(content_json(picture(RED))) == {"kind", "uri", "sha256"}
    assert kinds_of([content, picture(BLUE)]) == {"picture"}
    assert of_kinds([content, replace(content, kind="sound")], {"sound"}) == (replace(content, kind="sound"),)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "text"}, "a content's kind is a lower-case name other than text"),
        ({"kind": "A picture"}, "a content's kind is a lower-case name other than text"),
        ({"sha256": "abc"}, "a content's sha256 is 64 hexadecimal digits"),
        ({"uri": 3}, "a content's uri is of another type: int"),
        ({"colour": "red"}, "a content has no field 'colour'"),
    ],
)
def test_what_is_no_content_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_content({**content_json(picture(RED)), **changes})
    with pytest.raises(ValueError, match="a content needs kind, uri, sha256"):
        read_content({})


# --- files ---


def test_documents_are_kept_with_their_contents_and_text_alone_as_before(tmp_path: Path) -> None:
    plain = Document(doc_id="a", text="x", title="T", metadata={"n": 1})
    mixed = Document(doc_id="b", text="y", contents=(picture(RED, text="red"), picture(BLUE)))
    with DocumentsWriter(tmp_path) as writer:
        writer.add(plain)
        writer.add(mixed)
    kept = Documents(tmp_path)
    assert list(kept) == [plain, mixed]
    assert kept.line(0) == b'{"doc_id":"a","text":"x","title":"T","metadata":{"n":1}}\n'


def parsed(text: str, spans: Sequence[tuple[int, int]], contents: Sequence[tuple[int, Content]]) -> ParsedDocument:
    blocks = tuple(Block(start=start, end=end, headings=(f"H{start}",)) for start, end in spans)
    return ParsedDocument(doc_id="d", title="T", text=text, blocks=blocks, contents=tuple(contents))


def words(texts: Sequence[str]) -> list[list[tuple[int, int]]]:
    return [[(i, i + 1) for i in range(len(text))] for text in texts]


def test_contents_go_to_the_chunk_that_holds_their_place() -> None:
    text = "a" * 40 + "\n\n" + "b" * 40
    red, blue = picture(RED), picture(BLUE)
    places = [(0, red), (40, blue), (41, red), (60, blue), (999, red)]
    settings = ChunkSettings(tokens=48, overlap=0)
    first, second = chunk(parsed(text, [(0, 40), (42, 82)], places), settings=settings, spans=words)
    assert first.contents == (red, blue, red)
    assert second.contents == (blue, red)
    whole = replace(parsed(text, [(0, 40), (42, 82)], places), whole=True)
    [unit] = chunk(whole, settings=settings.model_copy(update={"corpora": False}), spans=words)
    assert unit.contents == (red, blue, red, blue, red)


def test_a_parsed_document_comes_back_from_its_worker_with_contents() -> None:
    document = parsed("abc", [(0, 3)], [(1, picture(RED, text="red"))])
    assert unpack(json.loads(json.dumps(pack(document)))) == document


def test_a_corpus_record_may_bring_contents() -> None:
    record = {"_id": "1", "text": "", "contents": [{**content_json(picture(RED)), "offset": 3}]}
    document = corpus_document(record, source="c.jsonl", clean=_Clean())
    assert document is not None
    assert document.contents == ((3, picture(RED)),)
    text = corpus_document({"id": "1", "contents": ["a", "b"]}, source="c.jsonl", clean=_Clean())
    assert text is not None
    assert (text.text, text.contents) == ("a\nb", ())


class _Clean:
    def __call__(self, text: str) -> str:
        return text

    line = __call__


def corpus(folder: Path, *records: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n")
    return folder


def record(doc_id: str, text: str, *contents: Content) -> dict[str, Any]:
    listed = {"contents": [content_json(content) for content in contents]} if contents else {}
    return {"_id": doc_id, "text": text, **listed}


def test_an_index_says_which_kinds_it_holds_and_nothing_of_text_alone(tmp_path: Path) -> None:
    plain, mixed = record("a", "one red thing"), record("b", "another", picture(RED))
    build_index([corpus(tmp_path / "plain", plain)], tmp_path / "p", legs=("lexical",))
    build_index([corpus(tmp_path / "mixed", plain, mixed)], tmp_path / "m", legs=("lexical",))
    with LocalIndex.open(tmp_path / "p") as text, LocalIndex.open(tmp_path / "m") as both:
        assert (text.kinds, both.kinds) == (frozenset(), {"picture"})
        assert "kinds" not in text.file("sources.json").read_text()
        assert "kinds" not in text.manifest.model_dump()["corpus"]
        assert both.documents[1].contents == (picture(RED),)
        assert both.documents[1].digest != Document(doc_id="b", text="another").digest


def test_a_record_whose_contents_cannot_be_read_is_left_out_and_said(tmp_path: Path) -> None:
    bad = record("b", "x") | {"contents": [{"kind": "picture", "uri": "x"}]}
    report = build_index([corpus(tmp_path / "c", record("a", "y"), bad)], tmp_path / "i", legs=("lexical",))
    assert report.n_units == 1
    assert "a content needs sha256" in str(report.problems[0])


# --- checked before loading ---

LEXICAL = {
    "version": 1,
    "nodes": {"best": {"use": "retrieve.bm25", "in": "query", "k": 3}},
    "output": "best",
}


def test_an_index_of_pictures_is_refused_where_nobody_reads_them(tmp_path: Path) -> None:
    build_index([corpus(tmp_path / "c", record("a", "x", picture(RED)))], tmp_path / "i", legs=("lexical",))
    with LocalIndex.open(tmp_path / "i") as index:
        [problem] = check(load_spec(LEXICAL), index=index).problems
        assert (
            "the index holds picture, and no leg that this graph searches reads it: lexical reads text alone" in problem
        )
        with pytest.raises(SpecError, match="no leg that this graph searches reads it"):
            load_pipeline(LEXICAL, index=index)


def test_a_kind_that_is_words_is_read_by_who_reads_text_and_asked_as_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stretches = [picture(RED, metadata={"start": start, "end": start + 7.5}) for start in (3.0, 64.2)]
    spoken = [replace(each, kind="murmur", media_type="audio/wav", text="buses") for each in stretches]
    build_index([corpus(tmp_path / "c", record("a", "two buses", *spoken))], tmp_path / "i", legs=("lexical",))
    monkeypatch.setitem(IN_WORDS._table, "murmur", lambda content: f"heard {content.text}")
    with LocalIndex.open(tmp_path / "i") as index:
        assert index.kinds == {"murmur"}
        assert not check(load_spec(LEXICAL), index=index).problems
    assert main(["search", "buses", "--index", str(tmp_path / "i"), "--graph", "bm25"]) == 0
    assert f"[murmur 0:03-1:11 audio/wav {spoken[0].sha256[:16]}]" in capsys.readouterr().out
    with load_pipeline(LEXICAL, index=tmp_path / "i") as pipeline:
        found = pipeline.search(Query(qid="1", text="x", contents=tuple(spoken)))
        assert (found.query.text, found.query.contents, found.doc_ids) == ("x heard buses heard buses", (), ("a",))
        both = Query(qid="1", text="x", contents=(*spoken, picture(RED)))
        with pytest.raises(SpecError, match="a query holds picture"):
            pipeline.search(both)


def test_an_index_of_a_kind_that_nobody_puts_into_words_is_refused(tmp_path: Path) -> None:
    noise = replace(picture(RED), kind="murmur")
    build_index([corpus(tmp_path / "c", record("a", "two buses", noise))], tmp_path / "i", legs=("lexical",))
    with LocalIndex.open(tmp_path / "i") as index:
        [problem] = check(load_spec(LEXICAL), index=index).problems
        assert "the index holds murmur" in problem


def test_a_query_of_a_kind_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    build_index([corpus(tmp_path / "c", record("a", "x"))], tmp_path / "i", legs=("lexical",))
    with load_pipeline(LEXICAL, index=tmp_path / "i") as pipeline:
        with pytest.raises(SpecError, match="a query holds picture, and this graph reads text alone"):
            pipeline.search(Query(qid="1", text="x", contents=(picture(RED),)))
        turns = (Message(role="user", content="x", contents=(picture(RED),)),)
        with pytest.raises(SpecError, match="a query holds picture"):
            pipeline.run([Query(qid="1", text="x", history=turns)])
        assert pipeline.search(Query(qid="1", text="x")).doc_ids == ("a",)


# --- forms ---


def test_hits_show_their_contents_and_text_alone_has_no_such_field() -> None:
    hits = (
        ScoredDocument(document=Document(doc_id="a", text="x"), score=2.0),
        ScoredDocument(document=Document(doc_id="b", text="y", contents=(picture(RED, text="red"),)), score=1.0),
    )
    plain, mixed = ranking_json(Ranking(query=Query(qid="1", text="q"), hits=hits))["hits"]
    assert "contents" not in plain
    assert mixed["contents"] == [content_json(picture(RED, text="red"))]


def test_the_key_of_a_question_goes_by_its_contents_too() -> None:
    def key(query: Query) -> str:
        return question_key(query, graph="g", index="i")

    plain = Query(qid="1", text="x", history=(Message(role="user", content="y"),))
    keys = {
        key(plain),
        key(replace(plain, contents=(picture(RED),))),
        key(replace(plain, contents=(picture(BLUE),))),
        key(replace(plain, history=(Message(role="user", content="y", contents=(picture(RED),)),))),
    }
    assert len(keys) == 4


def test_a_rewrite_keeps_what_was_asked_with() -> None:
    asked = Query(qid="1", text="rewritten", original="x", contents=(picture(RED),))
    assert asked.root.contents == replace(asked, stand_alone="y").root.contents == (picture(RED),)


PNG = "data:image/png;base64," + base64.b64encode(RED).decode()


def test_pieces_of_a_message_in_openais_form_are_contents() -> None:
    message = ChatMessage.model_validate(
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is "},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                {"type": "text", "text": "this?"},
                {"type": "input_audio", "input_audio": {"data": base64.b64encode(BLUE).decode(), "format": "wav"}},
            ],
        }
    )
    assert message.text == "what is this?"
    [seen, heard] = message.contents
    assert (seen.kind, seen.media_type, seen.sha256) == ("picture", "image/png", sha256(RED).hexdigest())
    assert (heard.kind, heard.media_type, heard.sha256) == ("sound", "audio/wav", sha256(BLUE).hexdigest())
    reply = ChatMessage(role="assistant", content="a square")
    asked, answered = by_turns([message, reply])
    assert (asked.contents, answered.contents) == ((seen, heard), ())


# --- a toy that reads pictures ---


class Pictures:
    """Reads text by its words and pictures by their four pixels. Counts what it reads."""

    reads = frozenset({"text", "picture"})
    dim = 12

    def __init__(self) -> None:
        self.read: list[str] = []

    def describe(self) -> dict[str, Any]:
        return {
            "name": "pictures",
            "revision": None,
            "compute": "float32",
            "weights_sha256": "0" * 64,
            "reads": sorted(self.reads),
        }

    def encode(self, texts: Sequence[str], *, role: str, progress: Any = None) -> NDArray[np.float32]:
        self.read += texts
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in text.split():
                vector[sum(map(ord, word)) % 8] += 0.5
            for content in beside(text):
                vector[8:] += np.frombuffer(bytes.fromhex(content.uri.removeprefix("memory:")), np.uint8) / 255
        return vectors

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return words(texts)

    def memory(self) -> list[Any]:
        return []

    def release(self) -> None:
        pass


class PicturesKind(DenseKind):
    """The dense leg, by the toy."""

    encoder = Pictures()

    def maker(self, settings: Any) -> Any:
        return DenseMaker(settings.section("dense"), self.encoder)  # type: ignore[arg-type]

    def open(self, opening: Opening) -> LocalDense:
        leg = super().open(opening)
        leg._encoder = self.encoder  # type: ignore[assignment]
        return leg

    def memory(self, facts: Any, n_bytes: int) -> list[Any]:
        return []

    def models(self, facts: Any) -> list[tuple[str, str | None]]:
        return []


class TextReranker:
    """Says that it reads text alone."""

    reads = frozenset({"text"})

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        return list(rankings)


class PictureReranker(TextReranker):
    """Says that it reads pictures."""

    reads = frozenset({"text", "picture"})


class SilentReranker:
    """Says nothing, which means text alone."""

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        return list(rankings)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Pictures:
    for table in (LEGS, RERANKERS):
        monkeypatch.setattr(table, "_table", dict(table._table))
    PicturesKind.encoder = Pictures()
    LEGS._table["dense"] = PicturesKind
    for name, component in (("texts", TextReranker), ("pictures", PictureReranker), ("silent", SilentReranker)):
        RERANKERS.add(name, component)
    return PicturesKind.encoder


def graph(rerank: str | None = None, *, retrieve: str = "dense") -> dict[str, Any]:
    nodes: dict[str, Any] = {"first": {"use": f"retrieve.{retrieve}", "in": "query", "k": 3}}
    if rerank:
        nodes["ranked"] = {"use": f"rerank.{rerank}", "in": "first", "k": 3}
    return {"version": 1, "nodes": nodes, "output": list(nodes)[-1]}


def same_text(*pictures: Content) -> list[dict[str, Any]]:
    return [record(f"d{i}", "a thing", picture) for i, picture in enumerate(pictures)]


def test_a_search_goes_by_the_picture_where_the_text_is_the_same(toy: Pictures, tmp_path: Path) -> None:
    build_index([corpus(tmp_path / "c", *same_text(picture(RED), picture(BLUE)))], tmp_path / "i", legs=("dense",))
    with load_pipeline(graph("pictures"), index=tmp_path / "i") as pipeline:
        for asked, first in ((RED, "d0"), (BLUE, "d1")):
            for text in ("thing", ""):
                query = Query(qid="1", text=text, contents=(picture(asked),))
                ranking = pipeline.search(query)
                assert ranking.doc_ids[0] == first
                assert ranking.hits[0].score > ranking.hits[1].score
                assert ranking.hits[0].document.contents == (picture(asked),)
        assert pipeline.search("thing").hits[0].score == pipeline.search("thing").hits[1].score
        sound = replace(picture(RED), kind="noise")
        with pytest.raises(SpecError, match="a query holds noise, and this graph reads picture and text"):
            pipeline.search(Query(qid="1", text="x", contents=(sound,)))


def test_what_is_reused_goes_by_text_and_picture(toy: Pictures, tmp_path: Path) -> None:
    def build(*contents: Content) -> tuple[int, int]:
        report = build_index([corpus(tmp_path / "c", *same_text(*contents))], tmp_path / "i", legs=("dense",))
        return report.n_encoded, report.n_reused_vectors

    red, blue, green = picture(RED), picture(BLUE), picture(b"\x00\xff\xff\x00")
    assert build(red, blue, red) == (2, 0), "each different document once"
    assert build(red, green) == (1, 1), "same text, other picture: encoded anew; same both: reused"
    assert build(replace(red, metadata={"page": 1}), green) == (0, 2), "metadata does not count"
    assert build(picture(RED, text="a caption"), green) == (1, 1)
    assert [beside(text) for text in toy.read][:2] == [(red,), (blue,)]


def test_a_leg_that_reads_text_gets_texts_alone(toy: Pictures, tmp_path: Path) -> None:
    toy.reads = frozenset({"text"})  # type: ignore[misc]
    build_index([corpus(tmp_path / "c", *same_text(picture(RED), picture(BLUE)))], tmp_path / "i", legs=("dense",))
    assert toy.read == ["a thing"]
    with LocalIndex.open(tmp_path / "i") as index:
        assert "no leg that this graph searches reads it" in check(load_spec(graph()), index=index).problems[0]


@pytest.mark.parametrize(
    ("name", "noted"),
    [("texts", True), ("silent", True), ("pictures", False), ("identity", False), ("distinct", False)],
)
def test_a_reranker_of_text_reads_what_stands_for_pictures_and_that_is_noted(
    toy: Pictures, tmp_path: Path, name: str, noted: bool
) -> None:
    build_index([corpus(tmp_path / "c", *same_text(picture(RED)))], tmp_path / "i", legs=("dense",))
    build_index([corpus(tmp_path / "t", record("a", "x"))], tmp_path / "text", legs=("dense",))
    with LocalIndex.open(tmp_path / "i") as mixed, LocalIndex.open(tmp_path / "text") as text:
        checked, plain = check(load_spec(graph(name)), index=mixed), check(load_spec(graph(name)), index=text)
    assert (checked.problems, plain.problems, plain.notes) == ([], [], [])
    said = f"node 'ranked': rerank.{name} reads text alone, and of picture, which the index holds, what stands for it in words"
    assert [said in note for note in checked.notes] == ([True] if noted else [])


def test_pictures_that_nobody_says_a_word_of_are_no_duplicates_of_each_other() -> None:
    hits = tuple(
        ScoredDocument(document=Document(doc_id=f"d{place}", text="", contents=(picture(data),)), score=3.0 - place)
        for place, data in enumerate((RED, BLUE, RED))
    )
    assembler = TokenBudgetAssembler(llm=ScriptedLLM(), max_tokens=200)
    [context] = assembler.assemble([Ranking(query=Query(qid="1", text="q"), hits=hits)])
    assert [hit.doc_id for hit in context.passages] == ["d0", "d1"]
    assert context.outcome.counts == {"duplicates": 1}, "the same picture twice is one"


def test_a_leg_beside_one_that_reads_pictures_may_leave_them_out_and_that_is_noted(
    toy: Pictures, tmp_path: Path
) -> None:
    build_index([corpus(tmp_path / "c", *same_text(picture(RED)))], tmp_path / "i", legs=("lexical", "dense"))
    data = graph()
    data["nodes"] |= {
        "words": {"use": "retrieve.bm25", "in": "query", "k": 3},
        "both": {"use": "fuse.rrf", "in": ["first", "words"], "k": 3},
    }
    with LocalIndex.open(tmp_path / "i") as index:
        checked = check(load_spec({**data, "output": "both"}), index=index)
    assert checked.problems == []
    assert checked.notes == ["leg 'lexical' leaves out picture, which the index holds; another leg reads it"]


def test_an_index_of_text_alone_is_the_same_to_the_byte(toy: Pictures, tmp_path: Path) -> None:
    """A reader of pictures over text alone: nothing in the files says that there could be more."""
    build_index([corpus(tmp_path / "c", record("a", "x"))], tmp_path / "i", legs=("dense",))
    assert [type(text) for text in toy.read] == [str]
    with LocalIndex.open(tmp_path / "i") as index:
        assert "contents" not in index.file("documents.jsonl").read_text()
        assert "kinds" not in index.manifest.as_json()


def test_a_text_with_contents_is_its_text_to_others() -> None:
    red, blue = (TextWith("x", (picture(pixels),)) for pixels in (RED, BLUE))
    assert f"{red}" == "x"
    assert red.split() == ["x"]
    assert len({red, blue, TextWith("x", (picture(RED),)), "x"}) == 3
    assert red != blue
    assert pickle.loads(pickle.dumps(red)) == red
    assert red != "x"
    assert red != "x"
    assert with_contents("x", (picture(RED),), {"text"}) == "x"
    assert digest_of(red) == digest_of("x", [picture(RED)])


@pytest.mark.parametrize("uri", ["file:///srv/private/red.png", "/srv/private/red.png", "~/red.png"])
def test_where_a_content_lies_on_this_machine_is_told_nobody(uri: str) -> None:
    hit = ScoredDocument(document=Document(doc_id="b", text="y", contents=(replace(picture(RED), uri=uri),)), score=1.0)
    [told] = ranking_json(Ranking(query=Query(qid="1", text="q"), hits=(hit,)))["hits"]
    assert told["contents"][0]["uri"] == f"sha256:{picture(RED).sha256}"
    assert "private" not in json.dumps(told)
