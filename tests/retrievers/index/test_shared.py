"""Metadata that the units of a document share is stored with the first of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.errors import IndexProblem
from rag.core.types import Document
from retrievers.index.documents import LINES, Documents
from retrievers.index.filters import MetadataFilter
from retrievers.index.writer import DocumentsWriter

LONG = {f"field {i}": f"value {i} " * 20 for i in range(10)}


def units(n: int, *, parent: str = "a", **metadata: Any) -> list[Document]:
    return [
        Document(
            doc_id=f"{parent}#{i}",
            text=f"text {i}",
            metadata={**LONG, **metadata, "parent": parent, "start": i, "headings": [f"h{i}"]},
        )
        for i in range(n)
    ]


def write(folder: Path, documents: Sequence[Document]) -> Documents:
    folder.mkdir(exist_ok=True)
    with DocumentsWriter(folder) as writer:
        for document in documents:
            writer.add(document)
    return Documents(folder)


def shares(documents: Path) -> bool:
    """Whether the lines of an index, copied into another one, need a format that knows shared metadata."""
    before, folder = Documents(documents), documents / "copied"
    folder.mkdir()
    with DocumentsWriter(folder) as writer:
        for row in range(len(before)):
            writer.copy(before[row].doc_id, before.line(row))
    return writer.shares_metadata


def test_it_is_in_the_file_once_a_document(tmp_path: Path) -> None:
    written = [*units(30), *units(30, parent="b", team="blue")]
    documents = write(tmp_path, written)
    assert list(documents) == written
    assert (tmp_path / LINES).read_text().count("value 7 value 7 ") == 2 * 10
    assert shares(tmp_path)


def test_a_unit_alone_and_short_metadata_are_written_as_ever(tmp_path: Path) -> None:
    short = [Document(doc_id=f"s#{i}", text="x", metadata={"source": "s", "parent": "s"}) for i in range(3)]
    apart = [Document(doc_id=f"d{i}", text="x", metadata=LONG) for i in range(3)]
    written = [*short, *units(1), *units(1, parent="b"), *apart]
    write(tmp_path, written)
    lines = [json.loads(line) for line in (tmp_path / LINES).read_text().splitlines()]
    assert [line["metadata"] for line in lines] == [dict(document.metadata) for document in written]
    assert not shares(tmp_path)


@pytest.mark.parametrize("change", [{"field 3": 1}, {"field 3": None}, {"new": [1, True, 1.0]}, {"parent": "c"}, {}])
@pytest.mark.parametrize("without", [(), ("field 1", "start"), tuple(LONG)])
def test_a_unit_that_differs_keeps_what_is_its_own(
    tmp_path: Path, change: Mapping[str, Any], without: Sequence[str]
) -> None:
    first, second, third = units(3)
    metadata = {key: value for key, value in {**second.metadata, **change}.items() if key not in without}
    other = Document(doc_id="a#other", text="", metadata=metadata)
    assert list(write(tmp_path, [first, other, third])) == [first, other, third]


def test_numbers_that_are_equal_but_not_the_same_stay_what_they_are(tmp_path: Path) -> None:
    first, second = units(1, flag=True)[0], units(2, flag=1)[1]
    documents = write(tmp_path, [first, second])
    assert shares(tmp_path)
    assert [type(document.metadata["flag"]) for document in documents] == [bool, int]


_VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2))


@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), _VALUES), min_size=1, max_size=6))
def test_any_metadata_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, each: list[Any]) -> None:
    shared = {**LONG, "nested": {"x": [1]}}
    written = [Document(doc_id=f"p#{i}", text="", metadata={**shared, "parent": "p", **m}) for i, m in enumerate(each)]
    documents = write(tmp_path_factory.mktemp("index"), written)
    assert json.dumps([d.metadata for d in documents], sort_keys=True) == json.dumps(
        [d.metadata for d in written], sort_keys=True
    )


def test_changing_what_one_unit_gives_changes_no_other(tmp_path: Path) -> None:
    documents = write(tmp_path, units(3, tags=["a"]))
    documents[1].metadata["tags"].append("b")
    assert [document.metadata["tags"] for document in documents] == [["a"]] * 3


def test_the_writer_knows_whether_some_line_needs_it(tmp_path: Path) -> None:
    with DocumentsWriter(tmp_path) as writer:
        known = [writer.shares_metadata]
        for unit in units(3):
            writer.add(unit)
            known.append(writer.shares_metadata)
        writer.cut(2)
        known.append(writer.shares_metadata)
        writer.cut(1)
        known.append(writer.shares_metadata)
    assert known == [False, False, True, True, True, False]


def test_filters_see_it(tmp_path: Path) -> None:
    index = MetadataFilter(write(tmp_path, [*units(3), *units(3, parent="b", team="blue")]))
    mask = index.mask({"team": "blue"})
    assert mask is not None
    assert mask.tolist() == [False] * 3 + [True] * 3


def test_lines_that_are_copied_or_follow_a_cut_point_to_their_own(tmp_path: Path) -> None:
    before = write(tmp_path / "before", [*units(2, parent="x"), *units(4)])
    (tmp_path / "after").mkdir()
    with DocumentsWriter(tmp_path / "after") as writer:
        writer.add(units(1)[0])
        writer.cut(0)
        writer.add(units(2)[1])
        for row in range(2, 6):
            writer.copy(before[row].doc_id, before.line(row))
        writer.add(units(6)[5])
    assert list(Documents(tmp_path / "after")) == [units(2)[1], *units(4), units(6)[5]]


@pytest.mark.parametrize("pointer", ["[9]", "[0]", "[-1]", "1", "[]", "[true]", '["a"]', "[1]"])
def test_a_damaged_pointer_is_said_so(tmp_path: Path, pointer: str) -> None:
    write(tmp_path, units(3))
    text = (tmp_path / LINES).read_text()
    lines = text.splitlines(keepends=True)
    damaged = [lines[0], lines[1], lines[2].replace('"shared":[2]', f'"shared":{pointer}')]
    (tmp_path / LINES).write_text("".join(damaged))
    import numpy as np

    from retrievers.index.documents import OFFSETS

    np.save(tmp_path / OFFSETS, np.cumsum([0, *map(len, damaged)]))
    with pytest.raises(IndexProblem, match="row 2 is no document"):
        Documents(tmp_path)[2]
