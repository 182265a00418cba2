"""`rag lab judge`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag.commands import (
    add_plugins,
    names_of,
    positive,
    progress_bar,
    require_queries,
    say,
    say_json,
    show_extremes,
    warn,
    writable,
)
from rag.errors import SpecError
from rag.evaluate import RunFile, load_beir, write_per_query
from rag.indexes import open_index
from ragline_lab.commands.lab import model_of
from ragline_lab.judge.agreement import read_agreement, write_agreement
from ragline_lab.judge.answers import by_passages, by_references, read_answers
from ragline_lab.judge.asking import Judge
from ragline_lab.judge.judging import Task, judge_answers
from ragline_lab.judge.measuring import measure
from ragline_lab.judge.report import JudgeReport
from ragline_lab.llms import named_llm

AGAINST = "against.csv"
"""Values per query of the answers that a run is held against, beside those of the run."""


def options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="folder of `rag eval` or `rag batch`, or its answers.jsonl"
    )
    model_of(parser, "--judge", "the model that judges")
    parser.add_argument(
        "--against", metavar="OTHER", help="answers to the same questions: which does the judge prefer?"
    )
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--dataset", metavar="DIR", help="BEIR-layout folder whose reference answers are taken as true")
    known.add_argument("--index", metavar="DIR", help="without references: the index whose passages were read")
    parser.add_argument("--nuggets", type=positive, default=10, metavar="N", help="most nuggets of a question (10)")
    agreement_help = "how often the judge is right: read for a RUN, written with --labels"
    parser.add_argument("--agreement", metavar="F.json", help=agreement_help)
    labels_help = (
        "measure the agreement: a data set with answers, and wrong answers or unanswerable questions; again: more"
    )
    parser.add_argument("--labels", action="append", default=[], metavar="DIR", help=labels_help)
    parser.add_argument("--limit", type=positive, metavar="N", help="questions at most; of each data set of --labels")
    parser.add_argument("--common", action="store_true", help="judge the questions that both have")
    parser.add_argument(
        "--queries", type=int, default=3, metavar="N", help="queries to show, those that differ most (3)"
    )
    parser.add_argument("--out", metavar="DIR", help="folder to write, and to go on in; wanted for a RUN")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_plugins(parser)


def run(given: Namespace) -> int:
    """Judge answers, or measure how often a judge is right."""
    require_queries(given.queries)
    if bool(given.labels) == bool(given.run):
        raise SpecError(
            "name a RUN whose answers are judged, or --labels DATASET to measure the judge by; one of the two"
        )
    return _measure(given) if given.labels else _judge(given)


def _measure(given: Namespace) -> int:
    if not given.agreement:
        raise SpecError("--labels measures a judge; name the file to write with --agreement F.json")
    out = writable(given.agreement, option="--agreement")
    sets = {Path(place).resolve().name: load_beir(place) for place in given.labels}
    if len(sets) < len(given.labels):
        raise SpecError("two data sets of --labels have the same name")
    judge = Judge(named_llm(given.judge, url=given.url))
    with progress_bar() as progress:
        items = {name: list(dataset.items()) for name, dataset in sets.items()}
        agreement = measure(judge, items, limit=given.limit, n=given.nuggets, progress=progress)
    write_agreement(agreement, out)
    if given.json:
        say_json(agreement.model_dump(mode="json"))
    else:
        say("\n".join(agreement.lines()))
        say(f"\nwritten to {out}")
    return 0


def _judge(given: Namespace) -> int:
    if not given.out:
        raise SpecError("--out DIR is wanted: verdicts are kept there, and the same command goes on with them")
    agreement = read_agreement(Path(given.agreement)) if given.agreement else None
    places = [given.run, *([given.against] if given.against else [])]
    answers = [read_answers(place) for place in places]
    other = answers[1] if given.against else None
    task = Task.of(answers[0], other, names=tuple(names_of(places)), common=given.common, limit=given.limit)
    if given.dataset:
        dataset = load_beir(given.dataset)
        task = task.knowing(by_references(dataset, task.run), f"the reference answers of {dataset.name}")
    elif given.index:
        with open_index(given.index) as index:
            known = by_passages(index, task.sides, task.qids)
        task = task.knowing(known, "the passages that were read, so what no run has found is not asked for")
    out = Path(given.out)
    with progress_bar() as progress:
        report = judge_answers(
            Judge(named_llm(given.judge, url=given.url)),
            task,
            n=given.nuggets,
            out=out,
            agreement=agreement,
            progress=progress,
        )
    for name, file in zip(report.names, (RunFile.PER_QUERY, AGAINST), strict=False):
        write_per_query(report.evaluations[name], out / file)
    if given.json:
        say_json(report.as_dict())
    else:
        show(report, queries=given.queries)
        say(f"\nverdicts: {out}")
    if agreement is None:
        warn("rag: nobody measured how often this judge is right; rag lab judge --labels DATASET --agreement FILE does")
    return 0


def show(report: JudgeReport, *, queries: int) -> None:
    """Figures, and the questions whose answers differ most, as aligned text."""
    say("\n".join(report.lines()))
    for compared in report.compared[:1]:
        show_extremes(compared, queries=queries)
