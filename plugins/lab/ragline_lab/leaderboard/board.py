"""Values per query of sets by systems -> tables: means, their intervals, and tests against a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rag.errors import SpecError, did_you_mean
from rag.evaluate import Compared, Evaluation, Interval, compare_runs, holm, mean_interval
from ragline_lab.leaderboard.published import Figure
from ragline_lab.leaderboard.run_folders import RunFacts

LEVEL = 0.05
"""A corrected p below this is marked."""

Measured = Mapping[str, Mapping[str, Evaluation]]
"""Set -> system -> what was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A system on a set. `difference` to the baseline, and its `p`, corrected over the table; None where nothing is compared."""

    value: float
    interval: Interval
    difference: float | None = None
    p: float | None = None

    @property
    def verdict(self) -> str:
        """`higher` or `lower` than the baseline where that is more than luck; else empty."""
        if self.p is None or self.difference is None or self.p >= LEVEL:
            return ""
        return "higher" if self.difference > 0 else "lower"

    def as_dict(self) -> dict[str, Any]:
        compared = {} if self.p is None else {"difference": self.difference, "p": self.p, "verdict": self.verdict}
        return {
            "value": self.value,
            "queries": self.interval.n,
            "low": self.interval.low,
            "high": self.interval.high,
            **compared,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A row of a table: a cell for each set that the system was run on. `whole`: it was on all of them."""

    name: str
    cells: Mapping[str, Cell]
    whole: bool

    @property
    def mean(self) -> float:
        """Over the sets that it was run on, each counting the same."""
        return fmean(cell.value for cell in self.cells.values())

    def count(self, verdict: str) -> int:
        """On how many sets it is so beside the baseline."""
        return sum(cell.verdict == verdict for cell in self.cells.values())

    def as_dict(self) -> dict[str, Any]:
        cells = {name: cell.as_dict() for name, cell in self.cells.items()}
        return {"system": self.name, "mean": self.mean, "all_sets": self.whole, "sets": cells}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One measure: systems, those that were run on every set first, the highest mean first; and what others published."""

    measure: str
    systems: tuple[System, ...]
    published: tuple[Figure, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "measure": self.measure,
            "systems": [system.as_dict() for system in self.systems],
            "published": [figure.as_dict() for figure in self.published],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """All that the page shows. `runs`: system -> set -> its run. `baseline`: a system, or empty: then nothing is tested."""

    sets: tuple[str, ...]
    baseline: str
    tables: tuple[Table, ...]
    runs: Mapping[str, Mapping[str, RunFacts]]

    def as_dict(self) -> dict[str, Any]:
        """The documented JSON form (docs/reference/json.md)."""
        return {
            "sets": list(self.sets),
            "baseline": self.baseline or None,
            "level": LEVEL,
            "tables": [table.as_dict() for table in self.tables],
            "runs": {
                system: {name: facts.as_dict() for name, facts in of_system.items()}
                for system, of_system in self.runs.items()
            },
        }


def board_of(
    measured: Measured,
    runs: Mapping[str, Mapping[str, RunFacts]],
    *,
    measures: Sequence[str] | None = None,
    baseline: str = "",
    common: bool = False,
    published: Sequence[Figure] = (),
) -> Board:
    """A table for each measure.

    A system may lack a set, and a run a measure. p is corrected over all comparisons of a table (Holm).

    Args:
        runs: of each system by set.
        measures: which ones, the main one first; unset takes all that all runs have.
        baseline: the system that the others are tested against; empty tests none.
        common: compare over the queries that both have; otherwise others than the baseline's are an error.
    Raises:
        SpecError: no measure is shared, no run has one that is asked for, there is no such baseline, or it answered other
            queries than another system.
    """
    everyone = [one for of_set in measured.values() for one in of_set.values()]
    names = list(dict.fromkeys(measures or _shared(everyone)))
    for name in names:
        if not any(name in one.per_query for one in everyone):
            known = dict.fromkeys(known for one in everyone for known in one.per_query)
            raise SpecError(f"no run has {name}; there is {', '.join(known) or 'no measure'}")
    systems = list(dict.fromkeys(system for of_set in measured.values() for system in of_set))
    if baseline and baseline not in systems:
        raise SpecError(f"no system '{baseline}' to compare with. {did_you_mean(baseline, systems)}")
    tables = [_table(measured, systems, name, baseline, common, published) for name in names]
    return Board(sets=tuple(measured), baseline=baseline, tables=tuple(tables), runs=runs)


def _shared(everyone: Sequence[Evaluation]) -> list[str]:
    names = [name for name in everyone[0].per_query if all(name in one.per_query for one in everyone)]
    if not names:
        raise SpecError("the runs have no measure in common; name some with --measures, and runs may lack them")
    return names


def _table(
    measured: Measured,
    systems: Sequence[str],
    measure: str,
    baseline: str,
    common: bool,
    published: Sequence[Figure],
) -> Table:
    compared = _compared(measured, measure, baseline, common) if baseline else {}
    rows = []
    for system in systems:
        cells = {
            name: _cell(of_set[system], measure, compared.get((name, system)))
            for name, of_set in measured.items()
            if system in of_set and measure in of_set[system].per_query
        }
        if cells:
            rows.append(System(name=system, cells=cells, whole=len(cells) == len(measured)))
    rows.sort(key=lambda row: (not row.whole, -row.mean, row.name))
    beside = tuple(figure for figure in published if figure.measure == measure and figure.set in measured)
    return Table(measure=measure, systems=tuple(rows), published=beside)


def _compared(
    measured: Measured, measure: str, baseline: str, common: bool
) -> dict[tuple[str, str], tuple[Compared, float]]:
    """(set, system) -> the comparison, and p corrected over all of them."""
    found: dict[tuple[str, str], Compared] = {}
    for name, of_set in measured.items():
        having = {system: one for system, one in of_set.items() if measure in one.per_query}
        base = having.pop(baseline, None)
        if base is None or not having:
            continue
        try:
            tested = compare_runs(base, having, measures=[measure], common=common)
        except SpecError as error:
            raise SpecError(f"set '{name}': {error}") from None
        found.update({(name, system): one for system, [one] in tested.items()})
    corrected = holm([one.test.p for one in found.values()])
    return {key: (one, p) for (key, one), p in zip(found.items(), corrected, strict=True)}


def _cell(run: Evaluation, measure: str, compared: tuple[Compared, float] | None) -> Cell:
    interval = mean_interval(list(run.per_query[measure].values()))
    if compared is None:
        return Cell(value=run.measures[measure], interval=interval)
    one, p = compared
    return Cell(value=run.measures[measure], interval=interval, difference=one.test.difference, p=p)
