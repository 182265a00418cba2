"""An index over several languages, from the files to the hits. Languages are told by the real model."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from rag.cli import main
from rag.core.errors import IndexMismatch
from rag.core.types import Query
from rag.indexing import build_index, remove_from_index
from rag.pipeline import load_pipeline
from rag.pipeline.snippets import snippet_of, terms_of
from ragline_recipes.reformulate.rm3 import RM3Reformulator
from retrievers.index.directory import LocalIndex
from retrievers.index.joined import joined_address
from retrievers.index.opening import open_index
from retrievers.index.settings import IndexSettings
from retrievers.legs.lexical.retriever import BM25Retriever

TEXTS = {
    "en": "Everyone has thirty days of paid leave a year. Holidays are agreed with the office in good time.",
    "de": "Alle Beschäftigten haben dreißig Tage bezahlten Urlaub. Die Urlaubstage werden mit dem Büro abgesprochen.",
    "zh": "每位员工每年享有三十天带薪休假。假期须提前与办公室商定。",
    "pl": "Wszyscy pracownicy mają trzydzieści dni płatnego urlopu. Urlopy uzgadnia się wcześniej z biurem.",
}
QUESTIONS = {
    "en": "paid holidays",
    "de": "Urlaubstag der Beschäftigten",
    "zh": "带薪假期",
    "pl": "płatny urlop pracownika",
}
MIXED = IndexSettings.model_validate({"analyzer": {"language": "each"}, "reading": {"languages": True}})
GRAPH: dict[str, Any] = {
    "version": 1,
    "index": {"analyzer": {"language": "each"}, "reading": {"languages": True}},
    "nodes": {"bm25": {"use": "retrieve.bm25", "k": 4}},
    "output": "bm25",
}


def write(folder: Path, *codes: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for code in codes:
        (folder / f"{code}.txt").write_text(TEXTS[code], encoding="utf-8")
    return folder


def build(sources: Path, place: Path, settings: IndexSettings = MIXED) -> Any:
    return build_index(sources, place, settings=settings, legs=["lexical"])


def found(place: Path, text: str) -> list[tuple[str, float]]:
    with LocalIndex.open(place) as index:
        [ranking] = BM25Retriever(index=index).retrieve([Query(qid="q", text=text)], k=4)
    return [(hit.doc_id, hit.score) for hit in ranking.hits]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    report = build(write(folder / "notes", *TEXTS), folder / "index")
    assert report.languages == {"de": 1, "en": 1, "pl": 1, "zh": 1}
    return folder / "index"


@pytest.mark.parametrize("code", TEXTS)
def test_each_document_is_found_in_its_language(place: Path, code: str) -> None:
    """None of these questions has a word as the document has it, but for the stem or the bigram."""
    assert found(place, QUESTIONS[code])[0][0] == f"notes/{code}.txt#1"


def test_a_question_in_two_languages_finds_both(place: Path) -> None:
    both = found(place, "paid leave und Urlaubstag der Beschäftigten")
    assert {doc_id for doc_id, _ in both[:2]} == {"notes/en.txt#1", "notes/de.txt#1"}
    assert found(place, "带薪假期 płatny urlop")[:2] != found(place, "带薪假期")[:2]
    assert {doc_id for doc_id, _ in found(place, "带薪假期 płatny urlop")} == {"notes/zh.txt#1", "notes/pl.txt#1"}


def test_a_graph_that_asks_for_it_runs_and_explains(place: Path) -> None:
    with load_pipeline(GRAPH, index=place) as pipeline:
        ranking = pipeline.search(QUESTIONS["de"])
        with LocalIndex.open(place) as index:
            [parts, *_] = BM25Retriever(index=index).explain_hits(ranking.query, ranking.hits)
    assert {part.of_query for part in parts} == {"de:urlaubstag", "de:beschaftigt"}
    assert sum(part.score for part in parts) == pytest.approx(ranking.hits[0].score, rel=1e-5)


def test_words_are_marked_in_every_language(place: Path) -> None:
    with LocalIndex.open(place) as index:
        terms = terms_of(index)
        for code in ("de", "en", "pl"):
            document = index.documents[index.documents.row(f"notes/{code}.txt#1")]
            assert snippet_of(document, Query(qid="q", text=QUESTIONS[code]), terms).marks


def test_a_graph_for_one_language_is_refused_and_the_other_way_round(place: Path, tmp_path: Path) -> None:
    german = IndexSettings.model_validate({"analyzer": {"language": "de"}})
    with LocalIndex.open(place) as index:
        index.check(MIXED, ["lexical"])
        index.check(IndexSettings(), ["lexical"])
        with pytest.raises(IndexMismatch, match=r"analyzer\.language 'each'; the graph asks for 'de'"):
            index.check(german, ["lexical"])
        stemless = IndexSettings.model_validate({"analyzer": {"language": "each", "stemmer": "none"}})
        with pytest.raises(IndexMismatch, match=r"analyzer\.stemmer 'auto'; the graph asks for 'none'"):
            index.check(stemless, ["lexical"])
    build(write(tmp_path / "notes", "de"), tmp_path / "index", german)
    with LocalIndex.open(tmp_path / "index") as index, pytest.raises(IndexMismatch, match="the graph asks for 'each'"):
        index.check(IndexSettings.model_validate({"analyzer": {"language": "each"}}), ["lexical"])


def test_a_document_in_a_new_language_gives_the_index_that_a_build_from_nothing_gives(
    place: Path, tmp_path: Path
) -> None:
    notes = write(tmp_path / "notes", "en", "de")
    build(notes, tmp_path / "index")
    assert found(tmp_path / "index", QUESTIONS["pl"]) == []
    write(notes, "pl", "zh")
    assert build_index([], tmp_path / "index").n_reused_files == 2
    with LocalIndex.open(tmp_path / "index") as index, LocalIndex.open(place) as whole:
        assert index.manifest.legs == whole.manifest.legs
        assert index.manifest.files["lexical/de/impacts.npy"] == whole.manifest.files["lexical/de/impacts.npy"]
    for question in QUESTIONS.values():
        assert found(tmp_path / "index", question) == found(place, question)
    assert build_index([], tmp_path / "index").unchanged
    remove_from_index(["notes/zh.txt"], tmp_path / "index")
    with LocalIndex.open(tmp_path / "index") as index:
        assert index.leg("lexical").analyzer.language == "de, en, pl"
        assert found(tmp_path / "index", QUESTIONS["zh"]) == []


def test_what_a_record_says_of_its_language_counts(tmp_path: Path) -> None:
    lines = [{"_id": "1", "text": "Häuser", "lang": "de-AT"}, {"_id": "2", "text": "Häuser", "lang": "deutsch"}]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    build(
        tmp_path / "corpus.jsonl", tmp_path / "index", IndexSettings.model_validate({"analyzer": {"language": "each"}})
    )
    with LocalIndex.open(tmp_path / "index") as index:
        assert index.leg("lexical").analyzer.language == "de, und"
    assert [doc_id for doc_id, _ in found(tmp_path / "index", "Haus")] == ["1"]


def test_where_no_document_says_its_language_a_warning_says_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build(
        write(tmp_path / "notes", "de"),
        tmp_path / "index",
        IndexSettings.model_validate({"analyzer": {"language": "each"}}),
    )
    assert "no document says its language" in caplog.text
    assert "index: {reading: {languages: true}}" in caplog.text
    caplog.clear()
    build(write(tmp_path / "notes", "de"), tmp_path / "index")
    assert "no document says" not in caplog.text


def test_no_hit_is_explained_with_all_languages(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    with LocalIndex.open(place) as index, caplog.at_level(logging.WARNING):
        [ranking] = BM25Retriever(index=index).retrieve([Query(qid="q", text="zebra")], k=4)
    assert "analysed as 'de, en, pl, zh'" in ranking.outcome.detail
    with LocalIndex.open(place) as index:
        [ranking] = BM25Retriever(index=index).retrieve([Query(qid="q", text="?!")], k=4)
    assert "no letter or digit" in ranking.outcome.detail


def test_filters_hold(place: Path) -> None:
    with LocalIndex.open(place) as index:
        query = Query(qid="q", text=" ".join(QUESTIONS.values()))
        [every] = BM25Retriever(index=index).retrieve([query], k=4)
        [german] = BM25Retriever(index=index, where={"lang": "de"}).retrieve([query], k=4)
    assert len(every.hits) == 4
    assert german.doc_ids == ("notes/de.txt#1",)


def test_feedback_is_analysed_in_the_language_of_each_document(place: Path) -> None:
    with LocalIndex.open(place) as index:
        [first] = BM25Retriever(index=index).retrieve([Query(qid="q", text="Urlaubstage")], k=1)
        reformulator = RM3Reformulator(index=index, max_df=1.0, terms=30)
        [query] = reformulator.reformulate([first.query], [first])
        assert {"de:urlaubstag", "de:tag"} <= {*query.terms}
        strict = RM3Reformulator(index=index, max_df=0.5)
        [kept] = strict.reformulate([first.query], [first])
        assert kept.outcome.kind == "fallback", "every word of the one German text is in all German texts"


def test_indexes_of_other_languages_are_searched_together(tmp_path: Path) -> None:
    for name, codes in (("one", ("de", "en")), ("two", ("en", "pl"))):
        build(write(tmp_path / "notes" / name, *codes), tmp_path / name)
    with open_index(joined_address([tmp_path / "one", tmp_path / "two"])) as both:
        leg = both.leg("lexical")
        assert leg.analyzer.language == "de, en, pl"
        assert (leg.n_docs_of("en:x"), leg.n_docs_of("pl:x")) == (2, 1)
        retriever = BM25Retriever(index=both)
        for code, index in (("de", "one"), ("pl", "two")):
            query = Query(qid="q", text=QUESTIONS[code])
            [ranking] = retriever.retrieve([query], k=4)
            assert ranking.doc_ids[0] == f"{index}/{index}/{code}.txt#1"
            [parts, *_] = retriever.explain_hits(query, ranking.hits)
            assert sum(part.score for part in parts) == pytest.approx(ranking.hits[0].score, rel=1e-5)


def test_the_command_tells_languages_and_analyses_each(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes, index = write(tmp_path / "notes", "de", "en"), tmp_path / "index"
    assert main(["index", str(notes), "--index", str(index), "--graph", "bm25", "--language", "each"]) == 0
    assert "languages: 1 de, 1 en" in capsys.readouterr().out
    assert main(["search", "Urlaubstag", "--index", str(index), "--graph", "bm25", "--explain"]) == 0
    assert "de:urlaubstag" in capsys.readouterr().out
    assert main(["index", str(notes), "--index", str(tmp_path / "x"), "--graph", "bm25", "--language", "every"]) == 2
    assert (
        "'each' for documents of several languages, or 'auto' for what the texts are in, got 'every'"
        in capsys.readouterr().err
    )


def test_an_analyzer_that_cannot_be_is_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes, graph = write(tmp_path / "notes", "zh"), tmp_path / "graph.yaml"
    nodes = "nodes: {bm25: {use: retrieve.bm25, k: 4}}\noutput: bm25\n"
    for analyzer, says in (
        ("{language: zh, stemmer: snowball}", "index.analyzer: no Snowball stemmer for language 'zh'"),
        (
            "{language: german}",
            "'each' for documents of several languages, or 'auto' for what the texts are in, got 'german'",
        ),
    ):
        graph.write_text(f"version: 1\nindex: {{analyzer: {analyzer}}}\n{nodes}")
        assert main(["index", str(notes), "--index", str(tmp_path / "index"), "--graph", str(graph)]) == 2
        assert says in capsys.readouterr().err
