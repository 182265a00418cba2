"""Function words of a question: which they are, what they weigh by `retrieve.bm25`, and where they weigh as any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rag.core.types import Query
from rag.indexing import build_index
from retrievers.analysis.function_words import function_words, function_words_of, question_language
from retrievers.analysis.stemming import stemmed_languages
from retrievers.index.opening import open_index
from retrievers.index.settings import IndexSettings
from retrievers.index_protocol import Index
from retrievers.legs.lexical.retriever import BM25Retriever
from tests.cpu_time import least_cpu_s


def opened(folder: Path, texts: list[str], **analyzer: Any) -> Index:
    records = [{"_id": f"d{number}", "text": text, "lang": "en"} for number, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    settings = IndexSettings.model_validate({"analyzer": {"language": "en", **analyzer}}).judging_documents()
    build_index(folder / "corpus.jsonl", folder / "idx", legs=("lexical",), settings=settings)
    return open_index(folder / "idx")


def scores(index: Index, text: str, **parameters: Any) -> dict[str, float]:
    [ranking] = BM25Retriever(index=index, **parameters).retrieve([Query(qid="q", text=text)], k=20)
    return {hit.doc_id: hit.score for hit in ranking.hits}


# Which they are.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("How long do I have to send it?", ["How", "do", "I", "have", "to", "it"]),
        ("How deep is the water where M3 stands?", ["How", "is", "the", "where"]),
        ("Was kostet es, wenn ich viel verliere?", ["Was", "es", "wenn", "ich", "viel"]),
        ("W jakich godzinach wolno z tym pracować?", ["W", "jakich", "z", "tym"]),
        ("样品应该在什么温度下冷冻?", ["应该", "在", "什么"]),
        ("who runs IT", ["who"]),
        ("Where did The Who play?", ["Where", "did"]),
        ("Where Did The Who Play", ["Where", "Did", "The", "Who"]),  # capitals say nothing where all words have one
        ('who wrote "to be or not to be"', ["who"]),
        ("Don't I need what's new?", ["Don", "t", "I", "what", "s"]),
        ("vitamin d and t cells", ["and"]),
        ("die hard", []),
        ("M3", []),
        ("", []),
    ],
)
def test_words_that_hold_a_question_together(text: str, words: list[str]) -> None:
    assert function_words(text, ["en"]) == words


def test_of_several_languages_it_takes_two_words_to_tell_one() -> None:
    assert question_language("die hard", ["de", "en"]) == ""
    assert question_language("was ist das", ["de", "en"]) == "de"
    assert question_language("what is that", ["de", "en"]) == "en"


def test_nearly_every_language_with_a_stemmer_has_a_list() -> None:
    assert not [code for code in stemmed_languages() if not function_words_of(code)]


def test_a_question_as_long_as_a_book_takes_no_longer_than_it_should() -> None:
    question = "how do you do, " * 20_000
    assert len(function_words(question, ["en"])) == 80_000
    assert least_cpu_s(lambda: function_words(question, ["en"]), enough=20, tries=2) <= 20


# What they weigh.

ROWS = ["Virgil I Grissom", "What I do", *[f"Field {number}" for number in range(40)]]
PASSAGE = "Expenses of a journey are claimed within days of its return."


@pytest.mark.parametrize("language", ["en", "each"])
def test_among_short_rows_words_with_a_meaning_come_first(tmp_path: Path, language: str) -> None:
    index = opened(tmp_path, [*ROWS, PASSAGE], language=language)
    question = "What do I do to claim expenses, and what after the return?"
    assert max(found := scores(index, question), key=lambda doc_id: found[doc_id]) == "d42"
    plain = scores(index, question, function_words=1.0)
    assert max(plain, key=lambda doc_id: plain[doc_id]) == "d1"


def test_one_weighs_what_was_given_each_time(tmp_path: Path) -> None:
    index = opened(tmp_path, ROWS)
    alone = scores(index, "do", function_words=1.0)["d1"]
    assert scores(index, "do fields do", function_words=0.25)["d1"] == pytest.approx(2 * 0.25 * alone)
    assert "d1" not in scores(index, "do fields do", function_words=0.0)


@pytest.mark.parametrize("text", ["do", "what do I do", "field", 'field "what I do"', "IT field"])
def test_alone_or_meant_they_weigh_as_any(tmp_path: Path, text: str) -> None:
    index = opened(tmp_path, [*ROWS, "the it team"])
    assert scores(index, text) == scores(index, text, function_words=1.0)


def test_terms_that_a_query_brings_weigh_what_they_say(tmp_path: Path) -> None:
    index = opened(tmp_path, ROWS)
    query = Query(qid="q", text="do field", terms={"do": 1.0, "field": 1.0})
    light, plain = (BM25Retriever(index=index, function_words=weight) for weight in (0.1, 1.0))
    assert light.retrieve([query], k=5)[0].hits == plain.retrieve([query], k=5)[0].hits


def test_an_explanation_says_what_one_added_and_that_it_is_one(tmp_path: Path) -> None:
    retriever, query = BM25Retriever(index=opened(tmp_path, ["do fields"])), Query(qid="q", text="do fields")
    hits = retriever.retrieve([query], k=1)[0].hits
    [[field, do]] = retriever.explain_hits(query, hits)
    assert (field.of_query, field.how) == ("field", "")
    assert (do.of_query, do.how) == ("do", f"0.3 x {do.score / 0.3:.4g}, a function word")
    assert field.score + do.score == pytest.approx(hits[0].score)


def test_a_fusion_is_told_how_scores_spread_with_all_words(tmp_path: Path) -> None:
    index, query = opened(tmp_path, ROWS), Query(qid="q", text="what do I know of field 3")
    light, plain = (BM25Retriever(index=index, function_words=weight) for weight in (0.1, 1.0))
    assert light.populations([query]) == plain.populations([query])


@pytest.mark.parametrize("weight", [-0.1, 1.5, float("nan")])
def test_a_weight_is_from_0_to_1(tmp_path: Path, weight: float) -> None:
    with pytest.raises(ValueError, match="function_words must be from 0 to 1"):
        BM25Retriever(index=opened(tmp_path, ROWS), function_words=weight)
