"""What an index is made of on disk: one folder that a build wrote, or several that are searched as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from rag.core.progress import Progress, silent
from rag.core.types import Document
from retrievers.index.contents import CONTENTS, NONE, Contents, JoinedContents
from retrievers.index.contents import KEYS as KEPT
from retrievers.index.digests import CheckedFiles
from retrievers.index.documents import TABLES, Documents, StoredDocuments, known_rows
from retrievers.index.generations import PARTS
from retrievers.index.manifest import Manifest, PartFacts, read_manifest
from retrievers.index.near_duplicates import DUPLICATES, KEYS, Keys, NearDuplicates, near_duplicates, read_keys
from retrievers.index.settings import leg_kind
from retrievers.index_protocol import ContentStore
from retrievers.legs.protocol import FIT, Facts, Leg, Mask, Opening, Readable
from retrievers.stores.arrays import load_vector
from retrievers.stores.chain_rows import ChainRows, Rows

REMOVED = "removed"
"""Folder of a generation with the rows of each part that are gone."""


@dataclass(frozen=True, slots=True)
class Part:
    """A folder with documents, legs and a manifest, which never changes. `index`: what messages call its index."""

    folder: Path
    manifest: Manifest
    files: CheckedFiles
    index: str

    @classmethod
    def open(cls, folder: Path, *, index: str, sha256: str | None = None) -> Part:
        """The part in a folder. `sha256`: of its manifest, where it is known.

        Raises:
            IndexProblem: absent, damaged or of a newer format.
        """
        manifest = read_manifest(folder, name=index, sha256=sha256)
        return cls.of(folder, manifest, index=index)

    @classmethod
    def of(cls, folder: Path, manifest: Manifest, *, index: str, known: Iterable[str] = TABLES) -> Part:
        """The part that a manifest describes, which has to know of these files."""
        return cls(folder, manifest, CheckedFiles(folder, manifest.files, name=index, known=known), index)

    def checked(self, prefix: str) -> Path:
        """Its folder, once every file whose name starts so is known to be as it was written."""
        self.files.require(prefix)
        return self.folder

    @property
    def documents(self) -> Documents:
        """Its units, opened each time they are asked for."""
        documents = Documents(self.checked("documents."))
        if len(documents) != self.manifest.corpus.n_units:
            raise IndexProblem(
                f"index '{self.index}' is damaged: {len(documents):,} documents, {self.manifest.corpus.n_units:,} by its "
                f"manifest. Build the index again: rag index --index {self.index}"
            )
        return documents

    @property
    def contents(self) -> ContentStore:
        """What it keeps of contents of its units."""
        return Contents(self.checked(CONTENTS)) if KEPT in self.manifest.files else NONE

    def leg(self, name: str) -> tuple[Path, Facts]:
        """Folder and facts of a leg."""
        return self.checked(f"{name}/") / name, self.manifest.legs[name]


class Parts:
    """The parts of an index in the order of their rows, and which rows are left.

    One part of which nothing is gone is read as it was built. Several are searched as one, exactly.
    """

    def __init__(self, parts: Sequence[Part], removed: Sequence[Rows | None]) -> None:
        self.parts = tuple(parts)
        self.rows = ChainRows([part.manifest.corpus.n_units for part in parts], removed)

    @classmethod
    def listed(cls, home: Path, folder: Path, facts: Sequence[PartFacts], files: CheckedFiles, *, index: str) -> Parts:
        """Those that the manifest in `folder` lists.

        Raises:
            IndexProblem: one is absent, damaged, or not what the list says.
        """
        parts, removed = [], list[Rows | None]()
        for place, each in enumerate(facts):
            parts.append(Part.open(home / PARTS / each.name, index=index, sha256=each.sha256))
            gone = None
            if each.n_removed:
                name = removed_file(place)
                files.require(name)
                gone = load_vector(folder / name, np.int32)
                _require_removed(gone, each, parts[-1].manifest.corpus.n_units, index=index)
            removed.append(gone)
        return cls(parts, removed)

    @property
    def whole(self) -> bool:
        """Whether it is one part, and all of it is left."""
        return len(self.parts) == 1 and self.rows.removed[0] is None

    @property
    def documents(self) -> StoredDocuments:
        """All units that are left, opened each time they are asked for."""
        if self.whole:
            return self.parts[0].documents
        return ChainedDocuments([part.documents for part in self.parts], self.rows)

    @property
    def contents(self) -> ContentStore:
        """What the parts keep of contents, opened each time it is asked for."""
        if self.whole:
            return self.parts[0].contents
        rows = self.rows
        return JoinedContents(
            [part.contents for part in self.parts], lambda part, own: int(rows.rows(part, np.array([own], np.int32))[0])
        )

    def leg(self, name: str, facts: Facts, mask: Mask, readable: Readable | None = None) -> Leg:
        """A leg over all parts, opened. `facts`: of the whole. `readable`: see `Opening`."""
        kind, whole = leg_kind(name, facts), self.whole
        if not whole and (why := kind.why_whole(facts)):
            raise IndexProblem(
                f"index '{self.parts[0].index}' lies in parts, and its {name} leg cannot: {why}. Build the index again with "
                "this version"
            )
        if whole:
            return kind.open(Opening.of(*self.parts[0].leg(name), mask, readable))
        return kind.open(replace(self.opening(name, facts, mask), readable=readable))

    def facts(self, leg: str) -> dict[str, Any]:
        """Facts of a leg over all parts. Rows are those that are left; other counts are what the parts hold together."""
        own = [part.manifest.legs[leg] for part in self.parts]
        facts: dict[str, Any] = {**{name: 0 for each in own for name in each if name.startswith("n_")}, **own[0]}
        for name in facts:
            if name in ("rows", "n_docs"):
                facts[name] = len(self.rows)
            elif name.startswith("n_"):
                facts[name] = sum(each.get(name, 0) for each in own)
            elif name == FIT:
                fits = [each.get(FIT, facts[FIT]) for each in own]
                sizes = [part.manifest.corpus.n_units for part in self.parts]
                facts[name] = round(float(np.average(fits, weights=sizes)), 2)
        return facts

    def opening(self, name: str, facts: Facts, mask: Mask) -> Opening:
        """A leg over all parts, to be opened. `facts`: of the whole."""
        return Opening(parts=[part.leg(name) for part in self.parts], rows=self.rows, facts=facts, mask=mask)

    def keys(self) -> Keys | None:
        """uint32 [n, 16]: what its documents are looked up by among near-duplicates. None: an older part keeps none."""
        if not all(KEYS in part.manifest.files for part in self.parts):
            return None
        return self.rows.joined(
            [read_keys(part.checked(KEYS) / KEYS, n=part.manifest.corpus.n_units) for part in self.parts]
        )

    def near_duplicates(self, documents: StoredDocuments, among: NDArray[np.bool_] | None = None) -> NearDuplicates:
        """Which of its documents say nearly the same. Of one part that was noted; of several it is looked up now.

        Args:
            among: bool [n], the documents that count, as if there were no others; this is looked up now.
        """
        if among is not None or not self.whole:
            rows = None if among is None else np.flatnonzero(among).astype(np.int32)
            return NearDuplicates(near_duplicates(documents, self.keys(), rows))
        [part] = self.parts
        if DUPLICATES not in part.manifest.files:
            return NearDuplicates.none()
        return NearDuplicates.read(part.checked(DUPLICATES) / DUPLICATES)

    def verify(self, *, progress: Progress = silent) -> None:
        """Compare every file of every part with its digest."""
        for part in self.parts:
            part.files.verify(progress=progress)

    def n_bytes(self, prefix: str) -> int:
        """Of all files whose name starts so."""
        files = chain.from_iterable(part.manifest.files.items() for part in self.parts)
        return sum(facts.size_bytes for name, facts in files if name.startswith(prefix))


class ChainedDocuments(StoredDocuments):
    """What is left of the documents of all parts, by row of the whole."""

    def __init__(self, parts: Sequence[Documents], rows: ChainRows) -> None:
        super().__init__()
        self._parts, self._chain = parts, rows

    def __len__(self) -> int:
        return len(self._chain)

    def at(self, row: int) -> Document:
        """The document of a row that is known to be there, counted from the beginning."""
        part, own = self._chain.own(row)
        return self._parts[part].at(own)

    def __iter__(self) -> Iterator[Document]:
        for part, left in zip(self._parts, self._chain.left, strict=True):
            yield from part if left is None else (part.at(int(own)) for own in left)

    def look_up(self, doc_ids: Sequence[str]) -> list[int]:
        """Rows of documents, by the hashes of their ids; one that is gone has none."""
        rows = np.full(len(doc_ids), -1, dtype=np.int32)
        for number, part in enumerate(self._parts):
            places = np.flatnonzero(rows < 0)  # one that is gone from a part may be in a later one, which replaced it
            own = part.find([doc_ids[place] for place in places.tolist()])
            rows[places[own >= 0]] = self._chain.rows(number, own[own >= 0])
        return known_rows(doc_ids, rows)

    def line(self, row: int) -> bytes:
        """The stored line of a row, with its line feed. What it shares it shares with rows of its own document."""
        part, own = self._chain.own(self.within(row))
        return self._parts[part].line(own)


def removed_file(place: int) -> str:
    """Where a generation keeps which rows are gone from the part at a place of its list: int32, ascending."""
    return f"{REMOVED}/{place}.npy"


def _require_removed(rows: NDArray[Any], facts: PartFacts, n: int, *, index: str) -> None:
    fitting = len(rows) == facts.n_removed <= n and rows[0] >= 0 and rows[-1] < n and bool(np.all(np.diff(rows) > 0))
    if not fitting:
        raise IndexProblem(
            f"index '{index}' is damaged: the rows that are gone from {facts.name} do not fit it. "
            f"Build the index again: rag index --index {index}"
        )
