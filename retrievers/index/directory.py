"""An index in a directory: documents and legs, each loaded when it is first asked for and only once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce
from operator import and_
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rag.core.access import NOBODY
from rag.core.digests import file_sha256
from rag.core.errors import IndexProblem
from rag.core.filters import Filter, parse_where, parted
from rag.core.memory import Need
from rag.core.progress import Progress, silent
from rag.core.types import Where
from retrievers.index.access import CODES, KEPT_BYTES, LABELS, AccessTable
from retrievers.index.built import holdings_of
from retrievers.index.digests import CheckedFiles, FileFacts
from retrievers.index.documents import TABLES, StoredDocuments
from retrievers.index.filters import MetadataFilter
from retrievers.index.generations import Building, Held, building, hold_current, newest_stamp, parts_of
from retrievers.index.manifest import MANIFEST, Manifest, read_manifest, write_manifest
from retrievers.index.opened import OpenedIndex
from retrievers.index.own_statistics import require_apart
from retrievers.index.parts import Part, Parts
from retrievers.index.sources import ROOTS, SOURCES, write_sources
from retrievers.index.versions import VersionTable
from retrievers.index_protocol import ContentStore
from retrievers.legs.protocol import Facts, Leg, ReadableRows
from retrievers.stores.lru_cache import Kept

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from retrievers.index.near_duplicates import NearDuplicates


class LocalIndex(OpenedIndex):
    """One generation of an index directory, kept as it was opened whatever is built meanwhile.

    Everything is built from the manifest, nothing from configuration. Safe to share between threads. `close` lets a later
    build remove this generation; what is loaded stays usable. `stored`: the parts that its documents and legs lie in, most
    often one.
    """

    def __init__(self, path: Path, held: Held, manifest: Manifest, files: CheckedFiles, parts: Parts) -> None:
        super().__init__(manifest)
        self.path, self.stored = path, parts
        self._held, self._files = held, files
        self._groups = Kept["NearDuplicates"](KEPT_BYTES, lambda groups: groups.n_bytes)
        self._last_mask: tuple[Filter | None, NDArray[np.bool_] | None] | None = None

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The current generation of the index directory `path`.

        Raises:
            IndexProblem: absent, damaged or of a newer format.
        """
        path = Path(path)
        return cls._held_open(path, hold_current(path))

    @classmethod
    def _held_open(cls, path: Path, held: Held) -> Self:
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
    def folder(self) -> Path:
        """Where the generation that is open lies. Its parts lie elsewhere."""
        return self._held.folder

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

    def file(self, name: str) -> Path:
        """Where a file of this generation is, once its content is known to be as it was written."""
        self._files.require(name)
        return self._held.folder / name

    def beside(self) -> dict[str, bytes]:
        """Files that are no documents and no leg, by name: where all of them are kept elsewhere, these go with them."""
        from retrievers.index.near_duplicates import DUPLICATES

        names = [name for name in (SOURCES, ROOTS, DUPLICATES) if name in self.manifest.files]
        return {name: self.file(name).read_bytes() for name in names} | {MANIFEST: self.manifest.as_json().encode()}

    @property
    def documents(self) -> StoredDocuments:
        """All units, by row."""
        return self._once("documents", lambda: self.stored.documents)

    @property
    def contents(self) -> ContentStore:
        """Bytes of what its documents hold beside text."""
        return self._once("contents", lambda: self.stored.contents)

    def file_of(self, row: int) -> tuple[Path, str] | None:
        """Where the file of a row lay when it was read, and the sha256 that it had; None where nobody knows."""
        for holding in self._once("holdings", lambda: holdings_of(self)):
            for record in holding.records:
                if row < record.n_units:
                    path = holding.source.path(record.name)
                    return None if path is None else (path, record.sha256)
                row -= record.n_units
        return None

    def near_duplicates(self, where: Where | None = None) -> NearDuplicates:
        """Which units say nearly the same; where whoever asks has statistics of their own, of those that they may read.

        An index from before this was kept has none until it is built again.
        """
        if not self._keeps_apart:
            return self._once("near-duplicates", lambda: self.stored.near_duplicates(self.documents))
        labels, rows = self._readable(where)
        return self._groups.get(labels, lambda: self.stored.near_duplicates(self.documents, rows))

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
        asked, readable = parted(tree), self._readable(tree).rows if self.labelled else None
        mask = self._filter.mask(asked.where, among=readable)
        mask = mask if readable is None else readable if mask is None else mask & readable
        tables = [self._once(f"versions {each}", partial(VersionTable, self.documents, each)) for each in asked.newest]
        known = readable if self._keeps_apart else None
        return reduce(and_, (table.newest(mask, known) for table in tables)) if tables else mask

    def _readable(self, where: Where | None) -> ReadableRows:
        """What whoever asks may read, of an index with labels."""
        assert self.access is not None
        return self.access.readable(*(parted(where).askers or (NOBODY,)))

    @property
    def _keeps_apart(self) -> bool:
        """Whether whoever asks has statistics of their own."""
        return self.manifest.settings.reading.own_statistics

    def rows_of_all(self, where: Where) -> NDArray[np.int64]:
        """Rows that pass a filter of metadata, ascending, whoever may read them: for who keeps the index, not for who asks.

        Raises:
            SpecError: the filter names something that no document has.
        """
        return self._rows_in(self._filter.mask(where))

    def rows(self, where: Where | None) -> NDArray[np.int64]:
        """Rows that pass a filter, ascending."""
        return self._rows_in(self.mask(where))

    def counts(
        self, keys: Sequence[str], rows: NDArray[np.integer[Any]], where: Where | None = None
    ) -> dict[str, dict[str, int]]:
        """Key -> name of a value -> documents of which one of these rows has it, which whoever asks by `where` may read.

        Raises:
            SpecError: no document that they may read has one of the keys.
        """
        import numpy as np

        mask, readable = np.zeros(len(self), dtype=np.bool_), self._readable(where).rows if self.labelled else None
        mask[rows] = True
        return self._filter.counts(keys, mask if readable is None else mask & readable, among=readable)

    def _rows_in(self, mask: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        import numpy as np

        return np.arange(len(self)) if mask is None else np.flatnonzero(mask)

    @property
    def _filter(self) -> MetadataFilter:
        labels = None if self.access is None else self.access.codes
        return self._once("filter", lambda: MetadataFilter(self.documents, labels))

    def verify(self, *, progress: Progress = silent) -> None:
        """Compare every file with its digest, whatever the size of the index.

        Raises:
            IndexProblem: lists all files that differ.
        """
        self._files.verify(progress=progress)
        if self.manifest.parts:
            self.stored.verify(progress=progress)

    @classmethod
    def move_sources(cls, path: Path, folder: Path) -> None:
        """Let the index directory `path` know that its sources lie below a folder, each by its name; those that do not, stay.

        None is read. That files there are those that were read is seen when they are used.

        Raises:
            IndexProblem: there is no index, another process builds it, or it cannot be written.
        """
        with cls.open(path) as opened, building(path) as new:
            new.fill(opened.folder)
            facts = dict[str, FileFacts]()
            for name in (SOURCES, ROOTS):  # links to those of the generation before, which stay as they are
                (new.folder / name).unlink(missing_ok=True)
            write_sources(new.folder, [replace(each, source=each.source.moved(folder)) for each in holdings_of(opened)])
            for name in (SOURCES, ROOTS):
                file = new.folder / name
                facts[name] = FileFacts(sha256=file_sha256(file), size_bytes=file.stat().st_size)
            manifest = opened.manifest.model_copy(update={"files": opened.manifest.files | facts})
            write_manifest(new.folder, manifest)
            cls.require_written(new)

    @classmethod
    def require_written(cls, new: Building) -> None:
        """Return if a generation that is written, and not published, opens, and all that is new in it is as it was written.

        Parts that the generation before lists too are opened, and not read again: they stay as they are.

        Raises:
            IndexProblem: it does not, or a file differs.
        """
        known = () if new.previous is None else parts_of(new.previous) or ()
        with cls._held_open(new.home, new.hold()) as index:
            index._files.require("")
            for part in index.stored.parts:
                if part.folder.name not in known:
                    part.files.require("")

    def memory(self, legs: Sequence[str]) -> list[Need]:
        """What searching these legs takes. Loads nothing.

        Raises:
            MissingModel: the encoder is not here yet.
        """
        needs = [Need(what="documents", n_bytes=self.stored.n_bytes("documents."), mapped=True)]
        if self.labelled:
            needs.append(Need(what="who may read what", n_bytes=self.stored.n_bytes("access.") + KEPT_BYTES))
        return needs + self.needs(legs, lambda leg: self.stored.n_bytes(f"{leg}/"))

    def close(self) -> None:
        """Let a later build remove this generation. Parts that are not loaded yet may be gone then."""
        self._held.close()

    def open_leg(self, name: str, facts: Facts) -> Leg:
        if not self._keeps_apart:
            return self.stored.leg(name, facts, self.mask)
        require_apart(self.manifest.settings, [name], name=self.name)
        return self.stored.leg(name, facts, self.mask, self._readable)
