"""Arrays in .npy files: what numpy writes is read as numpy reads it, without its reader of headers."""

from __future__ import annotations

import ast
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rag.core.errors import IndexProblem
from rag.core.types import Document, Query
from retrievers.index.directory import LocalIndex
from retrievers.legs.lexical.retriever import BM25Retriever
from retrievers.stores.arrays import load_array, map_npy, read_npy
from tests.small_index import small_index

KINDS = st.sampled_from(
    [np.float16, np.float32, np.float64, np.int8, np.uint8, np.int32, np.int64, np.uint64, np.bool_]
)
ANY = KINDS.flatmap(
    lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
)


@given(ANY, st.booleans())
def test_it_is_what_numpy_reads(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray[Any, Any], turned: bool
) -> None:
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(path, array.T if turned else array)
    for read in (map_npy(path), read_npy(io.BytesIO(path.read_bytes()))):
        np.testing.assert_array_equal(read, np.load(path))
        assert (read.dtype, read.shape, read.flags.writeable) == (
            np.load(path).dtype,
            np.load(path).shape,
            read.size == 0 and read.flags.writeable,
        )


def no_file_is_this(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(IndexProblem, match=r"'.*a\.npy' cannot be read: .* Build the index again"):
        load_array(path)


def test_a_file_that_is_none_or_cut_off_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(100))
    whole = (tmp_path / "a.npy").read_bytes()
    for end in (0, 5, 9, 40, len(whole) - 1):
        no_file_is_this(tmp_path / "a.npy", whole[:end])
    no_file_is_this(tmp_path / "a.npy", whole.replace(b"'<i8'", b"'|O1'"))
    no_file_is_this(tmp_path / "a.npy", whole.replace(b"(100,)", b"(1e9,)"))
    no_file_is_this(tmp_path / "a.npy", b"# a text, and no array at all")


def test_an_index_is_opened_without_pythons_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several threads at once the parser of Python 3.11 fails now and then, by a count that threads share."""
    place = small_index(
        tmp_path, [Document(doc_id="a", title="A", text="red apple"), Document(doc_id="b", text="pear")]
    )

    def fails(*_: Any, **__: Any) -> Any:
        raise SystemError("AST constructor recursion depth mismatch")

    monkeypatch.setattr(ast, "literal_eval", fails)
    monkeypatch.setattr(ast, "parse", fails)
    with LocalIndex.open(place) as index:
        [ranking] = BM25Retriever(index=index).retrieve([Query(qid="q", text="apple")], k=3)
    assert len(ranking.hits) == 1
