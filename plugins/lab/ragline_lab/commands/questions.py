"""`rag lab questions`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict
from pathlib import Path

from rag.commands import add_plugins, positive, progress_bar, say, say_json, warn
from rag.errors import SpecError
from rag.evaluate import load_beir
from rag.files import QuestionLog
from rag.indexes import open_index
from ragline_lab.commands.lab import model_of
from ragline_lab.llms import named_llm
from ragline_lab.questions.elsewhere import open_elsewhere
from ragline_lab.questions.making import make_questions
from ragline_lab.questions.written import write_rated


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--index", required=True, metavar="DIR", help="the index that questions are asked about")
    model_of(parser, "--model", "the model that writes questions")
    log_help = "in place of a model: questions that people asked, judged by how they rated the answers; see rag log"
    parser.add_argument("--from-log", metavar="FILE", help=log_help)
    parser.add_argument("--n", type=positive, default=100, metavar="N", help="questions wanted (default: 100)")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="BEIR-layout folder to write, and to go on in")
    depth_help = "a passage that no leg finds within so many hits gives no question (50)"
    parser.add_argument("--depth", type=positive, default=50, metavar="N", help=depth_help)
    check_help = "the model must also answer each question from its passage as it did when it wrote it"
    parser.add_argument("--answerable-check", action="store_true", help=check_help)
    other_help = "also questions without an answer: of another index, a BEIR-layout folder or a qa.jsonl"
    parser.add_argument("--unanswerable-from", metavar="OTHER", help=other_help)
    parser.add_argument("--unanswerable", type=positive, metavar="N", help="how many of those (half of --n)")
    corpus_help = "BEIR-layout folder that the index was made of: linked, and its documents judged, not passages"
    parser.add_argument("--corpus", metavar="DIR", help=corpus_help)
    parser.add_argument("--seed", type=int, default=0, help="of the draw of passages")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_plugins(parser)


def run(given: Namespace) -> int:
    """Write a set of questions about an index, and print what was kept and what was dropped."""
    if given.from_log:
        return _rated(given)
    if given.unanswerable is not None and not given.unanswerable_from:
        raise SpecError("--unanswerable wants --unanswerable-from: another index, or a folder of questions")
    elsewhere = open_elsewhere(given.unanswerable_from) if given.unanswerable_from else None
    known = None if elsewhere is None else elsewhere.index
    other: AbstractContextManager[object] = nullcontext() if known is None else known
    with open_index(given.index) as index, other, progress_bar() as progress:
        report = make_questions(
            index,
            named_llm(given.model, url=given.url),
            n=given.n,
            out=Path(given.out),
            seed=given.seed,
            depth=given.depth,
            check_answers=given.answerable_check,
            elsewhere=elsewhere,
            unanswerable=given.unanswerable or (given.n + 1) // 2,
            corpus=load_beir(given.corpus) if given.corpus else None,
            command=given.typed,
            progress=progress,
        )
    if given.json:
        say_json(report.as_dict())
    else:
        say("\n".join(report.lines()))
        say(f"\nset: {report.out}")
    for warning in report.warnings():
        warn(f"rag: {warning}")
    return 0


def _rated(given: Namespace) -> int:
    if given.model or given.unanswerable_from or given.corpus or given.answerable_check:
        raise SpecError(
            "--from-log makes questions of a log alone: leave out the model, --corpus and what a model is for"
        )
    with open_index(given.index) as index, closing(QuestionLog.existing(Path(given.from_log))) as log:
        report = write_rated(log.entries(), index, Path(given.out))
    if given.json:
        say_json(asdict(report))
    else:
        say("\n".join([*report.lines(), f"\nset: {report.out}"]))
    return 0
