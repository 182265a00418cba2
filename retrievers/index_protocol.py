"""What components know of an index: documents by row, legs by name, filters as they are. Knows no disk.

A row is the number that an index gives a document, good for as long as the index is open.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, Self, overload, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from rag.core.content_forms import IN_WORDS
from rag.core.errors import SpecError
from rag.core.memory import Need
from rag.core.progress import Progress, silent
from rag.core.types import Document, Where


class DocumentTable(Sequence[Document]):
    """All documents of an index, by row. Safe to read from any thread."""

    @overload
    def __getitem__(self, row: int) -> Document: ...
    @overload
    def __getitem__(self, row: slice) -> list[Document]: ...
    def __getitem__(self, row: int | slice) -> Document | list[Document]:
        if isinstance(row, slice):
            return self.many(range(*row.indices(len(self))))
        return self.at(self.within(row))

    @abstractmethod
    def at(self, row: int) -> Document:
        """The document of a row that is known to be there, counted from the beginning."""

    def many(self, rows: Iterable[int]) -> list[Document]:
        """Documents of these rows, in the order given."""
        return [self[int(row)] for row in rows]

    def row(self, doc_id: str) -> int:
        """The row of a document.

        Raises:
            KeyError: no such doc_id.
        """
        return self.rows_many([doc_id])[0]

    @abstractmethod
    def rows_many(self, doc_ids: Sequence[str]) -> list[int]:
        """Rows of documents, in the order given.

        Raises:
            KeyError: no such doc_id.
        """

    def rows_of(self, doc_id: str) -> range:
        """Rows of a document that is cut into passages, or the one row of a passage or of a document that is whole.

        Raises:
            KeyError: no such document or passage.
        """
        with suppress(KeyError):
            row = self.row(doc_id)
            return range(row, row + 1)
        first = last = self.row(f"{doc_id}#1")
        while last + 1 < len(self) and self[last + 1].parent == doc_id:
            last += 1
        return range(first, last + 1)

    def within(self, row: int) -> int:
        """A row that may be counted from the end, from the beginning.

        Raises:
            IndexError: there is no such row.
        """
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of an index with {len(self)} rows")
        return row % len(self)


@runtime_checkable
class HoldsContents(Protocol):
    """An index that says which kinds of content its documents hold beside text. One that does not say so holds text alone."""

    @property
    def kinds(self) -> frozenset[str]: ...


@runtime_checkable
class CarriesLabels(Protocol):
    """An index that knows whether its documents say who may read them. One that does not say so carries no labels."""

    @property
    def labelled(self) -> bool: ...


@runtime_checkable
class CountsValues(Protocol):
    """An index that counts documents by the values of their metadata."""

    def counts(
        self, keys: Sequence[str], rows: NDArray[np.integer[Any]], where: Where | None = None
    ) -> Mapping[str, Mapping[str, int]]:
        """Key -> name of a value (`rag.core.filters.values.name_of`) -> documents of which one of these rows has it.

        Of a document that whoever asks by `where` may not read nothing counts.

        Raises:
            SpecError: no document that they may read has one of the keys.
        """
        ...


@runtime_checkable
class HasParts(Protocol):
    """Several indexes searched as one."""

    @property
    def parts(self) -> Mapping[str, Index]:
        """The indexes in their order, by what they are called in ids."""
        ...


class ContentStore(Protocol):
    """Bytes of contents by their sha256 (hex), each with a small picture of it. Iterates over all of them."""

    def __iter__(self) -> Iterator[str]: ...
    def __contains__(self, sha256: object) -> bool: ...
    def read(self, sha256: str) -> bytes:
        """The bytes, checked. KeyError: none are kept under this."""
        ...

    def thumbnail(self, sha256: str) -> bytes:
        """A small picture as WebP; empty where there is none. KeyError as `read`."""
        ...

    def rows(self, sha256: str) -> list[int]:
        """Rows of the documents that hold it, whoever may read them."""
        ...


@runtime_checkable
class KeepsContents(Protocol):
    """An index that keeps bytes of what its documents hold beside text."""

    @property
    def contents(self) -> ContentStore: ...


def kinds_held(index: object) -> frozenset[str]:
    """The kinds of content that an index holds beside text, and that text does not stand for."""
    kinds = index.kinds if isinstance(index, HoldsContents) else ()
    return frozenset(kind for kind in kinds if kind not in IN_WORDS)


def is_labelled(index: object) -> bool:
    """Whether some documents of an index say who may read them, so that no row is shown unasked."""
    return isinstance(index, CarriesLabels) and index.labelled


def counting(index: Index) -> CountsValues:
    """The index, as one that counts.

    Raises:
        SpecError: it cannot.
    """
    if not isinstance(index, CountsValues):
        raise SpecError(f"index '{index.name}' cannot count values: that is for indexes in directories")
    return index


def let_through(index: Index, rows: Sequence[int], where: Where | None) -> list[int]:
    """Of some rows those that pass a filter, in the order given. The index is asked also without a filter, if it is labelled.

    Raises:
        SpecError: the filter names something that no document has.
    """
    if where is None and not is_labelled(index):
        return list(rows)
    passing = index.rows(where)
    places = np.searchsorted(passing, rows)
    return [
        row for row, place in zip(rows, places.tolist(), strict=True) if place < len(passing) and passing[place] == row
    ]


@runtime_checkable
class HasGenerations(Protocol):
    """An index that is replaced as a whole: it stays as it was opened, and can tell cheaply whether a newer one is there."""

    @property
    def generation(self) -> str:
        """The generation that is open."""
        ...

    def newest(self) -> str:
        """The generation that opening the same address gives now.

        Raises:
            IndexProblem: none.
        """
        ...


class Sections(Protocol):
    """The `index:` section of a graph."""

    def section(self, name: str) -> BaseModel:
        """What a part of it says, defaults filled in."""
        ...

    def says(self, name: str) -> bool:
        """Whether the graph itself has this part."""
        ...


class Index(Protocol):
    """An index, wherever it is. Safe to share between threads."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def address(self) -> str:
        """Where any process opens it; see `open_index`."""
        ...

    @property
    def identity(self) -> str:
        """A hash of what it holds and how it was built."""
        ...

    @property
    def legs(self) -> tuple[str, ...]:
        """Names of its legs."""
        ...

    @property
    def documents(self) -> DocumentTable: ...

    def leg(self, name: str) -> Any:
        """A leg, opened. What its search takes is said beside its kind, such as `retrievers.legs.dense.search`.

        Raises:
            IndexMismatch: the index has none of this name.
        """
        ...

    def facts(self, leg: str) -> Mapping[str, Any]:
        """What the leg was built with.

        Raises:
            IndexMismatch: the index has none of this name.
        """
        ...

    def rows(self, where: Where | None) -> NDArray[np.int64]:
        """Rows that pass a filter, ascending. Where documents carry labels, one that does not say who asks passes public rows.

        Raises:
            SpecError: the filter names something that no document has.
        """
        ...

    def check(self, settings: Sections, legs: Sequence[str]) -> None:
        """Return if this index may serve a graph with these settings and legs.

        Raises:
            IndexMismatch: names both sides of every difference.
        """
        ...

    def verify(self, *, progress: Progress = silent) -> None:
        """Return if all of it is as it was written.

        Raises:
            IndexProblem: lists all that is not.
        """
        ...

    def health(self, leg: str) -> list[str]:
        """Sentences on what a leg needs beside its data, where that is here.

        Raises:
            RagError: it is not.
        """
        ...

    def memory(self, legs: Sequence[str]) -> list[Need]:
        """What searching these legs takes here. Loads nothing.

        Raises:
            MissingModel: a model is not here yet.
        """
        ...

    def model_names(self, legs: Sequence[str]) -> list[tuple[str, str | None]]:
        """Name and revision of the models that queries on these legs need."""
        ...

    def release(self) -> None:
        """Let go of the legs' weights; the next query loads them again."""

    def close(self) -> None:
        """No more legs are opened; what is loaded stays usable."""

    def __len__(self) -> int:
        """How many documents."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
