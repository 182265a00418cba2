"""Several indexes searched as one: their documents one after the other, their legs merged by score."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from rag.core.digests import data_sha256
from rag.core.errors import IndexMismatch, IndexProblem, SpecError
from rag.core.memory import Need
from rag.core.progress import Progress, silent
from rag.core.types import Document, Population, Where
from retrievers.analysis.multilingual import differ, together
from retrievers.index.contents import JoinedContents, contents_of
from retrievers.index.settings import leg_kind
from retrievers.index_protocol import ContentStore, DocumentTable, Index, Sections, counting, is_labelled, kinds_held
from retrievers.legs.protocol import MADE_BY
from retrievers.stores.hits import Found, merged
from retrievers.stores.population import merged_population

SCHEME = "joined"

Part = TypeVar("Part")


def joined_address(addresses: Sequence[str | Path]) -> str:
    """One address for several indexes.

    >>> joined_address(["a", "b c"])
    'joined://a|b%20c'
    """
    return f"{SCHEME}://" + "|".join(quote(str(address), safe="/:.~_-") for address in addresses)


class JoinedIndex:
    """Indexes that are searched together. Ids of documents begin with the name of their index: `notes/travel/trains.md`.

    Dense scores are what one index of all would give: all have to be of one encoder. BM25's are each index's own, as the
    rarity of a word is that in its index; so indexes of like texts merge well.
    """

    def __init__(self, parts: Sequence[Index]) -> None:
        if len(parts) < 2:
            raise IndexProblem(f"to be searched together, indexes have to be two or more, got {len(parts)}")
        self._parts = tuple(parts)
        self._names = _names([part.name for part in parts])
        self._starts = [0, *np.cumsum([len(part) for part in parts]).tolist()]
        self.documents = JoinedDocuments([part.documents for part in parts], self._names, self._starts)

    @classmethod
    def open(cls, address: str | Path) -> Self:
        """The indexes of an address of `joined_address`.

        Raises:
            IndexProblem: one of them is absent, damaged or of a newer format.
        """
        from retrievers.index.opening import open_index

        opened: list[Index] = []
        try:
            for each in str(address).removeprefix(f"{SCHEME}://").split("|"):
                opened.append(open_index(unquote(each)))
            return cls(opened)
        except BaseException:
            for index in opened:
                index.close()
            raise

    @property
    def name(self) -> str:
        """Names of the parts."""
        return " and ".join(part.name for part in self._parts)

    @property
    def parts(self) -> dict[str, Index]:
        """The indexes in their order, by what they are called in ids."""
        return dict(zip(self._names, self._parts, strict=True))

    @property
    def address(self) -> str:
        """Where any process opens the same."""
        return joined_address([part.address for part in self._parts])

    @property
    def identity(self) -> str:
        """Of all parts, and of their names, as these are in the ids."""
        return data_sha256([[name, part.identity] for name, part in zip(self._names, self._parts, strict=True)])

    @property
    def legs(self) -> tuple[str, ...]:
        """Those that all parts have."""
        return tuple(leg for leg in self._parts[0].legs if all(leg in part.legs for part in self._parts))

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of content that some part holds beside text."""
        return frozenset().union(*map(kinds_held, self._parts))

    @property
    def contents(self) -> ContentStore:
        """What the parts keep of contents."""
        return JoinedContents([contents_of(part) for part in self._parts], lambda part, row: self._starts[part] + row)

    @property
    def labelled(self) -> bool:
        """Whether documents of some part say who may read them."""
        return any(map(is_labelled, self._parts))

    def leg(self, name: str) -> JoinedLeg:
        """A leg of all parts.

        Raises:
            IndexMismatch: a part has none of this name, or has one that was made otherwise; or such legs cannot be merged.
        """
        if not leg_kind(name, self.facts(name)).joins:
            raise IndexMismatch(f"a {name} leg cannot be searched over several indexes: name one index")
        return JoinedLeg([part.leg(name) for part in self._parts], self._starts)

    def facts(self, leg: str) -> Mapping[str, Any]:
        """What the leg of the first part was built with.

        Raises:
            IndexMismatch: a part has none of this name, or one whose model or analyzer is another.
        """
        first, *others = (part.facts(leg) for part in self._parts)
        for part, facts in zip(self._parts[1:], others, strict=True):
            other_model = facts.get(MADE_BY) != first.get(MADE_BY)
            other_terms = differ(first.get("analyzer") or {}, facts.get("analyzer") or {})
            for key, is_other in ((MADE_BY, other_model), ("analyzer", other_terms)):
                if is_other:
                    raise IndexMismatch(
                        f"indexes '{self._parts[0].name}' and '{part.name}' cannot be searched together: the {key} of "
                        f"their {leg} leg is not the same. Build one of them again with the settings of the other"
                    )
        return first

    def rows(self, where: Where | None) -> NDArray[np.int64]:
        """Rows of all parts that pass a filter. A part without the key that it names has none.

        Raises:
            SpecError: no part has that key.
        """
        found = _by_those_who_can(self._parts, lambda part: part.rows(where))
        kept = [rows + start for rows, start in zip(found, self._starts, strict=False) if rows is not None]
        return np.concatenate(kept)

    def counts(
        self, keys: Sequence[str], rows: NDArray[np.integer[Any]], where: Where | None = None
    ) -> dict[str, dict[str, int]]:
        """Key -> name of a value -> documents of all parts. A part without a key has no such documents.

        Raises:
            SpecError: no part has one of the keys, or a part cannot count.
        """
        own = [rows[(rows >= first) & (rows < last)] - first for first, last in pairwise(self._starts)]
        counts = {}
        for key in keys:
            asked = partial(_counts_of, key=key, where=where)
            found = _by_those_who_can([*zip(self._parts, own, strict=True)], asked)
            counts[key] = dict(sum((Counter(each) for each in found if each is not None), Counter[str]()))
        return counts

    def check(self, settings: Sections, legs: Sequence[str]) -> None:
        """Return if every part may serve a graph with these settings and legs, and all together.

        Raises:
            IndexMismatch: names both sides of every difference.
        """
        for part in self._parts:
            part.check(settings, legs)
        for leg in legs:
            self.facts(leg)

    def verify(self, *, progress: Progress = silent) -> None:
        """Compare every file of every part with its digest."""
        for part in self._parts:
            part.verify(progress=progress)

    def health(self, leg: str) -> list[str]:
        """Of the first part: the others ask the same models."""
        return self._parts[0].health(leg)

    def memory(self, legs: Sequence[str]) -> list[Need]:
        """Files of all parts, and models once: the first part's are used for all."""
        needs = list(self._parts[0].memory(legs))
        return needs + [need for part in self._parts[1:] for need in part.memory(legs) if need.mapped]

    def model_names(self, legs: Sequence[str]) -> list[tuple[str, str | None]]:
        """Name and revision of the models that queries on these legs need."""
        return self._parts[0].model_names(legs)

    def release(self) -> None:
        """Let go of the legs' weights; the next query loads them again."""
        for part in self._parts:
            part.release()

    def close(self) -> None:
        """No more legs are opened; what is loaded stays usable."""
        for part in self._parts:
            part.close()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class JoinedDocuments(DocumentTable):
    """Documents of all parts by row, each under the name of its index."""

    def __init__(self, parts: Sequence[DocumentTable], names: Sequence[str], starts: Sequence[int]) -> None:
        self._parts, self._names, self._starts = parts, names, starts

    def __len__(self) -> int:
        return self._starts[-1]

    def at(self, row: int) -> Document:
        """The document of a row that is known to be there, counted from the beginning."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return _named(self._parts[number].at(row - self._starts[number]), self._names[number])

    def __iter__(self) -> Iterator[Document]:
        return (_named(each, name) for part, name in zip(self._parts, self._names, strict=True) for each in part)

    def rows_many(self, doc_ids: Sequence[str]) -> list[int]:
        """Rows of documents, in the order given.

        Raises:
            KeyError: no such doc_id.
        """
        rows = np.zeros(len(doc_ids), dtype=np.int64)
        numbers = np.array([self._number(doc_id) for doc_id in doc_ids], dtype=np.int64)
        for number in set(numbers.tolist()):
            places = np.flatnonzero(numbers == number)
            own = [doc_ids[place].partition("/")[2] for place in places.tolist()]
            try:
                rows[places] = np.array(self._parts[number].rows_many(own)) + self._starts[number]
            except KeyError as error:
                raise KeyError(f"{self._names[number]}/{error.args[0]}") from None
        found: list[int] = rows.tolist()
        return found

    def _number(self, doc_id: str) -> int:
        """The part that a document is of, by its doc_id."""
        name = doc_id.partition("/")[0]
        if name not in self._names:
            raise KeyError(doc_id)
        return self._names.index(name)


class JoinedLeg:
    """A leg of all parts. What belongs to its model or analyzer is that of the first: they are the same."""

    def __init__(self, parts: Sequence[Any], starts: Sequence[int]) -> None:
        self._parts, self._starts = parts, starts

    @property
    def encoder(self) -> Any:
        """What made the vectors of all parts."""
        return self._parts[0].encoder

    @property
    def analyzer(self) -> Any:
        """Text -> terms, as all parts were built; in every language of all, where each document is in its own."""
        return together(part.analyzer for part in self._parts)

    @property
    def n_docs(self) -> int:
        """How many documents all parts have."""
        return sum(part.n_docs for part in self._parts)

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return int(self._parts[0].dim)

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __contains__(self, term: object) -> bool:
        return any(term in part for part in self._parts)

    def n_docs_of(self, term: str, *, where: Where | None = None) -> int:
        """How many documents of all parts might have the term."""
        return sum(part.n_docs_of(term, where=where) for part in self._parts)

    def document_frequency(self, term: str, *, where: Where | None = None) -> int:
        """How many documents of all parts have the term."""
        return sum(part.document_frequency(term, where=where) for part in self._parts)

    def knows(self, term: str, *, where: Where | None = None) -> bool:
        """Whether whoever asks may read a document of some part that has the term."""
        return any(part.knows(term, where=where) for part in self._parts)

    def words_like(self, term: str, *, least: int) -> list[Any]:
        """Words that begin as a term does, of each part that can tell them."""
        shared = least // len(self._parts)
        return [words for part in self._parts for words in part.words_like(term, least=shared)]

    def search(self, queries: Any, *, k: int, where: Where | None = None, **more: Any) -> Found:
        """The best k of all parts, by score, ties by row ascending."""
        hits = _by_those_who_can(self._parts, lambda part: part.search(queries, k=k, where=where, **more))
        found = [
            (np.where(each[0] >= 0, each[0] + start, -1), each[1])
            for each, start in zip(hits, self._starts, strict=False)
            if each is not None
        ]
        return merged(found, k=k)

    def impacts(self, query: Mapping[str, float], row: int, *, where: Where | None = None) -> list[Any]:
        """What terms add to a row's score, by the part that has it."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        found: list[Any] = self._parts[number].impacts(query, row - self._starts[number], where=where)
        return found

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """float32 [len(rows), dim]: the vectors of these rows."""
        vectors = np.zeros((len(rows), self.dim), np.float32)
        for part, mine, own in self._split(rows):
            vectors[mine] = part.vectors(own)
        return vectors

    def scores(self, query: Any, rows: NDArray[np.integer[Any]], *, where: Where | None = None) -> NDArray[np.float32]:
        """float32 [len(rows)]: scores of these rows, each by the part that has it."""
        scores = np.zeros(len(rows), np.float32)
        for part, mine, own in self._split(rows):
            scores[mine] = part.scores(query, own, where=where)
        return scores

    def population(self, query: Any, *, where: Where | None = None) -> Population | None:
        """What scores come to over all documents of all parts; None where a part cannot tell."""
        told = [part.population(query, where=where) for part in self._parts]
        known = [each for each in told if each is not None]
        return merged_population(known) if len(known) == len(told) else None

    def _split(
        self, rows: NDArray[np.integer[Any]]
    ) -> Iterator[tuple[Any, NDArray[np.bool_], NDArray[np.integer[Any]]]]:
        """Each part, which of these rows it has, and their numbers there."""
        rows = np.asarray(rows)
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        for number, part in enumerate(self._parts):
            mine = numbers == number
            if mine.any():
                yield part, mine, rows[mine] - self._starts[number]

    def warm_up(self) -> None:
        """Load what the first query would load."""
        self._parts[0].warm_up()

    def release(self) -> None:
        """Let go of weights."""
        for part in self._parts:
            part.release()


