from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.cli import main
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from rag.pipeline.as_json import hit_json
from rerankers.distinct import DistinctReranker
from retrievers.index.directory import LocalIndex
from retrievers.index.near_duplicates import (
    DUPLICATES,
    NearDuplicates,
    _alike,
    _hashed,
    _looked_up,
    _runs,
    _words,
    near_duplicates,
)

WORDS = [f"word{i}" for i in range(3000)]


def prose(seed: int, n: int = 150) -> list[str]:
    return random.Random(seed).choices(WORDS, k=n)


def documents(*texts: list[str]) -> list[Document]:
    return [Document(doc_id=str(i), text=" ".join(words)) for i, words in enumerate(texts)]


def edited(words: list[str], n: int) -> list[str]:
    """The text with its last `n` words exchanged: all runs but about `n` stay."""
    return [*words[:-n], *[f"other{i}" for i in range(n)]]


def test_texts_that_say_nearly_the_same_are_a_group() -> None:
    one, two = prose(1), prose(2)
    pairs = near_duplicates(documents(one, two, edited(one, 3), prose(3), edited(two, 60), one))
    assert pairs.tolist() == [[0, 0], [2, 0], [5, 0]]


def test_case_and_punctuation_do_not_count_and_pictures_do() -> None:
    from rag.core.contents import Content

    text = " ".join(prose(1))
    picture = Content(kind="picture", uri="a.png", sha256="0" * 64)
    units = [
        Document(doc_id="a", text=text),
        Document(doc_id="b", text=text.upper().replace(" ", ", ") + "!"),
        Document(doc_id="c", text=text, contents=(picture,)),
    ]
    assert near_duplicates(units).tolist() == [[0, 0], [1, 0]]


