"""Words near to misspelt ones: which they are, what they weigh, who may know them, and how they are told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from rag.core.access import NOBODY, Asker
from rag.core.filters import asked_by
from rag.core.ranking import completed
from rag.core.types import Query, Ranking
from rag.indexing import add_documents, build_index
from rag.pipeline import load_pipeline
from retrievers.index.joined import joined_address
from retrievers.index.opening import open_index
from retrievers.index.settings import IndexSettings
from retrievers.index_protocol import Index
from retrievers.legs.lexical import near_words
from retrievers.legs.lexical.near_words import near_terms
from retrievers.legs.lexical.retriever import BM25Retriever
from retrievers.legs.lexical.search import lexical

ENGLISH = {"analyzer": {"language": "en"}}
TEXTS = ("We receive parcels.", "Receiving a parcel takes a day.", "A table of temperatures.", "The label is red.")
ANN = Asker(user="ann", tenant="north")
OF_ANN, PUBLIC = {"tenant": "north", "owner": "ann"}, {"public": True}


def records(texts: Sequence[str], prefix: str = "d", **fields: Any) -> list[dict[str, Any]]:
    return [{"_id": f"{prefix}{number:03d}", "text": text, **fields} for number, text in enumerate(texts)]


def built(folder: Path, documents: Sequence[Mapping[str, Any]], sections: Mapping[str, Any] = ENGLISH) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in documents))
    whole = IndexSettings.model_validate(sections).judging_documents()
    build_index(folder / "corpus.jsonl", folder / "idx", legs=("lexical",), settings=whole)
    return folder / "idx"


def opened(folder: Path, texts: Sequence[str] = TEXTS, sections: Mapping[str, Any] = ENGLISH) -> Index:
    return open_index(built(folder, records(texts), sections))


def asked(index: Index, text: str, **more: Any) -> Ranking:
    k = more.pop("k", 10)
    return BM25Retriever(index=index).retrieve([Query(qid="q", text=text, **more)], k=k)[0]


def weights(index: Index, text: str) -> dict[str, float]:
    leg = lexical(index)
    return {each.near: each.weight for each in near_terms(leg, text, leg.analyzer.terms(text), where=None)}


def test_a_misspelt_word_is_searched_as_the_nearest(tmp_path: Path) -> None:
    ranking = asked(opened(tmp_path), "recieve")
    assert ranking.doc_ids == ("d000", "d001")
    assert ranking.near == {"recieve": ("receive",)}
    assert ranking.outcome.kind == "ok"
    assert ranking.outcome.counts == {"near_words": 1}
    assert ranking.outcome.detail == "did you mean: receive? for 'recieve'"


def test_the_same_hits_and_scores_as_of_the_right_word(tmp_path: Path) -> None:
    index = opened(tmp_path)
    right, wrong = asked(index, "receive parcel"), asked(index, "recieve parcel")
    assert [(hit.doc_id, hit.score) for hit in wrong] == [(hit.doc_id, hit.score) for hit in right]
    assert not right.near


def test_switched_off_nothing_is_found(tmp_path: Path) -> None:
    ranking = BM25Retriever(index=opened(tmp_path), near=False).retrieve([Query(qid="q", text="recieve")], k=3)[0]
    assert (ranking.hits, ranking.outcome.kind, ranking.near) == ((), "empty", {})


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("tabel", {"tabl": 1.0}),  # two letters changed places; the stem has no e
        ("lable", {"label": 1.0}),
        ("temparature", {"temperatur": 1.0}),
        ("tamparature", {"temperatur": 1.0}),  # two wrong, of eight letters and more
        ("rad", {}),  # too short
        ("parcxxl", {}),  # two wrong in a short one
        ("xeceive", {}),  # another first letter
        ("rece1ve", {}),  # no word of letters alone
        ("r" + "e" * 10_000, {}),
    ],
)
def test_what_is_near(tmp_path: Path, word: str, near: dict[str, float]) -> None:
    assert weights(opened(tmp_path), word) == near


def test_three_share_the_weight_by_how_frequent_they_are(tmp_path: Path) -> None:
    plain = {"analyzer": {"language": "en", "stemmer": "none"}}
    index = opened(tmp_path, ["bark"] * 4 + ["barn"] * 3 + ["barb"] * 2 + ["bard"], plain)
    assert weights(index, "barz") == pytest.approx({"bark": 4 / 9, "barn": 3 / 9, "barb": 2 / 9})
    query = Query(qid="q", text="barz barz")
    ranking = BM25Retriever(index=index).retrieve([query], k=10)[0]
    assert len(ranking.hits) == 9
    [parts] = BM25Retriever(index=index).explain_hits(query, ranking.hits[:1])
    assert [(part.of_query, part.of_document) for part in parts] == [("barz", parts[0].of_document)]
    assert sum(part.score for part in parts) == pytest.approx(ranking.hits[0].score)


VARIANTS = ("lucene", "robertson", "atire", "bm25l", "bm25+", "okapi", "l", "plus")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_rare_word_weighs_more_in_any_document_than_its_neighbour(tmp_path: Path, variant: str) -> None:
    long = "recieve " + " ".join(f"word{number}" for number in range(300))
    texts = ["receive receive receive", *["receive a parcel"] * 199, *["something else"] * 300, long, "recieve"]
    index = opened(tmp_path, texts, {**ENGLISH, "bm25": {"variant": variant}})
    [(near, weight)] = weights(index, "recieve").items()
    assert (near, 0 < weight <= 1) == ("receiv", True)
    ranking = asked(index, "recieve", k=502)
    assert {*ranking.doc_ids[:2]} == {"d500", "d501"}
    assert len(ranking.hits) == 202
    assert ranking.near == {"recieve": ("receive",)}


@pytest.mark.parametrize("form", ["parts", "joined", "each", "own"])
def test_so_it_is_in_every_form_of_a_leg(tmp_path: Path, form: str) -> None:
    texts = [*["receive receive"] * 200, *["something else"] * 300, "recieve " + "and many more words " * 30]
    whole = [{**each, "lang": "en", "acl": PUBLIC} for each in records(texts)]
    sections: dict[str, Any] = dict(ENGLISH)
    if form == "each":
        sections = {"analyzer": {"language": "each"}}
    if form == "own":
        sections["reading"] = {"access": "acl", "own_statistics": True}
    if form == "parts":
        folder = built(tmp_path, whole[:250])
        add_documents([{"id": each["_id"], "text": each["text"]} for each in whole[250:]], folder)
        index = open_index(folder)
    elif form == "joined":
        parts = [built(tmp_path / name, some) for name, some in (("a", whole[:350]), ("b", whole[350:]))]
        index = open_index(joined_address(parts))
    else:
        index = open_index(built(tmp_path, whole, sections))
    ranking = asked(index, "recieve", k=300)
    assert ranking.near == {"recieve": ("receive",)}
    assert len(ranking.hits) == 201
    assert ranking.doc_ids[0].endswith("d500")


def test_a_word_is_not_rare_beside_one_that_is_less_frequent(tmp_path: Path) -> None:
    texts = [*["receive a parcel"] * 99, *["something else"] * 50, "recieve"]
    assert weights(opened(tmp_path, texts), "recieve") == {}


def test_terms_that_a_query_brings_stay(tmp_path: Path) -> None:
    ranking = asked(opened(tmp_path), "recieve", terms={"reciev": 1.0})
    assert (ranking.hits, ranking.near) == ((), {})


def test_words_that_somebody_else_wrote_are_searched_and_not_told(tmp_path: Path) -> None:
    ranking = asked(opened(tmp_path), "recieve", original="how do parcels come")
    assert (len(ranking.hits), ranking.near, ranking.outcome.counts) == (2, {}, {})


def test_where_no_hit_has_the_word_it_is_told_as_another_document_writes_it(tmp_path: Path) -> None:
    index = open_index(built(tmp_path, [{**each, "n": n} for n, each in enumerate(records(TEXTS))]))
    assert asked(index, "recieve table", where="n = 2").near == {"recieve": ("receive",)}


COMMON = ("money", "phone", "became", "tide", "drive", "broke", "Who", "money's")


@pytest.mark.parametrize("word", COMMON)
def test_a_common_word_is_right_whatever_the_index_has(tmp_path: Path, word: str) -> None:
    texts = ["Moné, Mooney and Morey at prone brake", "become time dive driven brokes whom moneys'"]
    assert asked(opened(tmp_path, [*texts, "nothing"]), word).near == {}


def test_so_it_is_where_a_neighbour_is_in_many_more_documents(tmp_path: Path) -> None:
    assert weights(opened(tmp_path, [*["the time is over"] * 200, "the tide is high"]), "tide") == {}


GERMAN = "Was kostet es, wenn ich so viel im Juni verliere?"


def test_a_question_in_another_language_is_no_mistake(tmp_path: Path) -> None:
    index = opened(tmp_path, ["We went to Wenz and Wynne", "A view of the junk, a vel", "June and July"])
    assert weights(index, GERMAN) == {}
    assert weights(index, "Wenn viel") == {}
    assert weights(index, "junnk") == {"junk": 1.0}


def test_nothing_is_near_across_languages(tmp_path: Path) -> None:
    texts = [("en", "The junk of the harbour."), ("de", "Das Boot im Hafen liegt und wir gehen nach Hause.")]
    documents = [{"_id": f"d{n}", "text": text, "lang": lang} for n, (lang, text) in enumerate(texts)]
    with open_index(built(tmp_path, documents, {"analyzer": {"language": "each"}})) as index:
        assert weights(index, "Was ist ein junnk?") == {}
        assert weights(index, "What is a junnk?") == {"en:junk": 1.0}
        assert weights(index, "Was ist ein Haffen?") == {"de:haf": 1.0}


def test_a_word_that_the_index_has_in_another_form_is_right(tmp_path: Path) -> None:
    texts = [("en", "Something else."), ("", "zorbles")]
    documents = [{"_id": f"d{n}", "text": text, "lang": lang} for n, (lang, text) in enumerate(texts)]
    with open_index(built(tmp_path, documents, {"analyzer": {"language": "each"}})) as index:
        assert weights(index, "zorble") == {}
        assert weights(index, "zorblex") == {"und:zorbles": 1.0}


def test_a_misspelt_function_word_weighs_as_one(tmp_path: Path) -> None:
    texts = ["which zorble", "which which which", "zorble grammar", "nothing"]
    retriever, query = BM25Retriever(index=opened(tmp_path, texts)), Query(qid="q", text="whcih zorble")
    hits = retriever.retrieve([query], k=5)[0].hits
    parts = {part.of_document: part.how for part in retriever.explain_hits(query, hits[:1])[0]}
    assert parts["which"].startswith("0.3 x")


def test_fusions_score_with_the_same_terms(tmp_path: Path) -> None:
    index = opened(tmp_path)
    retriever, query = BM25Retriever(index=index), Query(qid="q", text="recieve parcle")
    ranking = retriever.retrieve([query], k=10)[0]
    assert retriever.scores([query], [ranking.doc_ids]) == [[hit.score for hit in ranking.hits]]
    right = Query(qid="q", text="receive parcel")
    assert retriever.populations([query]) == retriever.populations([right])
    [whole] = completed([ranking], {"bm25": retriever})
    assert whole.population == retriever.populations([query])[0]


# Every form of a leg.


def test_several_parts_are_as_one(tmp_path: Path) -> None:
    whole = opened(tmp_path / "whole")
    folder = built(tmp_path / "parts", records(TEXTS[:1]))
    add_documents([{"id": f"d{number:03d}", "text": text} for number, text in enumerate(TEXTS)][1:], folder)
    parts = open_index(folder)
    assert weights(parts, "recieve parcle temparature") == weights(whole, "recieve parcle temparature")
    assert asked(parts, "recieve").near == {"recieve": ("receive",)}


def test_joined_indexes_share_their_words(tmp_path: Path) -> None:
    parts = [built(tmp_path / name, records(texts)) for name, texts in (("a", TEXTS[:2]), ("b", TEXTS[2:]))]
    with open_index(joined_address(parts)) as index:
        assert weights(index, "recieve tabel") == {"receiv": 1.0, "tabl": 1.0}
        assert asked(index, "recieve").near == {"recieve": ("receive",)}
        assert weights(index, "receive table") == {}


def test_near_words_stay_within_their_language(tmp_path: Path) -> None:
    texts = [("en", "We receive the house."), ("de", "Das Hause am See, eine Temperatur."), ("de", "Receive nichts.")]
    documents = [{"_id": f"d{n}", "text": text, "lang": lang} for n, (lang, text) in enumerate(texts)]
    with open_index(built(tmp_path, documents, {"analyzer": {"language": "each"}})) as index:
        assert weights(index, "temparatur") == {"de:temperatur": 1.0}
        assert weights(index, "recieve") == {"en:receiv": 1.0, "de:receiv": 1.0}
        assert weights(index, "house") == {}, "one language has it, so it is no mistake in the other"
        assert asked(index, "temparatur").near == {"temparatur": ("Temperatur",)}


# Who may know which word.


def labelled(folder: Path, *, own: bool) -> Index:
    secret = records(["a zobra and a temperature"], prefix="secret", acl=OF_ANN)
    public = records([*TEXTS[:2], "a zabra"] + ["filler"] * 3, acl=PUBLIC)
    return open_index(
        built(folder, [*public, *secret], {**ENGLISH, "reading": {"access": "acl", "own_statistics": own}})
    )


@pytest.mark.parametrize("own", [True, False])
def test_nobody_learns_a_word_of_what_they_may_not_read(tmp_path: Path, own: bool) -> None:
    index = labelled(tmp_path, own=own)
    stranger = asked(index, "temparature", where=asked_by(NOBODY, None))
    unknown = asked(index, "tumparoture", where=asked_by(NOBODY, None))
    assert (stranger.near, stranger.hits, stranger.outcome.counts) == ({}, (), {})
    assert stranger.outcome.detail.replace("temparatur", "X") == unknown.outcome.detail.replace("tumparotur", "X")
    assert asked(index, "temparature", where=asked_by(ANN, None)).near == {"temparature": ("temperature",)}


@pytest.mark.parametrize("own", [True, False])
def test_a_word_of_what_they_may_not_read_is_as_one_that_is_not_there(tmp_path: Path, own: bool) -> None:
    """`zobra` is in a document of Ann's alone: to others it is a mistake for what they can read."""
    index = labelled(tmp_path, own=own)
    assert asked(index, "zobra", where=asked_by(NOBODY, None)).near == {"zobra": ("zabra",)}
    assert asked(index, "zobra", where=asked_by(ANN, None)).near == {}


