"""`rag chat`: a conversation in the terminal. Nothing of it is kept once it ends, unless `--log` says where."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from rag.cli.ask import show_events
from rag.cli.asking import asked_beside, asker_of
from rag.cli.console import say, warn, write
from rag.cli.keeping import Keep, keeping
from rag.cli.options import (
    GRAPH_HELP,
    calibrated,
    filtered,
    indexed,
    logged,
    patient,
    permitted,
    running,
    written,
)
from rag.cli.running_server import loaded_pipeline
from rag.core.errors import RagError, SpecError
from rag.core.types import Message, Query

if TYPE_CHECKING:
    from rag.pipeline import Pipeline

_LONGEST_LINE = 100_000


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    indexed(parser, needed=False, several=True)
    written(parser)
    patient(parser)
    calibrated(parser)
    parser.add_argument("--graph", default="chat", metavar="G", help=GRAPH_HELP)
    filtered(parser)
    permitted(parser)
    parser.set_defaults(asking=())
    logged(parser)
    running(parser)


def run(given: Namespace) -> int:
    """Answer a question a line until the input ends."""
    from rag.core.filters import asked_by, both

    with keeping(given) as keep, loaded_pipeline(given) as pipeline:
        pipeline.require_answers()
        contents, filters = asked_beside(given)
        asked = Query(
            qid="1",
            text="",
            where=asked_by(asker_of(given.asker), reduce(both, filters, None)),
            contents=tuple(contents),
        )
        if sys.stdin.isatty():
            warn("Ask; Ctrl-C ends an answer, Ctrl-D the chat")
            with suppress(ImportError):
                import readline  # noqa: F401  (keys that move and repeat lines)
        _converse(pipeline, asked, keep)
    return 0


def _converse(pipeline: Pipeline, asked: Query, keep: Keep) -> None:
    said: list[Message] = []
    while (question := _question()) is not None:
        if not question.strip():
            continue
        try:
            answer = _answered(pipeline, replace(asked, text=question.strip()), said)
        except KeyboardInterrupt:
            say()
            warn("stopped; this question is no part of the conversation")
            continue
        except RagError as error:
            warn(f"rag: {error}")
            continue
        keep(answer)
        if answer["status"] != "failed":
            said += [Message(role="user", content=question), Message(role="assistant", content=answer["answer"])]
        say()


def _question() -> str | None:
    """The next line; None where there are no more. At a terminal Ctrl-C only takes back what was typed."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline(_LONGEST_LINE + 1)
        if len(line) > _LONGEST_LINE:
            raise SpecError(f"a question has over {_LONGEST_LINE:,} characters; one stands on each line")
        return line or None
    while True:
        try:
            return input("> ")
        except KeyboardInterrupt:
            write("\n")
        except EOFError:
            write("\n")
            return None


def _answered(pipeline: Pipeline, asked: Query, said: list[Message]) -> Mapping[str, Any]:
    """Show the answer to a question with the latest turns before it that fit, and drop those that do not for good."""
    from rag.pipeline.plain_results import told_answer
    from rag.pipeline.turns import answering_llm, history_budget, latest_turns

    llm = answering_llm(pipeline.graph)
    said[:] = latest_turns(said, history_budget(llm), llm)
    with closing(told_answer(pipeline, replace(asked, history=tuple(said)))) as events:
        return show_events(events)