def test_nearly_all_are_found_and_none_is_wrong() -> None:
    texts = [prose(seed, n) for seed, n in enumerate([20, 60, 150, 400] * 25)]
    changed = [edited(words, max(1, len(words) // 20)) for words in texts]
    pairs = near_duplicates(documents(*texts, *changed)).tolist()
    grouped = [pair for pair in pairs if pair[0] != pair[1]]
    assert all(row == first + 100 for row, first in grouped)
    assert len(grouped) >= 97


@given(st.lists(st.text(st.sampled_from("aBc_ é.中はA\n9İ\ud800") | st.characters()), max_size=5))
def test_runs_are_hashed_of_the_words_that_are_compared_whatever_stands_beside_a_text(texts: list[str]) -> None:
    together = next(iter(_hashed(texts)), None)
    alone = [next(_hashed([text])) for text in texts]
    sizes = [len(_words(text)) for text in texts]
    assert together is None or together.sizes.tolist() == [min(n, max(1, n - 2)) for n in sizes]
    assert [run for each in alone for run in each.runs] == ([] if together is None else together.runs.tolist())


@given(st.integers(1, 3000), st.floats(0, 1), st.integers(0, 99))
def test_marks_tell_no_near_duplicates_apart(n: int, share: float, seed: int) -> None:
    one = prose(seed, n)
    texts = [" ".join(one), " ".join(edited(one, int(share * n) or 1))]
    _, marks = _looked_up(texts, 2)
    [may_be_near] = marks.may_be_near(np.array([0], np.int32), np.array([1], np.int32))
    assert may_be_near or not _alike(*map(_runs, texts))


def test_marks_tell_most_others_apart() -> None:
    one = prose(1, 200)
    texts = [" ".join(edited(one, 100)), *(" ".join(prose(seed, 200)) for seed in range(2, 52)), " ".join(one)]
    _, marks = _looked_up(texts, len(texts))
    others = np.arange(len(texts) - 1, dtype=np.int32)
    assert not any(marks.may_be_near(np.full(len(others), len(texts) - 1, np.int32), others))


def test_keys_that_are_known_give_the_same_groups() -> None:
    one, two = prose(1), prose(2)
    units = documents(one, two, edited(one, 3), prose(3), edited(two, 6), one, prose(4, 2), prose(4, 2))
    keys, _ = _looked_up((unit.text for unit in units), len(units))
    assert near_duplicates(units, keys).tolist() == near_duplicates(units).tolist() != []
    rows = np.array([1, 2, 4, 5], np.int32)
    assert near_duplicates(units, keys, rows).tolist() == near_duplicates(units, rows=rows).tolist() != []


@given(st.lists(st.booleans(), min_size=12, max_size=12))
def test_of_some_rows_they_are_those_of_these_documents_alone(chosen: list[bool]) -> None:
    one, two = prose(1), prose(2)
    texts = [one, edited(one, 3), two, edited(one, 9), edited(two, 5), prose(3)]
    units = documents(*texts, *(edited(words, 14) for words in texts))
    rows = np.flatnonzero(chosen).astype(np.int32)
    alone = near_duplicates([units[row] for row in rows])
    assert near_duplicates(units, rows=rows).tolist() == rows[alone].tolist()


@pytest.mark.parametrize("text", ["", "...", "\ud800", "一二三四五六七八九", "x" * 100_000])
def test_odd_texts_are_near_themselves_or_nothing(text: str) -> None:
    pairs = near_duplicates([Document(doc_id="a", text=text), Document(doc_id="b", text=text)])
    assert pairs.tolist() in ([], [[0, 0], [1, 0]])
    assert bool(len(pairs)) == any(c.isalnum() for c in text)


def test_a_group_is_found_by_any_of_its_rows() -> None:
    groups = NearDuplicates(np.array([[1, 1], [2, 2], [5, 1], [7, 2], [9, 1]], dtype=np.int32))
    assert [groups.group(row) for row in (1, 9, 7, 0, 10, -1)] == [[1, 5, 9], [1, 5, 9], [2, 7], [], [], []]


def folder_of(path: Path, *texts: list[str]) -> Path:
    path.mkdir()
    for number, words in enumerate(texts):
        (path / f"{number}.md").write_text(f"# Page\n\n{' '.join(words)}\n")
    return path


def test_an_index_without_near_duplicates_has_no_file_for_them(tmp_path: Path) -> None:
    build_index([folder_of(tmp_path / "t", prose(1), prose(2))], tmp_path / "idx", legs=("lexical",))
    with LocalIndex.open(tmp_path / "idx") as index:
        assert DUPLICATES not in index.manifest.files
        assert len(index.near_duplicates()) == 0


def test_results_keep_the_best_of_a_group_and_say_how_many_others_there_are(tmp_path: Path) -> None:
    one = prose(1)
    texts = folder_of(tmp_path / "t", one, prose(2), edited(one, 3), edited(one, 5))
    build_index([texts], tmp_path / "idx", legs=("lexical",))
    with LocalIndex.open(tmp_path / "idx") as index:
        assert len(index) == 4
        assert len(index.near_duplicates()) == 3
        rows = [2, 1, 0, 3]
        hits = [ScoredDocument(document=index.documents[row], score=float(-n)) for n, row in enumerate(rows)]
        stray = ScoredDocument(document=Document(doc_id="stray", text=" ".join(one)), score=-9.0)
        ranking = Ranking(query=Query(qid="q", text="x"), hits=(*hits, stray))
        [distinct] = DistinctReranker(index=index).rerank([ranking], k=10)
        assert distinct.doc_ids == (hits[0].doc_id, hits[1].doc_id, "stray")
        assert distinct.outcome.counts == {"folded": 2}
        assert [hit_json(hit, 1).get("duplicates") for hit in distinct.hits] == [2, None, None]
        assert DistinctReranker(index=index).rerank([ranking], k=1)[0].doc_ids == (hits[0].doc_id,)
        # Whoever may not see a unit is not told that it exists.
        where = {"source": [index.documents[row].metadata["source"] for row in (2, 3)]}
        [filtered] = DistinctReranker(index=index, where=where).rerank([ranking], k=10)
        assert filtered.hits[0].document.metadata["duplicates"] == 1


def test_rag_search_shows_one_of_a_group_with_a_count_and_still_k_hits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = prose(1)
    texts = folder_of(tmp_path / "t", one, edited(one, 3), edited(one, 5), [*prose(2), one[0]])
    build_index([texts], tmp_path / "idx", legs=("lexical",))
    search = ["search", one[0], "--index", str(tmp_path / "idx"), "--graph", "bm25"]
    assert main([*search, "-k", "2", "--json"]) == 0
    hits = json.loads(capsys.readouterr().out)["hits"]
    assert [hit["rank"] for hit in hits] == [1, 2]
    assert sorted(hit.get("duplicates", 0) for hit in hits) == [0, 2]
    assert main(search) == 0
    assert "(and 2 nearly the same)" in capsys.readouterr().out


def test_a_graph_may_be_left_with_fewer_groups_than_it_keeps(tmp_path: Path) -> None:
    one = prose(1)
    texts = folder_of(tmp_path / "t", one, edited(one, 3), edited(one, 5))
    build_index([texts], tmp_path / "idx", legs=("lexical",))
    found = {"use": "retrieve.bm25", "in": "query", "k": 10}
    distinct = {"use": "rerank.distinct", "in": "found", "k": 3}
    spec = {"version": 1, "nodes": {"found": found, "distinct": distinct}, "output": "distinct"}
    with load_pipeline(spec, index=tmp_path / "idx") as pipeline:
        assert len(pipeline.search(one[0])) == 1
