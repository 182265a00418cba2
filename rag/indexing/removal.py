"""Taking sources and documents out of an index, without reading what it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem, did_you_mean
from rag.indexing.loss_limit import Loss, require_kept
from rag.indexing.previous_index import Past
from rag.indexing.selection import Chosen, MayCopy, Selection
from rag.ingest import printable
from retrievers.index.built import BuiltIndex
from retrievers.index.sources import Holding, with_removed

Cut = dict[str, set[str]]
"""What goes of one source: file -> ids of its documents, none for the whole file."""


class Removal:
    """Rows of sources and of documents go; all else is taken over as it is.

    A document that was removed stays out when its source is read again, until it is named.

    Args:
        targets: names or roots of sources, names of files, ids of documents.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        self._targets = targets

    def __call__(self, before: Past, may_copy: MayCopy) -> Selection:
        """Choose.

        Raises:
            IndexProblem: a target that the index has not, nothing would be left, or it is damaged.
        """
        index, holdings = before.index, before.holdings
        if index is None:
            raise IndexProblem("the index is damaged, so nothing can be taken out of it. Build it again: rag index")
        whole: set[str] = set()
        cuts: dict[str, Cut] = {holding.source.name: {} for holding in holdings}
        missing = [target for target in self._targets if not _take(target, index, holdings, whole, cuts)]
        if missing:
            names = [holding.source.name for holding in holdings]
            raise IndexProblem(
                f"index '{index.name}' has no source, file or document {printable(missing[0])!r}. "
                f"{did_you_mean(missing[0], names)} `rag sources` lists the sources. Nothing was removed"
            )
        chosen = tuple(
            _left(holding, cuts[holding.source.name]) for holding in holdings if holding.source.name not in whole
        )
        without = {name: tuple(sorted(ids)) for cut in cuts.values() for name, ids in cut.items() if ids}
        left = (record for each in chosen for record in each.kept)
        if not any(record.n_documents > len(without.get(record.name, ())) for record in left):
            raise IndexProblem(f"nothing would be left in index '{index.name}'. To drop it whole, delete its folder")
        return Selection(chosen=chosen, without=without)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What a removal would take out: rows, int64, ascending, and documents of each file."""

    rows: NDArray[np.int64]
    losses: tuple[Loss, ...]


def removed_by(targets: Sequence[str], before: Past, *, most_lost: float) -> Removed:
    """What these targets mean.

    Raises:
        IndexProblem, TooMuchLost: the removal would be refused.
    """
    selection = Removal(targets)(before, lambda record, removed: True)
    assert before.index is not None  # else it had refused
    kept = {record.name for chosen in selection.chosen for record in chosen.kept}
    rows, losses = list[int](), list[Loss]()
    for record in before.records:
        mine = range(record.first_row, record.first_row + record.n_units)
        ids = selection.without.get(record.name)
        if record.name not in kept:
            rows.extend(mine)
            losses.append(Loss(name=record.name, n_documents=record.n_documents))
        elif ids:
            rows.extend(row for row in mine if before.index.documents[row].parent in ids)
            losses.append(Loss(name=record.name, n_documents=len(ids)))
    require_kept(tuple(losses), before.n_documents, most_lost=most_lost, name=before.index.name)
    return Removed(rows=np.array(rows, dtype=np.int64), losses=tuple(losses))


def are_documents(targets: Sequence[str], holdings: Sequence[Holding]) -> bool:
    """Whether all targets are documents: none is a source or a file, which go with what the index says of them."""
    sources = {name for holding in holdings for name in (holding.source.name, holding.source.root)}
    files = {record.name for holding in holdings for record in holding.records}
    return not any(target in sources or target in files for target in targets)


def _take(
    target: str, index: BuiltIndex, holdings: Sequence[Holding], whole: set[str], cuts: Mapping[str, Cut]
) -> bool:
    """Note what a target means; False where the index has no such thing."""
    for holding in holdings:
        if target in (holding.source.name, holding.source.root):
            whole.add(holding.source.name)
            return True
    for holding in holdings:
        if any(record.name == target for record in holding.records):
            cuts[holding.source.name][target] = set()
            return True
    try:
        row = index.documents.rows_of(target)[0]
    except KeyError:
        return False
    parent = index.documents[row].parent
    if parent != target:
        raise IndexProblem(f"'{target}' is a passage of '{parent}'. Remove the document: rag remove '{parent}'")
    for holding in holdings:
        for record in holding.records:
            if record.first_row <= row < record.first_row + record.n_units:
                ids = cuts[holding.source.name].setdefault(record.name, {target})
                if ids:  # none: the whole file goes
                    ids.add(target)
    return True


def _left(holding: Holding, cut: Cut) -> Chosen:
    kept = tuple(record for record in holding.records if cut.get(record.name) != set())
    return Chosen(source=with_removed(holding.source, cut), kept=kept)
