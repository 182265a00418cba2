"""An index in a directory: documents and legs, each loaded when it is first asked for and only once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from operator import and_
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from rag.core.access import NOBODY
from rag.core.errors import IndexMismatch, IndexProblem
from rag.core.filters import Filter, parse_where, parted
from rag.core.memory import Need
from rag.core.progress import Progress, silent
from rag.core.types import Where
from retrievers.index.access import CODES, KEPT_BYTES, LABELS, AccessTable
from retrievers.index.digests import CheckedFiles
from retrievers.index.documents import TABLES, StoredDocuments
from retrievers.index.filters import MetadataFilter
from retrievers.index.generations import Held, hold_current, newest_stamp
from retrievers.index.manifest import Manifest, read_manifest
from retrievers.index.matching import missing_leg, require_match
from retrievers.index.parts import Part, Parts
from retrievers.index.settings import IndexSettings, leg_kind
from retrievers.index.sources import SOURCES
from retrievers.index.versions import VersionTable
from retrievers.legs.protocol import Leg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from retrievers.index.near_duplicates import NearDuplicates

Opened = TypeVar("Opened")


class LocalIndex:
    """One generation of an index directory, kept as it was opened whatever is built meanwhile.

    Everything is built from the manifest, nothing from configuration. Safe to share between threads. `close` lets a later
    build remove this generation; what is loaded stays usable. `stored`: the parts that its documents and legs lie in, most
    often one.
    """

    def __init__(self, path: Path, held: Held, manifest: Manifest, files: CheckedFiles, parts: Parts) -> None:
        self.path, self.manifest, self.stored = path, manifest, parts
        self._held, self._files = held, files
        self._opened: dict[str, Any] = {}
        self._legs: dict[str, Leg] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._last_mask: tuple[Filter | None, NDArray[np.bool_] | None] | None = None

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The current generation of the index directory `path`.

        Raises:
            IndexProblem: absent, damaged or of a newer format.
        """
        path = Path(path)
        held = hold_current(path)
        try:
            manifest = read_manifest(held.folder, name=str(path), sha256=held.sha256)
            if not manifest.parts:
                part = Part.of(held.folder, manifest, index=str(path), known=(*TABLES, SOURCES))
                return cls(path, held, manifest, part.files, Parts([part], [None]))
            files = CheckedFiles(held.folder, manifest.files, name=str(path), known=(SOURCES,))
            parts = Parts.listed(path, held.folder, manifest.parts, files, index=str(path))
            if len(parts.rows) != manifest.corpus.n_units:
                raise IndexProblem(
                    f"index '{path}' is damaged: {len(parts.rows):,} documents in its parts, "
                    f"{manifest.corpus.n_units:,} by its manifest. Build the index again: rag index --index {path}"
                )
            return cls(path, held, manifest, files, parts)
        except BaseException:
            held.close()
            raise

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    @property
    def address(self) -> str:
        """Its absolute path."""
        return str(self.path.absolute())

    @property
    def identity(self) -> str:
        """See `Manifest.identity`."""
        return self.manifest.identity

    @property
    def generation(self) -> str:
        """The generation that is open: its name and the digest of its manifest."""
        return self._held.stamp

    def newest(self) -> str:
        """The generation that whoever opens the directory now would get. Reads a line.

        Raises:
            IndexProblem: there is none any more.
        """
        return newest_stamp(self.path)

    @property
    def legs(self) -> tuple[str, ...]:
        """Names of its legs, in the order of building."""
        return tuple(self.manifest.legs)

    def file(self, name: str) -> Path:
        """Where a file of this generation is, once its content is known to be as it was written."""
        self._files.require(name)
        return self._held.folder / name

    @property
    def documents(self) -> StoredDocuments:
        """All units, by row."""
        return self._once("documents", lambda: self.stored.documents)

    def leg(self, name: str) -> Any:
        """A leg, opened once.

        Raises:
            IndexMismatch: the index has none of this name.
        """

        def open_leg() -> Leg:
            self._legs[name] = self.stored.leg(name, self.facts(name), self.mask)
            return self._legs[name]

        return self._once(f"leg {name}", open_leg)

    @property
    def near_duplicates(self) -> NearDuplicates:
        """Which units say nearly the same. An index from before this was kept has none until it is built again."""
        return self._once("near-duplicates", lambda: self.stored.near_duplicates(self.documents))

    def facts(self, leg: str) -> Mapping[str, Any]:
        """What the leg was built with.

        Raises:
            IndexMismatch: the index has none of this name.
        """
        facts = self.manifest.legs.get(leg)
        if facts is None:
            raise IndexMismatch(f"index '{self.path}': {missing_leg(self.manifest, leg)}")
        return facts

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of content that documents hold beside text."""
        return frozenset(self.manifest.corpus.kinds)

    @property
    def access(self) -> AccessTable | None:
        """Who may read what; None where documents carry no labels."""
        return self._once("access", self._read_access) if self.labelled else None

    @property
    def labelled(self) -> bool:
        """Whether documents say who may read them. One that lacks what it says it has shows nothing."""
        files = self.manifest.files
        return self.manifest.settings.reading.access is not None or LABELS in files or CODES in files

    def _read_access(self) -> AccessTable:
        table = AccessTable.read(self.file(LABELS), self.file(CODES))
        if len(table.codes) != len(self):
            raise IndexProblem(f"index '{self.name}' has labels for {len(table.codes):,} of {len(self):,} passages")
        return table

    def mask(self, where: Where | None) -> NDArray[np.bool_] | None:
        """bool [n]: rows that a filter lets through; None where all pass (see `MetadataFilter`). Not to be changed.

        Where documents carry labels, a filter that does not say who asks passes what is public.
        The last one is kept: the legs that serve a query ask for the same filter one after the other.
        """
        tree, kept = parse_where(where), self._last_mask
        if kept is None or kept[0] != tree:
            kept = self._last_mask = tree, self._passing(tree)
        return kept[1]

    def _passing(self, tree: Filter | None) -> NDArray[np.bool_] | None:
        asked, access = parted(tree), self.access
        readable = None if access is None else reduce(and_, map(access.readable, asked.askers or (NOBODY,)))
        mask = self._filter.mask(asked.where, among=readable)
        mask = mask if readable is None else readable if mask is None else mask & readable
        tables = [self._once(f"versions {each}", partial(VersionTable, self.documents, each)) for each in asked.newest]
        return reduce(and_, (table.newest(mask) for table in tables)) if tables else mask

    def rows_of_all(self, where: Where) -> NDArray[np.int64]:
        """Rows that pass a filter of metadata, ascending, whoever may read them: for who keeps the index, not for who asks.

        Raises:
            SpecError: the filter names something that no document has.
        """
        return self._rows_in(self._filter.mask(where))

    def rows(self, where: Where | None) -> NDArray[np.int64]:
        """Rows that pass a filter, ascending."""
        return self._rows_in(self.mask(where))

    def _rows_in(self, mask: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        import numpy as np

        return np.arange(len(self)) if mask is None else np.flatnonzero(mask)

    @property
    def _filter(self) -> MetadataFilter:
        return self._once("filter", lambda: MetadataFilter(self.documents))

    def check(self, settings: IndexSettings, legs: Sequence[str]) -> None:
        """Return if this index may serve a graph with these `settings` and `legs` (see `require_match`)."""
        require_match(self.manifest, settings, legs, name=self.name)

    def verify(self, *, progress: Progress = silent) -> None:
        """Compare every file with its digest, whatever the size of the index.

        Raises:
            IndexProblem: lists all files that differ.
        """
        self._files.verify(progress=progress)
        if self.manifest.parts:
            self.stored.verify(progress=progress)

    def health(self, leg: str) -> list[str]:
        """Sentences on what a leg needs beside its files, where that is here."""
        return leg_kind(leg).health(self.leg(leg))

    def memory(self, legs: Sequence[str]) -> list[Need]:
        """What searching these legs takes. Loads nothing.

        Raises:
            MissingModel: the encoder is not here yet.
        """
        needs = [Need(what="documents", n_bytes=self.stored.n_bytes("documents."), mapped=True)]
        if self.labelled:
            needs.append(Need(what="who may read what", n_bytes=self.stored.n_bytes("access.") + KEPT_BYTES))
        for leg in self.legs:
            if leg in legs:
                needs += leg_kind(leg).memory(self.facts(leg), self.stored.n_bytes(f"{leg}/"))
        return needs

    def model_names(self, legs: Sequence[str]) -> list[tuple[str, str | None]]:
        """Name and revision of the models that queries on these legs need."""
        return [model for leg in self.legs if leg in legs for model in leg_kind(leg).model_names(self.facts(leg))]

    def release(self) -> None:
        """Let go of the legs' weights; the next query loads them again."""
        for leg in list(self._legs.values()):
            leg.release()

    def close(self) -> None:
        """Let a later build remove this generation. Parts that are not loaded yet may be gone then."""
        self._held.close()

    def __len__(self) -> int:
        return self.manifest.corpus.n_units

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Index '{self.path}': {len(self):,} units, {' and '.join(self.legs)}>"

    def _once(self, name: str, make: Callable[[], Opened]) -> Opened:
        with self._locks.setdefault(name, threading.Lock()):
            if name not in self._opened:
                self._opened[name] = make()
            return cast(Opened, self._opened[name])
