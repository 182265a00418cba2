"""Which rows of an index are superseded, by what their documents say of one another.

A document is hidden where one that replaces it is to be seen, so "newest" is newest among what else passes: with a cut-off
on the date, the newest until then; for somebody who may not read the newest, the newest that they may read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import SpecError
from rag.core.filters.values import members, moment_of, name_of
from rag.core.types import Document
from rag.core.versions import Versions

logger = logging.getLogger(__name__)

MOST_RINGS = 100
_NEVER = np.iinfo(np.int64).min

Mask = NDArray[np.bool_]
Numbers = NDArray[np.int32]
"""int32 [n]: documents, as they are numbered here."""


class VersionTable:
    """What replaces what. Reads all documents once; keeps 4 bytes a row, 20 a document and 8 for each that is replaced.

    Documents that replace one another in a ring do not: a warning names them.

    Raises:
        SpecError: there are over 100 rings.
    """

    def __init__(self, documents: Sequence[Document], versions: Versions) -> None:
        numbers: dict[str, int] = {}
        families: dict[str, int] = {}
        of_row = np.empty(len(documents), dtype=np.int32)
        replaced: list[tuple[str, int]] = []
        family, days, instants = list[int](), list[int](), list[int]()
        for row, document in enumerate(documents):
            of_row[row] = number = numbers.setdefault(document.parent, len(numbers))
            if number < len(family):
                continue  # a further passage
            names = members(document.metadata, versions.replaces) if versions.replaces else ()
            replaced += [(name, number) for name in names if isinstance(name, str)]
            key, moment = document.metadata.get(versions.key), moment_of(document.metadata.get(versions.date))
            known = bool(versions.key) and key is not None and moment is not None
            family.append(families.setdefault(name_of(key), len(families)) if known else -1)
            days.append(moment.day if moment is not None and known else _NEVER)
            instants.append(_NEVER if moment is None or moment.instant is None or not known else moment.instant)
        if not replaced and not families:
            keys = " or ".join(f"'{name}'" for name in (versions.replaces, versions.key) if name)
            logger.warning(
                "versions: no document says in its metadata %s what it replaces, so all are the newest", keys
            )
        self._of_row, self._n_documents = of_row, len(numbers)
        self._family, self._n_families = np.array(family, dtype=np.int32), len(families)
        self._days, self._instants = np.array(days, dtype=np.int64), np.array(instants, dtype=np.int64)
        edges = [(numbers[name], newer) for name, newer in replaced if numbers.get(name, newer) != newer]
        self._steps = _steps(edges, [*numbers])

    def newest(self, mask: Mask | None, known: Mask | None = None) -> Mask:
        """bool [n rows]: those of a mask, or of all, that nothing among them replaces.

        Args:
            known: bool [n rows], those whose word counts for what replaces what; all, where it is None.
        """
        seen = self._with_rows(mask)
        hidden = (self._replaced(seen, self._with_rows(known)) | self._outdated(seen))[self._of_row]
        return ~hidden if mask is None else mask & ~hidden

    def _with_rows(self, mask: Mask | None) -> Mask:
        """Documents of which a mask has a row; all, where it is None."""
        documents = np.full(self._n_documents, mask is None)
        if mask is not None:
            documents[self._of_row[mask]] = True
        return documents

    def _replaced(self, seen: Mask, known: Mask) -> Mask:
        """Documents that one to be seen replaces, directly or over others that are known."""
        replaced = np.zeros(self._n_documents, dtype=np.bool_)
        for older, newer in self._steps:
            replaced[older[(seen[newer] | replaced[newer]) & known[newer]]] = True
        return replaced

    def _outdated(self, seen: Mask) -> Mask:
        """Documents of which there is a later one to be seen. Two times compare as such, else their days do."""
        outdated = np.zeros(self._n_documents, dtype=np.bool_)
        if not self._n_families:
            return outdated
        dated = self._family >= 0
        timed = self._instants != _NEVER
        latest = self._latest(self._instants, seen & dated & timed)
        latest_day = self._latest(self._days, seen & dated)
        latest_timeless = self._latest(self._days, seen & dated & ~timed)
        family = np.where(dated, self._family, 0)
        of_timed = (latest[family] > self._instants) | (latest_timeless[family] > self._days)
        of_timeless = latest_day[family] > self._days
        return dated & np.where(timed, of_timed, of_timeless)

    def _latest(self, times: NDArray[np.int64], chosen: Mask) -> NDArray[np.int64]:
        """int64 [families]"""
        latest = np.full(self._n_families, _NEVER, dtype=np.int64)
        np.maximum.at(latest, self._family[chosen], times[chosen])
        return latest


def _steps(edges: Iterable[tuple[int, int]], names: Sequence[str]) -> list[tuple[Numbers, Numbers]]:
    """Pairs of older and newer documents, in steps: what replaces a newer one is a pair of an earlier step."""
    newer_of: dict[int, set[int]] = {}
    for older, newer in edges:
        newer_of.setdefault(older, set()).add(newer)
    depth: dict[int, int] = {}
    for number in _without_rings(newer_of, names):
        depth[number] = max((depth[newer] + 1 for newer in newer_of.get(number, ())), default=0)
    steps: dict[int, list[tuple[int, int]]] = {}
    for older, newers in newer_of.items():
        steps.setdefault(depth[older], []).extend((older, newer) for newer in newers)
    arrays = (np.array(steps[step], dtype=np.int32).reshape(-1, 2) for step in sorted(steps))
    return [(pairs[:, 0], pairs[:, 1]) for pairs in arrays]


def _without_rings(newer_of: Mapping[int, set[int]], names: Sequence[str]) -> list[int]:
    """The documents, what replaces them first. Rings are taken out of `newer_of`."""
    for _ in range(MOST_RINGS):
        try:
            return list(TopologicalSorter(newer_of).static_order())
        except CycleError as error:
            ring: list[int] = error.args[1]
            logger.warning(
                "versions: documents replace one another in a ring, so none of them does: %s",
                ", ".join(repr(names[number][:80]) for number in ring[:5]),
            )
            for number in ring:
                newer_of.get(number, set()).difference_update(ring)
    raise SpecError(f"versions: documents replace one another in over {MOST_RINGS} rings; mend their metadata")
