"""Which version is the newest: by what replaces what, and by key and date; among what passes, on an index and in a graph."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.access import Asker
from rag.core.errors import SpecError
from rag.core.filters import asked_by, newest_of
from rag.core.types import Document
from rag.core.versions import Versions, read_versions
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.index.versions import VersionTable

REPLACES, DATED = Versions(replaces="replaces"), Versions(key="key", date="released")


def documents(**metadata: Mapping[str, Any]) -> list[Document]:
    return [Document(doc_id=doc_id, text="x", metadata=more) for doc_id, more in metadata.items()]


def newest(given_: list[Document], versions: Versions, among: str | None = None) -> str:
    """Ids of one letter."""
    mask = None if among is None else np.array([document.doc_id in among for document in given_])
    kept = VersionTable(given_, versions).newest(mask)
    return "".join(document.doc_id for document, passes in zip(given_, kept, strict=True) if passes)


def test_a_chain_leaves_its_newest_and_a_cut_off_the_newest_that_passes() -> None:
    chain = documents(a={}, b={"replaces": "a"}, c={"replaces": ["b", "gone"]}, d={})
    assert newest(chain, REPLACES) == "cd"
    assert newest(chain, REPLACES, among="abd") == "bd"
    assert newest(chain, REPLACES, among="acd") == "cd"  # over one that does not pass
    assert newest(chain, REPLACES, among="ad") == "ad"
    assert newest(chain, REPLACES, among="") == ""


def test_the_latest_of_a_key_stays_and_of_equal_dates_all() -> None:
    dated = documents(
        a={"key": "k", "released": "2020-01-01"},
        b={"key": "k", "released": "2024-05-01"},
        c={"key": "k", "released": "2024-05-01"},
        d={"key": "other", "released": "2019-01-01"},
        e={"key": "k"},
        f={"key": "k", "released": "May 2024"},
        g={"released": "2019-01-01"},
        h={"key": 1, "released": "2019-01-01"},
        i={"key": "1", "released": "2020-01-01"},
    )
    assert newest(dated, DATED) == "bcdefghi"
    assert newest(dated, DATED, among="ad") == "ad"


def test_times_compare_as_such_and_with_a_day_by_their_days() -> None:
    dated = documents(
        a={"key": "k", "released": "2024-05-01T10:00"},
        b={"key": "k", "released": "2024-05-01T14:00+01:00"},
        c={"key": "k", "released": "2024-05-01"},
    )
    assert newest(dated, DATED) == "bc"
    later = [*dated, *documents(d={"key": "k", "released": "2024-05-02"})]
    assert newest(later, DATED) == "d"
    assert newest([*later, *documents(e={"key": "k", "released": "2024-05-02T00:00"})], DATED) == "de"


def test_documents_in_a_ring_do_not_replace_one_another_and_are_named(caplog: pytest.LogCaptureFixture) -> None:
    ring = documents(
        a={"replaces": "c"}, b={"replaces": "a"}, c={"replaces": "b"}, d={"replaces": "d"}, e={"replaces": "a"}, f={}
    )
    with caplog.at_level(logging.WARNING):
        assert newest(ring, REPLACES) == "bcdef"
    assert "in a ring" in caplog.text
    assert all(f"'{name}'" in caplog.text for name in "abc")


def test_too_many_rings_are_an_error() -> None:
    pairs = {f"{side}{n}": {"replaces": f"{'ba'[side == 'b']}{n}"} for n in range(101) for side in "ab"}
    with pytest.raises(SpecError, match="over 100 rings"):
        VersionTable(documents(**pairs), REPLACES)


@given(
    edges=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda pair: pair[0] < pair[1]), max_size=14),
    passing=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_what_is_left_is_what_following_every_way_leaves(edges: list[tuple[int, int]], passing: list[bool]) -> None:
    replaced: dict[int, list[str]] = {}
    for older, newer in edges:
        replaced.setdefault(newer, []).append(f"d{older}")
    table = VersionTable(documents(**{f"d{n}": {"replaces": replaced.get(n, [])} for n in range(8)}), REPLACES)

    def reached(number: int) -> set[int]:
        nearer = {newer for older, newer in edges if older == number}
        return nearer.union(*map(reached, nearer))

    expected = [
        passes and not any(passing[newer] for newer in reached(number)) for number, passes in enumerate(passing)
    ]
    assert table.newest(np.array(passing)).tolist() == expected


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("latest", "takes all, newest"),
        ({}, "name replaces, or key and date"),
        ({"key": "k"}, "stand together"),
        ({"date": "d"}, "stand together"),
        ({"by": "k"}, "no field 'by'"),
        ({"replaces": 3}, "as text"),
        (3, "takes all, newest"),
    ],
)
def test_versions_that_are_none_are_refused(data: Any, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        read_versions(data)


# --- on an index ---


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("versions")
    anybody, ann = {"public": True}, {"tenant": "north", "owner": "ann"}
    records = [
        {"_id": "v1", "key": "leave", "released": "2020-01-01", "acl": anybody},
        {"_id": "v2", "key": "leave", "released": "2022-01-01", "replaces": "v1", "acl": anybody},
        {"_id": "v3", "key": "leave", "released": "2024-01-01", "replaces": "v2", "acl": ann},
        {"_id": "w", "acl": anybody},
    ]
    (folder / "c.jsonl").write_text("".join(json.dumps({"text": "paid leave", **each}) + "\n" for each in records))
    settings = IndexSettings.model_validate({"reading": {"access": "acl"}})
    build_index(folder / "c.jsonl", folder / "i", legs=("lexical",), settings=settings)
    return folder / "i"


@pytest.mark.parametrize("versions", ["newest", {"key": "key", "date": "released"}])
def test_a_graph_takes_the_newest_that_passes_the_filter_and_may_be_read(index: Path, versions: Any) -> None:
    best = {"use": "retrieve.bm25", "in": "query", "k": 9, "with": {"versions": versions}}
    ann = Asker(user="ann", tenant="north")
    with load_pipeline({"version": 1, "nodes": {"best": best}, "output": "best"}, index=index) as pipeline:
        assert pipeline.search("paid leave", asker=ann).doc_ids == ("v3", "w")
        assert pipeline.search("paid leave").doc_ids == ("v2", "w")
        until = "not released >= 2021-01-01"
        assert pipeline.search("paid leave", asker=ann, where=until).doc_ids == ("v1", "w")


def test_a_wrong_setting_is_told_when_the_graph_is_checked(index: Path) -> None:
    best = {"use": "retrieve.bm25", "in": "query", "k": 9, "with": {"versions": "latest"}}
    with pytest.raises(SpecError, match="'all' or 'newest'"):
        load_pipeline({"version": 1, "nodes": {"best": best}, "output": "best"}, index=index)


def test_an_index_that_says_nothing_of_versions_warns_once(index: Path, caplog: pytest.LogCaptureFixture) -> None:
    with LocalIndex.open(index) as opened, caplog.at_level(logging.WARNING):
        where = asked_by(Asker(user="ann", tenant="north"), newest_of({"replaces": "nothing"}))
        assert len(opened.rows(where)) == len(opened.rows(where)) == 4
    assert caplog.text.count("so all are the newest") == 1