def test_a_nearer_word_that_they_may_not_read_hides_none(tmp_path: Path) -> None:
    public = records(["a temperature"], acl=PUBLIC)
    secret = records(["a temparatorn"], prefix="secret", acl=OF_ANN)
    sections = {"analyzer": {"language": "en", "stemmer": "none"}, "reading": {"access": "acl"}}
    index = open_index(built(tmp_path, [*public, *secret], sections))
    near = {who: asked(index, "temparatore", where=asked_by(who, None)).near for who in (NOBODY, ANN)}
    assert near[NOBODY] == {"temparatore": ("temperature",)}
    assert near[ANN] == {"temparatore": ("temparatorn",)}


def test_with_statistics_of_ones_own_counts_are_those_of_what_one_may_read(tmp_path: Path) -> None:
    plain = {"analyzer": {"language": "en", "stemmer": "none"}}
    public = records(["bark", "bark", "barn"], acl=PUBLIC)
    secret = records(["barn"] * 5 + ["bard"] * 9, prefix="secret", acl=OF_ANN)
    own = {**plain, "reading": {"access": "acl", "own_statistics": True}}
    index, alone = (
        open_index(built(tmp_path / name, given, sections))
        for name, given, sections in (("own", [*public, *secret], own), ("alone", public, plain))
    )
    theirs, mine = asked(index, "barz", where=asked_by(NOBODY, None)), asked(alone, "barz")
    assert [(hit.doc_id, hit.score) for hit in theirs] == [(hit.doc_id, hit.score) for hit in mine]
    assert theirs.near == mine.near == {"barz": ("bark", "barn")}


