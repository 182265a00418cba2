"""`rag lab questions`."""

from __future__ import annotations

from argparse import Namespace
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from rag.cli.console import say, say_json, warn
from rag.cli.progress import progress_bar
from rag.core.errors import SpecError
from rag.evaluate.beir import load_beir
from rag.lab.llms import named_llm
from rag.lab.questions import make_questions, open_elsewhere
from retrievers.index.opening import open_index


def run(given: Namespace) -> int:
    """Write a set of questions about an index, and print what was kept and what was dropped."""
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
        for line in report.lines():
            say(line)
        say(f"\nset: {report.out}")
    for warning in report.warnings():
        warn(f"rag: {warning}")
    return 0
