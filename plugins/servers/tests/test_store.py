"""What every server has to do, asked of it directly; and what is made of hits that tie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rag.errors import IndexProblem
from rag.filters import parse_where
from rag.indexes import Sparse
from ragline_servers.hits import best_of
from ragline_servers.parts import Parts, write_parts
from ragline_servers.store import CollectionStore, Form, Point, Record
from retrievers.stores.hits import as_batch

N = 600
"""More than a server gives in one answer."""

FORM = Form(fields={"text": "text", "key": "key", "words": "words", "numbers": "numbers"}, dense={"v": 3}, sparse=["s"])


def point(id_: int, text: str = "") -> Point:
    return Point(
        id=id_,
        fields={"text": text or f"text {id_}", "key": str(id_), "words": [f"w{id_ % 7}"], "numbers": {"n": float(id_)}},
        dense={"v": np.array([id_, 1, 0], np.float32)},
        sparse={"s": Sparse(np.array([3, 5 + id_ % 2]), np.array([0.5, 1.0 + id_], np.float32))},
    )


@pytest.fixture
def filled(store: CollectionStore) -> CollectionStore:
    if "filled" not in store.collections():
        store.create("filled", FORM)
        store.put("filled", [point(id_) for id_ in reversed(range(N))])
        store.finish("filled")
    return store


def test_points_are_found_in_order_of_id_and_all_of_them(filled: CollectionStore) -> None:
    assert filled.count("filled") == N
    assert [record.id for record in filled.find("filled", None)] == list(range(N))
    texts = [(record.id, record.fields["text"]) for record in filled.find("filled", None, fields=["text"])]
    assert texts == [(id_, f"text {id_}") for id_ in range(N)]
    some = parse_where({"words": ["w1", "w2"], "numbers.n": {"lt": 590}})
    wanted = [id_ for id_ in range(590) if id_ % 7 in (1, 2)]
    assert [record.id for record in filled.find("filled", some)] == wanted
    assert [record.id for record in filled.find("filled", parse_where({"key": "77"}))] == [77]


def test_what_was_put_comes_back_to_the_last_bit(filled: CollectionStore) -> None:
    records = filled.get("filled", [5, N, 2], fields=["text", "v", "s"])
    assert {record.id for record in records} == {5, 2}
    [five] = [record for record in records if record.id == 5]
    assert five.fields["text"] == "text 5"
    assert np.array_equal(np.asarray(five.fields["v"], np.float32), point(5).dense["v"])
    assert five.fields["s"].places.tolist() == [3, 6]
    assert five.fields["s"].weights.tolist() == [0.5, 6.0]
    assert len(filled.get("filled", list(range(N)), fields=["text"])) == N


def test_a_point_that_is_put_again_takes_the_place_of_the_first(store: CollectionStore) -> None:
    store.create("again", FORM)
    store.put("again", [point(0, "first"), point(1)])
    store.put("again", [point(0, "second")])
    store.finish("again")
    assert store.count("again") == 2
    assert [record.fields["text"] for record in store.get("again", [0], fields=["text"])] == ["second"]
    store.drop("again")
    store.drop("again")
    assert "again" not in store.collections()


def test_vectors_are_ranked_by_inner_product_under_a_filter(filled: CollectionStore) -> None:
    queries = np.array([[1, 0, 0], [-1, 0, 0]], np.float32)
    best, worst = filled.nearest("filled", "v", queries, k=3, where=parse_where({"numbers.n": {"gte": 10}}))
    assert [(hit.id, hit.score) for hit in best] == [(599, 599), (598, 598), (597, 597)]
    assert [hit.id for hit in worst] == [10, 11, 12]
    [found, nothing] = filled.heaviest(
        "filled", "s", [Sparse(np.array([5]), np.array([2.0])), Sparse(np.array([99]), np.array([1.0]))], k=2
    )
    assert [(hit.id, hit.score) for hit in found] == [(598, 1198), (596, 1194)]
    assert nothing == []


def test_a_name_points_to_one_collection_at_a_time(filled: CollectionStore) -> None:
    assert filled.target("named") is None
    filled.switch("named", "filled")
    assert filled.target("named") == "filled"
    filled.create("other", FORM)
    filled.switch("named", "other")
    assert filled.target("named") == "other"
    assert "named" not in filled.collections()


def test_files_are_kept_in_pieces_and_read_as_they_were(store: CollectionStore) -> None:
    files = {"empty": b"", "large": np.random.default_rng(0).bytes(9_000_000), "text": "Ü\n".encode()}
    write_parts(store, "parts", files)
    parts = Parts(store, "parts", name="index")
    assert [*parts] == list(files)
    assert {name: parts.read(name) for name in parts} == files
    parts.verify()
    with pytest.raises(IndexProblem, match="index 'index' is damaged: another is not there"):
        parts.read("another")
    store.put("parts", [Point(id=3, fields={"part": "AAAA"})])
    with pytest.raises(IndexProblem, match=r"large (cannot be read|is not as it was written)"):
        parts.verify()


def test_a_tie_at_the_cut_is_broken_by_row_however_many_tie() -> None:
    depths: list[int] = []

    def ask(numbers: Sequence[int], depth: int) -> list[list[Record]]:
        """A server that gives the last of those that tie first."""
        depths.append(depth)
        hits = [Record(id=7, fields={}, score=2.0)] + [
            Record(id=id_, fields={}, score=1.0) for id_ in range(300, 7, -1)
        ]
        return [hits[:depth] for _ in numbers]

    [(rows, scores)] = best_of(1, ask, k=3)
    assert len(rows) == 294  # all that tie with the last
    batch, of_batch = as_batch([(rows, scores)], k=3, nothing=0.0)
    assert batch.tolist() == [[7, 8, 9]]
    assert of_batch.tolist() == [[2.0, 1.0, 1.0]]
    assert depths == [19, 76, 304]
    assert best_of(0, ask, k=3) == []
