"""A folder -> the runs of each set in it, what their folders keep of how they were made, and what the others are measured by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import SpecError
from rag.evaluate import (
    RETRIEVAL_MEASURES,
    Plan,
    RunFile,
    answer_measure_name,
    load_beir,
    plan_evaluation,
    read_object,
    read_qrels,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A run: where it is, of which kind, and what is known of how it was made.

    `kind`: as the report says it, else that of `rag eval`. `command`: the words of the command that made it, empty where the
    run does not say. `seconds`: of a query.
    """

    path: Path
    kind: str
    graph: str = ""
    seconds: float | None = None
    command: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "kind": self.kind,
            "graph": self.graph,
            "seconds_per_query": self.seconds,
            "command": list(self.command),
        }


def facts_of(run: Path) -> RunFacts:
    """What is known of a run.

    Raises:
        SpecError: its report is damaged.
    """
    if not run.is_dir():
        return RunFacts(path=run, kind="values per query" if run.suffix == ".csv" else "TREC run")
    if not (run / RunFile.PER_QUERY).is_file():
        return RunFacts(path=run, kind="answers of rag batch")
    file = run / RunFile.REPORT
    report = read_object(file) if file.exists() else {}
    command, seconds, queries = (report.get(name) for name in ("command", "seconds", "queries"))
    if not (isinstance(seconds, int | float) and isinstance(queries, int) and queries > 0):
        seconds, queries = None, 1
    return RunFacts(
        path=run,
        kind=str(report.get("kind") or "rag eval"),
        graph=str(report.get("graph") or ""),
        seconds=None if seconds is None else seconds / queries,
        command=tuple(map(str, command)) if isinstance(command, list) else (),
    )


SUFFIXES = (".csv", ".run", ".trec")
"""Files that are runs: tables of values per query, and TREC runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Set -> system -> its run. `left_out`: what stands among them and is no run."""

    runs: Mapping[str, Mapping[str, Path]]
    left_out: tuple[Path, ...] = ()


def find_runs(folder: Path) -> Found:
    """The runs of SET/SYSTEM, or of one set if the systems stand in the folder itself. Hidden files are not looked at.

    A system is the folder of `rag eval` or `rag batch`, a TREC run (.trec or .run) or a table of values (.csv). Its name is
    the file's, without that suffix.

    Raises:
        SpecError: there is no such folder or no run in it, or two runs of a set have one name.
    """
    if not folder.is_dir():
        raise SpecError(f"'{folder}' is no folder; a folder of SET/SYSTEM is wanted")
    inside = _entries(folder)
    if any(map(_is_run, inside)):
        runs, left_out = {folder.resolve().name: _systems(folder)}, [one for one in inside if not _is_run(one)]
    else:
        sets = {place.name: _systems(place) for place in inside if place.is_dir()}
        runs = {name: systems for name, systems in sets.items() if systems}
        left_out = [place for place in inside if place.name not in runs]
        left_out += [one for name in runs for one in _entries(folder / name) if not _is_run(one)]
    if not runs:
        what = f"folders with {RunFile.PER_QUERY} or {RunFile.ANSWERS}, and files that end in {', '.join(SUFFIXES)}"
        raise SpecError(f"'{folder}' has no runs. Looked for, in it and in its folders: {what}")
    return Found(runs=runs, left_out=tuple(left_out))


def _systems(folder: Path) -> dict[str, Path]:
    systems: dict[str, Path] = {}
    for run in filter(_is_run, _entries(folder)):
        name = run.name if run.is_dir() else run.stem
        if name in systems:
            raise SpecError(f"'{run}' and '{systems[name]}' are both the run of '{name}'; rename one of them")
        systems[name] = run
    return systems


def _is_run(place: Path) -> bool:
    if place.is_dir():
        return (place / RunFile.PER_QUERY).is_file() or (place / RunFile.ANSWERS).is_file()
    return place.suffix in SUFFIXES and place.is_file()


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(place for place in folder.iterdir() if not place.name.startswith("."))
    except OSError as cause:
        raise SpecError(f"'{folder}' cannot be read: {cause.strerror}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgements:
    """Where judgements are: a data set, or a folder of data sets by the names of the sets; and files of qrels by set.

    `measures`: those wanted; None takes what `rag eval` would.
    """

    dataset: Path | None = None
    split: str = "test"
    qrels: Mapping[str, Path] | None = None
    measures: Sequence[str] | None = None

    def plan(self, name: str) -> Plan | None:
        """How the runs of a set are measured; None where nobody said.

        Raises:
            SpecError: the data set or the file cannot be read, or has not what a measure needs.
        """
        if self.qrels and name in self.qrels:
            wanted = self.measures or RETRIEVAL_MEASURES
            of_rankings = tuple(measure for measure in wanted if answer_measure_name(measure) is None)
            return Plan(queries=(), qrels=read_qrels(self.qrels[name]), retrieval=of_rankings)
        if self.dataset is None:
            return None
        own = self.dataset / name
        data = load_beir(own if own.is_dir() else self.dataset)
        return plan_evaluation(data, graph="", ranks=True, gives_answers=True, split=self.split, measures=self.measures)


def qrels_by_set(given: Sequence[str], sets: Sequence[str]) -> dict[str, Path]:
    """`SET=FILE` as it was given; a file alone where there is one set.

    Raises:
        SpecError: a set is not there, or a file alone does not say of which of several it is.
    """
    found: dict[str, Path] = {}
    for each in given:
        name, equals, file = each.partition("=")
        if name in sets and equals:
            found[name] = Path(file)
        elif len(sets) == 1 and not equals:
            found[sets[0]] = Path(each)
        else:
            raise SpecError(f"--qrels {each}: SET=FILE is wanted, SET one of {', '.join(sets)}")
    return found