# Bounds.


def test_a_hundred_thousand_unknown_words_stay_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, looked = opened(tmp_path), list[str]()
    plain = near_words._nearest
    monkeypatch.setattr(near_words, "_nearest", lambda leg, term, *rest: looked.append(term) or plain(leg, term, *rest))
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [
        f"q{letters[n % 26]}{letters[n // 26 % 26]}{letters[n // 676 % 26]}{letters[n // 17576]}q"
        for n in range(100_000)
    ]
    ranking = asked(index, "recieve " + " ".join(words))
    assert len(looked) == near_words.MOST_WORDS
    assert ranking.near == {"recieve": ("receive",)}


def test_the_library_is_loaded_for_a_near_word_alone(tmp_path: Path) -> None:
    folder = built(tmp_path, records(TEXTS))
    script = (
        "import sys\nfrom retrievers.index.opening import open_index\nfrom rag.core.types import Query\n"
        "from retrievers.legs.lexical.retriever import BM25Retriever\n"
        f"retriever = BM25Retriever(index=open_index({str(folder)!r}))\n"
        "for text in ('receive', 'recieve'):\n"
        "    retriever.retrieve([Query(qid='q', text=text)], k=3)\n"
        "    print('rapidfuzz' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


words = st.sampled_from(
    ["alpho", "betuh", "gummo", "deltu", "alphi", "betuhs", "gumme", "tablu", "labul", "cablu", "applo"]
)


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.lists(words, min_size=1, max_size=6).map(" ".join), min_size=1, max_size=8), query=st.lists(words)
)
def test_near_words_are_those_of_the_plain_rule(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], query: list[str]
) -> None:
    """And where there are none, hits are the same to the last bit."""
    index = opened(tmp_path_factory.mktemp("rule"), texts, {"analyzer": {"language": "en", "stemmer": "none"}})
    text, has = " ".join(query), {word: sum(word in each.split() for each in texts) for word in " ".join(texts).split()}
    expected: dict[str, list[str]] = {}
    for word in {*query} - has.keys():
        near = [each for each in has if each[0] == word[0] and OSA.distance(each, word) == 1]
        if near:
            expected[word] = sorted(near, key=lambda each: (-has[each], each))[:3]
    ranking = asked(index, text)
    assert {word: [*near] for word, near in ranking.near.items()} == expected
    plain = BM25Retriever(index=index, near=False).retrieve([Query(qid="q", text=text)], k=10)[0]
    if not expected:
        assert [(hit.doc_id, hit.score) for hit in ranking] == [(hit.doc_id, hit.score) for hit in plain]


# How it is told.


def test_a_reranker_and_a_fusion_pass_it_on(tmp_path: Path) -> None:
    nodes = {
        "one": {"use": "retrieve.bm25", "in": "query", "k": 10},
        "two": {"use": "retrieve.bm25", "in": "query", "k": 10, "with": {"near": False}},
        "fused": {"use": "fuse.rrf", "in": ["one", "two"], "k": 5},
        "ranked": {"use": "rerank.identity", "in": "fused", "k": 5},
    }
    graph = {"version": 1, "nodes": nodes, "output": "ranked"}
    with load_pipeline(graph, index=built(tmp_path, records(TEXTS))) as pipeline:
        assert pipeline.search("recieve").near == {"recieve": ("receive",)}
        assert pipeline.search("receive").near == {}
        result = pipeline.run(["recieve", "receive", "tabel"])
        assert [ranking.near for ranking in result.rankings] == [{"recieve": ("receive",)}, {}, {"tabel": ("table",)}]
        assert result.near == {"recieve": ("receive",), "tabel": ("table",)}
