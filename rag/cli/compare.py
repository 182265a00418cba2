"""`rag compare`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from rag.cli.console import say, say_json
from rag.core.errors import SpecError
from rag.evaluate.answers import answer_measure_name
from rag.evaluate.beir import load_beir
from rag.evaluate.comparison import Compared, compare_runs
from rag.evaluate.measured_runs import measured_run
from rag.evaluate.scope import Plan, plan_evaluation


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    runs_help = (
        "the baseline, then the others: folders of `rag eval` or `rag batch`, TREC runs, tables of values per query"
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help=runs_help)
    dataset_help = "BEIR-layout folder that TREC runs and batches are measured by"
    parser.add_argument("--dataset", metavar="DIR", help=dataset_help)
    parser.add_argument("--split", default="test")
    parser.add_argument("--measures", help="in one string; unset takes all that the runs have in common")
    parser.add_argument("--common", action="store_true", help="over the queries that both have")
    parser.add_argument("--queries", type=int, default=3, metavar="N", help="queries that gained and lost most (3)")
    parser.add_argument("--language", default="en", metavar="CODE", help="ISO 639-1 language of answers (en)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(given: Namespace) -> int:
    """Measure what is not measured yet, compare every run with the first, and say which queries gained and lost."""
    if len(given.runs) < 2:
        raise SpecError("two runs are wanted at the least: the baseline, and what is compared with it")
    require_queries(given.queries)
    wanted = given.measures.split() if given.measures else None
    plan = _plan(given, wanted) if given.dataset else None
    measured = [measured_run(Path(run), plan, language=given.language) for run in given.runs]
    names = names_of(given.runs)
    found = compare_runs(
        measured[0], dict(zip(names[1:], measured[1:], strict=True)), measures=_known(wanted), common=given.common
    )
    if given.json:
        runs = {name: [one.as_dict() for one in of_run] for name, of_run in found.items()}
        say_json({"baseline": names[0], "runs": runs})
    else:
        show_compared(names[0], found, queries=given.queries)
    return 0


def _plan(given: Namespace, wanted: Sequence[str] | None) -> Plan:
    """What `rag eval` would measure of a graph that ranks and answers, on the same data."""
    dataset = load_beir(given.dataset)
    return plan_evaluation(dataset, graph="", ranks=True, gives_answers=True, split=given.split, measures=wanted)


def _known(wanted: Sequence[str] | None) -> list[str] | None:
    """Measures of answers by their own names; those of rankings as they are written."""
    return None if wanted is None else [answer_measure_name(name) or name for name in wanted]


def require_queries(queries: int) -> None:
    """Raise SpecError unless so many queries can be shown."""
    if queries < 0:
        raise SpecError(f"--queries must be 0 or more, got {queries}")


def names_of(runs: Sequence[str]) -> list[str]:
    """What the runs are called: their last names where these differ, else as they were given."""
    last = [Path(run).name for run in runs]
    if len(set(last)) == len(runs) and all(last):
        return last
    if len(set(runs)) < len(runs):
        raise SpecError("a run is named twice; a run beside itself says nothing")
    return list(runs)


def show_compared(baseline: str, found: Mapping[str, Sequence[Compared]], *, queries: int) -> None:
    """A block for every run."""
    for name, of_run in found.items():
        say(f"{name} against {baseline}")
        width = max(10, *(len(one.measure) for one in of_run))
        for one in of_run:
            test = one.test
            say(
                f"  {one.measure:<{width}} {one.baseline:.4f} -> {one.run:.4f}  {test.difference:+.4f} "
                f"95% [{test.low:+.4f}, {test.high:+.4f}]  p = {one.p:.4f}  of {len(one.differences):,} queries "
                f"{len(one.gained):,} gained, {len(one.lost):,} lost"
            )
        show_extremes(of_run[0], queries=queries)
    if sum(map(len, found.values())) > 1:
        say("\np is corrected for all comparisons (Holm)")


def show_extremes(compared: Compared, *, queries: int) -> None:
    """The queries that gained and lost most."""
    for what, some in (("gained most", compared.gained), ("lost most", compared.lost)):
        if shown := [f"{qid} {value:+.3f}" for qid, value in islice(some.items(), queries)]:
            say(f"  {what} {compared.measure}: {', '.join(shown)}")
