"""A suite of checks -> verdicts. Everything that can be known before anything runs is looked at first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rag.errors import SpecError
from rag.evaluate import Dataset, EvalReport, RunFile, evaluate_graph, load_beir, measure_name, plan_for
from rag.files import Progress, require_writable, silent, write_atomically
from rag.graphs import Spec, load_spec
from rag.graphs import check as check_graph
from ragline_lab.gate.judged import NEEDS, TrustedJudge, trusted
from ragline_lab.gate.suite import Check, Suite
from ragline_lab.gate.verdicts import Requirement, Verdict, judge


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What one check found. `fingerprint`: of its data. `failed`: queries that a node failed on; they count 0."""

    name: str
    dataset: str
    split: str
    graph: str
    index: str
    fingerprint: Mapping[str, str]
    queries: int
    failed: int
    seconds: float
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        return all(verdict.state == "passed" for verdict in self.verdicts)

    def as_dict(self) -> dict[str, Any]:
        return {
            "check": self.name,
            "dataset": self.dataset,
            "split": self.split,
            "graph": self.graph,
            "index": self.index,
            "fingerprint": dict(self.fingerprint),
            "queries": self.queries,
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "passed": self.passed,
            "verdicts": [verdict.as_dict() for verdict in self.verdicts],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """All checks of a suite, in its order. `accepted`: check -> parts of its data that changed, which was accepted."""

    suite: str
    checks: tuple[CheckReport, ...]
    accepted: Mapping[str, Sequence[str]]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """The documented JSON form (docs/reference/json.md)."""
        return {
            "suite": self.suite,
            "passed": self.passed,
            "accepted": {check: list(parts) for check, parts in self.accepted.items()},
            "checks": [check.as_dict() for check in self.checks],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A check whose parts were found. `measures`: what is measured, with what judging needs beside it."""

    name: str
    check: Check
    dataset: Dataset
    spec: Spec
    measures: tuple[str, ...]
    requirements: tuple[Requirement, ...]
    judge: TrustedJudge | None
    fingerprint: Mapping[str, str]


def run_gate(suite: Suite, *, out: Path | None = None, accept: bool = False, progress: Progress = silent) -> GateReport:
    """Evaluate every check of a suite and hold its measures against what is asked.

    The first run writes the fingerprints of the data beside the suite, for all that come after.

    Args:
        out: folder that keeps the run folders of the checks; None keeps none.
        accept: take data that changed since the first run as what is checked from now on.
    Raises:
        SpecError: a data set, graph, measure or baseline is not there or wrong, all problems at once; or data changed.
        RagError: an evaluation could not be made, as `evaluate_graph` says.
    """
    ready = _all_ready(suite)
    lock = lock_of(suite.path)
    before = _before(lock, accept=accept)
    fingerprints = {each.name: each.fingerprint for each in ready}
    changed = changes(before, fingerprints)
    if changed and not accept:
        raise SpecError(
            *(
                f"{suite.where(name)}: check '{name}': {', '.join(parts)} changed since the suite was first run, so its figures "
                f"are of other data. Put it back, or take it as it is now with --accept ({lock.name})"
                for name, parts in changed.items()
            )
        )
    if fingerprints != before:
        require_writable(lock.parent, files=[lock.name])
    with TemporaryDirectory(prefix="ragline-gate-") if out is None else nullcontext(out) as place:
        # A check's name may be anything, and so is only hinted at.
        hints = ("".join(c if c.isascii() and c.isalnum() else "-" for c in each.name)[:60] for each in ready)
        folders = [Path(place) / f"{number:02d}-{hint}" for number, hint in enumerate(hints, start=1)]
        for each in folders:
            require_writable(each, files=RunFile)
        reports = tuple(_report(suite, each, place, progress) for each, place in zip(ready, folders, strict=True))
    if fingerprints != before:
        write_lock(lock, fingerprints)
    return GateReport(suite=str(suite.path), checks=reports, accepted=changed)


def _before(lock: Path, *, accept: bool) -> Fingerprints:
    """What the data were; nothing where that is damaged and whatever they are now is accepted."""
    try:
        return read_lock(lock)
    except SpecError:
        if accept:
            return {}
        raise


def _all_ready(suite: Suite) -> list[_Ready]:
    """Every check with its data set and graph; an error lists all that is wrong."""
    ready, problems = list[_Ready](), list[str]()
    for name, check in suite.checks.items():
        try:
            ready.append(_ready(suite, name, check))
        except SpecError as error:
            problems += [f"{suite.where(name)}: check '{name}': {problem}" for problem in error.problems]
    if problems:
        raise SpecError(*problems)
    return ready


def _ready(suite: Suite, name: str, check: Check) -> _Ready:
    dataset = load_beir(suite.place(check.dataset), within=check.within)
    spec = load_spec(suite.graph(check))
    if problems := check_graph(spec).problems:
        raise SpecError(*problems)
    requirements = [
        requirement
        for measure, wanted in check.measures.items()
        for requirement in wanted.requirements(measure_name(measure))
    ]
    seen: set[tuple[str, str]] = set()
    for each in requirements:
        if (each.measure, each.kind) in seen:
            raise SpecError(f"{each.measure} is asked {each.kind} twice, under two names; keep one")
        seen.add((each.measure, each.kind))
    measures = [*check.measures, *([NEEDS] if check.judged and NEEDS not in check.measures else [])]
    plan_for(dataset, spec, split=check.split, measures=measures, limit=check.limit)
    if check.baseline is not None and not suite.place(check.baseline).exists():
        raise SpecError(f"no baseline '{check.baseline}'; it is a run folder of rag eval, or a TREC run")
    return _Ready(
        name=name,
        check=check,
        dataset=dataset,
        spec=spec,
        measures=tuple(measures),
        requirements=tuple(requirements),
        judge=None if check.judged is None else trusted(suite, check.judged),
        fingerprint=dataset.fingerprint([check.split]),
    )


def _report(suite: Suite, ready: _Ready, folder: Path, progress: Progress) -> CheckReport:
    check = ready.check
    try:
        report = evaluate_graph(
            ready.dataset,
            ready.spec,
            out=folder,
            split=check.split,
            measures=list(ready.measures),
            settings=check.index,
            baseline=None if check.baseline is None else suite.place(check.baseline),
            limit=check.limit,
            progress=progress,
        )
        verdicts = [_verdict(each, report) for each in ready.requirements]
        if ready.judge is not None:
            verdicts += ready.judge.verdicts(folder, ready.dataset, progress=progress)
    except SpecError as error:
        raise SpecError(
            *(f"{suite.where(ready.name)}: check '{ready.name}': {each}" for each in error.problems)
        ) from None
    return CheckReport(
        name=ready.name,
        dataset=report.dataset,
        split=report.split,
        graph=report.graph,
        index=report.index,
        fingerprint=ready.fingerprint,
        queries=report.evaluation.n_queries,
        failed=len({failure.qid for failure in report.failures}),
        seconds=report.seconds,
        verdicts=tuple(verdicts),
    )


def _verdict(requirement: Requirement, report: EvalReport) -> Verdict:
    name = requirement.measure
    n = report.intervals[name].n
    if requirement.kind != "not_below":
        interval, value = report.intervals[name], report.evaluation.measures[name]
        return judge(requirement, value=value, low=interval.low, high=interval.high, n=n)
    if name not in report.significance:
        raise SpecError(f"the baseline has no {name} to compare with")
    test = report.significance[name]
    return judge(requirement, value=test.difference, low=test.low, high=test.high, n=n)


Fingerprints = Mapping[str, Mapping[str, str]]
"""Check -> part of its data -> sha256."""


def lock_of(suite: Path) -> Path:
    """The file that keeps the fingerprints of a suite: `gate.lock.json` beside `gate.yaml`."""
    return suite.with_suffix(".lock.json")


def read_lock(path: Path) -> Fingerprints:
    """What was kept; nothing where the suite was never run.

    Raises:
        SpecError: it cannot be read, or is no such file.
    """
    if not path.exists():
        return {}
    try:
        checks = json.loads(path.read_text(encoding="utf-8"))["checks"]
        return {str(name): {str(part): str(digest) for part, digest in parts.items()} for name, parts in checks.items()}
    except OSError as cause:
        raise SpecError(f"{path} cannot be read: {cause.strerror}") from None
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise SpecError(f"{path} is damaged: it holds the fingerprints of a suite. Put it back, or --accept") from None


def write_lock(path: Path, fingerprints: Fingerprints) -> None:
    """Keep the fingerprints of a suite's checks; of checks that it no longer has none are kept."""
    write_atomically(path, json.dumps({"checks": fingerprints}, indent=1, sort_keys=True) + "\n")


def changes(before: Fingerprints, now: Fingerprints) -> dict[str, list[str]]:
    """Check -> parts of its data that are not what they were. A check that was never run changed nothing."""
    told = {}
    for check, parts in now.items():
        known = before.get(check)
        if known is not None and known != parts:
            told[check] = sorted(part for part in {*known, *parts} if known.get(part) != parts.get(part))
    return told