def _counts_of(part: tuple[Index, NDArray[np.integer[Any]]], *, key: str, where: Where | None) -> Mapping[str, int]:
    index, rows = part
    return counting(index).counts([key], rows, where)[key]


def _by_those_who_can(parts: Sequence[Any], ask: Callable[[Any], Part]) -> list[Part | None]:
    """What each part says; None of one whose documents have not what a filter names.

    Raises:
        SpecError: of none of them have it.
    """
    answers: list[Part | None] = []
    refusal: SpecError | None = None
    for part in parts:
        try:
            answers.append(ask(part))
        except SpecError as error:
            answers.append(None)
            refusal = error
    if refusal is not None and all(answer is None for answer in answers):
        raise refusal
    return answers


def _names(names: Sequence[str]) -> list[str]:
    """What parts are called in ids: the last part of their path, distinct."""
    taken: list[str] = []
    for name in names:
        own = re.sub(r"[/\\\s]+", "-", Path(name).name) or "index"
        n, called = 1, own
        while called in taken:
            n += 1
            called = f"{own}~{n}"
        taken.append(called)
    return taken


def _named(document: Document, index: str) -> Document:
    """A document under the name of its index. Its other metadata stay what filters ask for."""
    own = {"index_name": index}
    if "parent" in document.metadata:
        own["parent"] = f"{index}/{document.parent}"
    return replace(document, doc_id=f"{index}/{document.doc_id}", metadata={**document.metadata, **own})
