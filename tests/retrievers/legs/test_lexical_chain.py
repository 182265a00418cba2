"""A chain of lexical parts answers with the bits of one build over what is left of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.errors import IndexProblem
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.legs.lexical import chain, merging
from retrievers.legs.lexical.leg import LexicalLeg
from retrievers.legs.lexical.settings import LexicalSettings
from retrievers.legs.protocol import ReadableRows
from retrievers.stores.chain_rows import ChainRows

VARIANTS = ("lucene", "robertson", "atire", "bm25l", "bm25+")
PLAIN = AnalyzerSettings(language="en", stemmer="none", stop_words="none")
WORDS = ("red", "apple", "pear", "tree", "leaf")
WEIGHTS = (1, 2, 0.3, -1.0, 1e-9)

texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), min_size=1, max_size=8)


def built(folder: Path, documents: Sequence[str], settings: LexicalSettings) -> dict[str, Any]:
    folder.mkdir(parents=True)
    return LexicalLeg.build(documents, folder, analyzer=PLAIN, bm25=settings)


def opened(
    folder: Path, parts: Sequence[Sequence[str]], removed: Sequence[Sequence[int]], settings: LexicalSettings
) -> tuple[LexicalLeg, LexicalLeg, LexicalLeg]:
    """The parts as one, the same written as one, and one build of what is left of them."""
    facts = [built(folder / str(number), documents, settings) for number, documents in enumerate(parts)]
    rows = ChainRows([len(part) for part in parts], [np.array(gone, dtype=np.int32) for gone in removed])
    left = [text for part, gone in zip(parts, removed, strict=True) for i, text in enumerate(part) if i not in gone]
    folders = [folder / str(number) for number in range(len(parts))]
    as_one = LexicalLeg.open_chain(folders, facts, rows)
    (folder / "merged").mkdir()
    merged = LexicalLeg.open(folder / "merged", LexicalLeg.merge(folders, facts, rows, folder / "merged"))
    return as_one, merged, LexicalLeg.open(folder / "whole", built(folder / "whole", left, settings))


def require_same(one: LexicalLeg, other: LexicalLeg, queries: Sequence[dict[str, float]], n: int) -> None:
    for mask in (None, np.arange(n) % 2 == 0):
        for k in (1, n + 1):
            mine, theirs = (leg.search(queries, k=k, mask=mask, engine="numpy") for leg in (one, other))
            assert mine[0].tobytes() == theirs[0].tobytes()
            assert mine[1].tobytes() == theirs[1].tobytes()
    assert one.n_docs == other.n_docs
    for word in (*WORDS, "plum"):
        assert (word in one) == (word in other)
        assert one.document_frequency(word) == other.document_frequency(word)
    for row in range(n):
        assert one.impacts(WORDS, row) == other.impacts(WORDS, row)


@given(
    parts=st.lists(texts, min_size=1, max_size=4),
    variant=st.sampled_from(VARIANTS),
    k1=st.sampled_from([0.9, 1 / 3]),
    b=st.sampled_from([0.4, 0.0, 1.0]),
    data=st.data(),
)
def test_parts_are_weighed_as_one_build(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[str]], data: st.DataObject, **bm25: Any
) -> None:
    removed = [sorted(data.draw(st.sets(st.integers(0, len(part) - 1)))) for part in parts]
    n = sum(map(len, parts)) - sum(map(len, removed))
    if n:
        weighted = st.dictionaries(st.sampled_from((*WORDS, "plum")), st.sampled_from(WEIGHTS), min_size=1)
        queries = data.draw(st.lists(weighted, min_size=1, max_size=4))
        legs = opened(tmp_path_factory.mktemp("chain"), parts, removed, LexicalSettings(**bm25))
        require_same(legs[0], legs[2], queries, n)
        require_same(legs[1], legs[2], queries, n)


@given(parts=st.lists(texts, min_size=1, max_size=3), variant=st.sampled_from(VARIANTS), data=st.data())
def test_some_of_the_rows_are_weighed_as_a_build_of_them_alone(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[str]], variant: Any, data: st.DataObject
) -> None:
    folder, settings = tmp_path_factory.mktemp("among"), LexicalSettings(variant=variant)
    removed = [sorted(data.draw(st.sets(st.integers(0, len(part) - 1)))) for part in parts]
    n = sum(map(len, parts)) - sum(map(len, removed))
    as_one = opened(folder, parts, removed, settings)[0] if n else None
    left = [text for part, gone in zip(parts, removed, strict=True) for i, text in enumerate(part) if i not in gone]
    for reader in range(2):  # two, as they share what is kept
        rows = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=np.bool_)
        if as_one is None or not rows.any():
            continue
        mine = as_one.among(ReadableRows(bytes([reader]), rows))
        own = [text for text, reads in zip(left, rows, strict=True) if reads]
        alone = LexicalLeg.open(folder / f"own{reader}", built(folder / f"own{reader}", own, settings))
        for query in ({"red": 1.0, "plum": 1.0}, {"apple": 2, "leaf": 0.3, "red": -1.0}):
            (mine_rows, mine_scores), (rows_alone, scores_alone) = (
                leg.search([query], k=n, mask=mask, engine="numpy") for leg, mask in ((mine, rows), (alone, None))
            )
            places = np.where(rows_alone >= 0, np.flatnonzero(rows)[rows_alone], -1)
            assert mine_rows.tolist() == places.tolist()
            assert mine_scores.tobytes() == scores_alone.tobytes()
        for word in (*WORDS, "plum"):
            assert (word in mine, mine.document_frequency(word)) == (word in alone, alone.document_frequency(word))
            assert mine.n_docs_of(word) == alone.n_docs == len(own)
        for place, row in enumerate(np.flatnonzero(rows).tolist()):
            assert mine.impacts(WORDS, row) == alone.impacts(WORDS, place)


def test_a_leg_with_finished_weights_has_one_set_of_statistics(tmp_path: Path) -> None:
    leg = LexicalLeg.open(tmp_path / "a", built(tmp_path / "a", ["red"], LexicalSettings()))
    with pytest.raises(ValueError, match="one set of statistics"):
        leg.among(ReadableRows(b"", np.ones(1, dtype=np.bool_)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_counts_that_do_not_fit_a_byte_and_many_documents(tmp_path: Path, variant: Any) -> None:
    chance = np.random.default_rng(0)
    many = [" ".join(chance.choice(WORDS, size=chance.integers(0, 40))) for _ in range(3_000)]
    long = ["red " * times for times in (254, 255, 256, 70_000)]
    parts = [many[:1_500], [*long, *many[1_500:]], many[:700]]
    removed = [sorted(chance.permutation(1_500)[:100]), [3], []]
    settings = LexicalSettings(variant=variant)
    queries = [{"red": 1.0}, {"red": 2.0, "pear": 0.7}, {"leaf": 1.0, "tree": 1.0, "apple": 1.0}]
    legs = opened(tmp_path, parts, removed, settings)
    n = sum(map(len, parts)) - 101
    require_same(legs[0], legs[2], queries, n)
    require_same(legs[1], legs[2], queries, n)


def test_merging_in_small_blocks_gives_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, removed = [["red apple red", "pear tree", "red leaf"], ["leaf", "apple red pear"]], [[1], []]
    opened(tmp_path / "large", parts, removed, LexicalSettings())
    monkeypatch.setattr(merging.merge, "__kwdefaults__", {"block": 1})
    opened(tmp_path / "small", parts, removed, LexicalSettings())
    large, small = ({f.name: f.read_bytes() for f in (tmp_path / n / "merged").iterdir()} for n in ("large", "small"))
    assert large == small


def test_columns_beyond_the_budget_are_weighed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain.ChainedPostings.__init__, "__kwdefaults__", {"budget_bytes": 600})
    as_one, _, whole = opened(tmp_path, [["red apple", "red"], ["red pear"]], [[], []], LexicalSettings())
    queries = [{"red": 1.0, "apple": 1.0}, {"pear": 1.0, "red": 1.0}]
    require_same(as_one, whole, queries, 3)
    assert 0 < as_one._engine._columns.size <= 600  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["counts.npy", "counts_large.npy", "lengths.npy"])
def test_counts_that_do_not_fit_are_an_index_problem(tmp_path: Path, name: str) -> None:
    facts = built(tmp_path / "0", ["red apple"], LexicalSettings())
    np.save(tmp_path / "0" / name, np.zeros(7, np.int16))
    with pytest.raises(IndexProblem, match="Build the index again"):
        LexicalLeg.open_chain([tmp_path / "0"], [facts], ChainRows([1], [None]))
