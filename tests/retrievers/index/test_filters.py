from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.errors import SpecError
from rag.core.types import Document
from retrievers.index.documents import Documents
from retrievers.index.filters import MetadataFilter
from retrievers.index.writer import DocumentsWriter

METADATA: list[dict[str, Any]] = [
    {"group": "a", "year": 2019},
    {"group": "b", "year": 2020, "tags": ["x", "y"]},
    {"group": "a", "year": 2020, "tags": []},
    {"year": "2020", "tags": ["y"], "draft": True},
    {},
]


def filter_over(folder: Path, metadata: list[dict[str, Any]]) -> MetadataFilter:
    with DocumentsWriter(folder) as writer:
        for row, each in enumerate(metadata):
            writer.add(Document(doc_id=str(row), text="", metadata=each))
    return MetadataFilter(Documents(folder))


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ({"group": "a"}, [0, 2]),
        ({"group": ("a", "b")}, [0, 1, 2]),
        ({"group": ["b", "unheard of"]}, [1]),
        ({"group": "a", "year": 2020}, [2]),
        ({"year": 2020.0}, [1, 2]),
        ({"year": "2020"}, [3]),
        ({"tags": "y"}, [1, 3]),
        ({"tags": ("x", "y")}, [1, 3]),
        ({"draft": True}, [3]),
        ({"draft": 1}, []),
        ({"group": ()}, []),
        ({"group": None}, []),
    ],
)
def test_a_filter_lets_equal_values_through(tmp_path: Path, where: dict[str, Any], rows: list[int]) -> None:
    mask = filter_over(tmp_path, METADATA).mask(where)
    assert mask is not None
    assert [row for row, passes in enumerate(mask) if passes] == rows


def test_no_filter_is_no_mask(tmp_path: Path) -> None:
    filters = filter_over(tmp_path, METADATA)
    assert filters.mask(None) is None
    assert filters.mask({}) is None


def test_an_unknown_key_lists_the_known_ones_each_time(tmp_path: Path) -> None:
    filters = filter_over(tmp_path, METADATA)
    for _ in range(2):
        with pytest.raises(
            SpecError,
            match=r"no document has metadata 'yaer'. Did you mean 'year'. Known: draft, group, tags, year",
        ):
            filters.mask({"yaer": 2020, "group": "a"})
    assert filters.mask({"group": "b"}) is not None


def test_many_long_unknown_keys_get_few_and_short_lines(tmp_path: Path) -> None:
    wanted = {f"{number:02d}{'k' * 10_000}": 1 for number in range(32)}
    with pytest.raises(SpecError) as refused:
        filter_over(tmp_path, METADATA).mask(wanted)
    *named, more = refused.value.problems
    assert [line.split("'")[1] for line in named] == [f"{number:02d}{'k' * 78}" for number in range(3)]
    assert more == "no document has metadata under 29 more of these keys"


def test_documents_without_metadata_know_no_key(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="Known: none"):
        filter_over(tmp_path, [{}, {}]).mask({"group": "a"})


class Counting(Documents):
    """Counts how often all documents are read."""

    n_read = 0

    def __iter__(self) -> Iterator[Document]:
        self.n_read += 1
        return super().__iter__()


def test_a_key_that_only_others_have_is_read_no_more_often_than_one_that_nobody_has(tmp_path: Path) -> None:
    """Else the time that the answer takes tells of it."""
    filter_over(tmp_path, [{"year": 1}, {"secret": 1, "year": 2}, {"year": 3}, {"secret": 2}])
    mine, theirs = np.array([True, False, True, False]), np.array([False, True, False, True])
    for first in ("secret", "nothing", "year"):
        documents = Counting(tmp_path)
        filters = MetadataFilter(documents, np.array([0, 1, 0, 1], dtype=np.int32))
        for key in (first, "secret", "nothing", "secret"):
            before = documents.n_read
            with suppress(SpecError):
                filters.mask({key: 1}, among=mine)
            assert documents.n_read == before + (0 if before else 1 + (key == "year"))
    mask = filters.mask({"secret": [1, 2]}, among=theirs)
    assert mask is not None
    assert mask.tolist() == [False, True, False, True]
    with pytest.raises(SpecError, match="no document has metadata 'secret'"):
        filters.mask({"secret": 1}, among=mine)


@given(
    st.lists(st.dictionaries(st.sampled_from("ab"), st.integers(0, 2) | st.sampled_from("01")), min_size=1),
    st.dictionaries(st.sampled_from("ab"), st.lists(st.integers(0, 2) | st.sampled_from("01")), min_size=1),
)
def test_a_mask_equals_looking_at_every_document(
    tmp_path_factory: pytest.TempPathFactory, metadata: list[dict[str, Any]], where: dict[str, list[Any]]
) -> None:
    known = {key for each in metadata for key in each}
    filters = filter_over(tmp_path_factory.mktemp("filters"), metadata)
    if not known.issuperset(where):
        with pytest.raises(SpecError):
            filters.mask(where)
        return
    mask = filters.mask(where)
    assert mask is not None
    assert mask.tolist() == [
        all(key in each and each[key] in values for key, values in where.items()) for each in metadata
    ]
