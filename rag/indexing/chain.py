"""The next generation of an index as a list of parts: what is there stays, what comes is a part of its own.

Parts of like size are merged when there are too many of them. That copies what is left of their documents through the
writers of a build, so its memory is a build's, and what models made is taken over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.digests import data_sha256, file_sha256
from rag.core.errors import IndexProblem, SpecError
from rag.core.progress import Progress
from rag.indexing.legs import Legs, Made, Timings, corpus_facts, now
from rag.indexing.removed_rows import Rows, holdings_without
from rag.indexing.units import Planned, UnitMaker, write_units
from rag.ingest import Problem, SourceFile, printable
from retrievers.index.built import holdings_of
from retrievers.index.digests import describe_files
from retrievers.index.directory import LocalIndex
from retrievers.index.generations import PARTS, Building
from retrievers.index.manifest import FORMAT_VERSION, MANIFEST, Manifest, PartFacts, ragline_version, write_manifest
from retrievers.index.near_duplicates import KEYS
from retrievers.index.parts import REMOVED, Part, Parts, removed_file
from retrievers.index.sources import GIVEN, Holding, Source, SourceRecord, given_name, together, write_sources
from retrievers.index.writer import DocumentsWriter
from retrievers.legs.protocol import MADE_BY, Before, LegMaker, settled

TIER = 10
"""So many parts of one order of magnitude become one, and each order of magnitude is so many times the one below."""


def why_anew(index: LocalIndex, legs: Legs) -> str:
    """Why an index is written anew where it changes; empty where it gets parts beside what it has."""
    if index.labelled:
        return "its documents say who may read them, which a file may have given"
    if not legs.same_as(index):
        return "another version, or other models, made it"
    if not all(KEYS in part.manifest.files for part in index.stored.parts):
        return "an older version made it"
    return next(filter(None, (index.kind(leg).why_whole(index.facts(leg)) for leg in index.legs)), "")


@dataclass(frozen=True, slots=True)
class Chained:
    """What a chain holds once it is written. `manifest`: of the generation. `made`: of the part that is new, if one is."""

    holdings: tuple[Holding, ...]
    manifest: Manifest
    made: Made | None = None
    problems: tuple[Problem, ...] = ()


class ChainWriter:
    """Writes the next generation of an index that chains."""

    def __init__(
        self, new: Building, index: LocalIndex, legs: Legs, maker: UnitMaker, timings: Timings, progress: Progress
    ) -> None:
        self._new, self._index, self._legs, self._maker = new, index, legs, maker
        self._timings, self._progress = timings, progress

    def change(self, gone: Rows, given: Path | None) -> Chained | None:
        """The index without some rows and with some documents more; None where its legs came out otherwise than they are.

        Args:
            gone: rows of whole documents, ascending.
            given: a corpus.
        Raises:
            SpecError: no text in what was given, or it has a passage under an id that the index has.
        """
        index = self._index
        parts, removed = self._parts_without(gone)
        before = holdings_of(index)
        holdings = holdings_without(before, gone, index.documents, self._maker)
        if given is None:
            return self._list(parts, removed, holdings)
        folder = self._new.new_part()
        with self._timings.timed("read"):
            record, problems = self._read(given, folder, name=given_name(before))
        made = self._legs.write(folder, self._new.work, [record], before=lambda *_: None)
        if any(settled(facts) != settled(index.facts(leg)) for leg, facts in made.manifest.legs.items()):
            return None
        part = Part.of(folder, made.manifest, index=index.name)
        self._require_new(part, gone)
        return self._list([*parts, part], [*removed, None], _with(holdings, record), made, problems)

    def merge(self) -> Chained:
        """All parts as one, as a build would write it."""
        return self._whole(self._index.stored, holdings_of(self._index))

    def _parts_without(self, gone: Rows) -> tuple[list[Part], list[Any]]:
        """Parts of which something is left, and what is gone from each."""
        stored = self._index.stored
        parts, removed = [], []
        for part, before, more, left in zip(
            stored.parts, stored.rows.removed, stored.rows.own_rows(gone), stored.rows.left, strict=True
        ):
            n_left = part.manifest.corpus.n_units if left is None else len(left)
            if len(more) == n_left:
                continue
            parts.append(part)
            removed.append(before if not len(more) else np.union1d(more, [] if before is None else before))
        return parts, [None if each is None else each.astype(np.int32) for each in removed]

    def _read(self, given: Path, folder: Path, *, name: str) -> tuple[SourceRecord, list[Problem]]:
        file = SourceFile(path=given, name=name, size=given.stat().st_size, layout="corpus")
        planned = Planned(
            name=name,
            source=0,
            file=file,
            sha256=file_sha256(given),
            made_by=self._maker.made_by(name, "corpus"),
        )
        with DocumentsWriter(folder) as writer:
            [record], problems = write_units([planned], self._maker, writer, previous=None, progress=self._progress)
        if record is None:
            raise SpecError("nothing to index in what was given", *(f"  {problem}" for problem in problems[:10]))
        return record, problems

    def _require_new(self, part: Part, gone: Rows) -> None:
        """Passages are named by their document and a number; a whole document may have such a name too."""
        goes = frozenset(gone.tolist())
        for unit in part.documents:
            if unit.doc_id == unit.parent:
                continue
            try:
                row = self._index.documents.row(unit.doc_id)
            except KeyError:
                continue
            if row not in goes:
                raise SpecError(
                    f"passage {printable(unit.doc_id)!r} of what was given has the id of a document that the index has. "
                    "Give the document another id"
                )

    def _list(
        self,
        parts: list[Part],
        removed: list[Any],
        holdings: list[Holding],
        made: Made | None = None,
        problems: Sequence[Problem] = (),
    ) -> Chained:
        listed = Parts(parts, removed)
        n = _n_to_merge([last - first for first, last in pairwise(listed.rows.starts)])
        if n == len(parts):
            whole = self._whole(listed, holdings)
            return replace(whole, made=made, problems=tuple(problems))
        if n:
            merged = self._merged(Parts(parts[-n:], removed[-n:]))
            parts, removed = [*parts[:-n], merged], [*removed[:-n], None]
        manifest = self._written(parts, removed, holdings)
        return Chained(tuple(holdings), manifest, made, tuple(problems))

    def _written(self, parts: Sequence[Part], removed: Sequence[Any], holdings: Sequence[Holding]) -> Manifest:
        """The list: sources, rows that are gone, and the manifest."""
        folder, facts = self._new.folder, []
        write_sources(folder, holdings)
        if any(gone is not None for gone in removed):
            (folder / REMOVED).mkdir()
        for place, (part, gone) in enumerate(zip(parts, removed, strict=True)):
            if gone is not None:
                np.save(folder / removed_file(place), gone)
            home = part.folder if part.folder.parent == self._new.home / PARTS else self._new.adopt(part.folder)
            facts.append(
                PartFacts(
                    name=home.name,
                    sha256=file_sha256(home / MANIFEST),
                    identity=part.manifest.identity,
                    n_removed=0 if gone is None else len(gone),
                )
            )
        before, listed = self._index.manifest, Parts(parts, removed)
        records = [record for holding in holdings for record in holding.records]
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            ragline_version=ragline_version(),
            created=now(),
            legs={leg: listed.facts(leg) for leg in before.legs},
            settings=before.settings,
            corpus=corpus_facts(records),
            ruler=before.ruler,
            files=describe_files(folder, leave_out=(MANIFEST,)),
            parts=tuple(facts),
        )
        write_manifest(folder, manifest)
        return manifest

    def _whole(self, parts: Parts, holdings: Sequence[Holding]) -> Chained:
        """All that is left, written into the generation itself."""
        write_sources(self._new.folder, holdings)
        records = [record for holding in holdings for record in holding.records]
        made = self._copied(parts, self._new.folder, records)
        return Chained(tuple(holdings), made.manifest)

    def _merged(self, parts: Parts) -> Part:
        """What is left of the last parts as a part. All of it was handed over: files are in the first part alone."""
        folder = self._new.new_part()
        documents = parts.documents
        record = SourceRecord(
            name=GIVEN,
            sha256=data_sha256([part.manifest.identity for part in parts.parts]),
            made_by=self._maker.made_by(GIVEN, "corpus"),
            first_row=0,
            n_units=len(documents),
            n_documents=len({document.parent for document in documents}),
        )
        return Part.of(folder, self._copied(parts, folder, [record]).manifest, index=self._index.name)

    def _copied(self, parts: Parts, folder: Path, records: Sequence[SourceRecord]) -> Made:
        documents, contents = parts.documents, parts.contents
        with DocumentsWriter(folder) as writer:
            for row, document in enumerate(documents):
                writer.copy(document.doc_id, documents.line(row), contents)

        def before(leg: str, maker: LegMaker) -> Before | None:
            facts = parts.facts(leg)
            if not (made_by := facts.get(MADE_BY)):
                return None
            return Before(
                leg=lambda: parts.leg(leg, facts, lambda where: None),
                texts=documents.texts_for(made_by),
                file=lambda name: None,
            )

        return self._legs.write(folder, self._new.work, records, before=before, parts=parts)


def _with(holdings: Sequence[Holding], record: SourceRecord) -> list[Holding]:
    """Sources once a part of what was handed over is behind them."""
    n_units = sum(each.n_units for holding in holdings for each in holding.records)
    record = replace(record, first_row=n_units)
    *others, last = holdings
    if last.source.given:
        return [*others, Holding(last.source.model_copy(update={"n_files": 1}), (together([*last.records, record]),))]
    return [*holdings, Holding(Source(name=record.name, root=None, given=True, n_files=1), (record,))]


def _n_to_merge(sizes: Sequence[int]) -> int:
    """How many of the last parts to merge: as many as are below an order of magnitude, where these are too many.

    >>> _n_to_merge([100_000, *[1_000] * 9]), _n_to_merge([100_000, *[1_000] * 10])
    (0, 10)
    """
    n = 0
    for tier in range(10):
        small = next((i for i, size in enumerate(reversed(sizes)) if size >= TIER ** (tier + 1)), len(sizes))
        n = small if small >= TIER else n
    return n


def unchanged(index: LocalIndex) -> Chained:
    """An index as it is."""
    return Chained(holdings_of(index), index.manifest)


def require_left(index: LocalIndex, gone: Rows, readable: NDArray[np.bool_] | None = None) -> None:
    """Refuse to take everything out.

    Args:
        readable: bool [n], rows that there are for whoever asks; None for all.
    Raises:
        IndexProblem: nothing would be left.
    """
    if len(gone) == (len(index) if readable is None else np.count_nonzero(readable)):
        raise IndexProblem(
            f"nothing would be left in index '{index.name}'. Nothing was changed. To drop it whole, delete its folder"
        )
