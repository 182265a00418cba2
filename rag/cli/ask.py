"""`rag ask`."""

from __future__ import annotations

import textwrap
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rag.cli.asking import asking, question_of, read_line
from rag.cli.console import plain, say, say_json, warn, write
from rag.cli.keeping import keeping
from rag.cli.options import (
    GRAPH_HELP,
    NO_SERVER_HELP,
    calibrated,
    filtered,
    indexed,
    logged,
    patient,
    permitted,
    running,
    written,
)
from rag.cli.running_server import answers
from rag.cli.search import place
from rag.core.errors import StageError
from rag.core.words import meant_line

if TYPE_CHECKING:
    from rag.core.types import Answer, AnswerDelta

SHOWN_CHARS = 160
SHOWN_TITLE = 40


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("question", nargs="?", help="unset, or -: what stdin says")
    indexed(parser, needed=False, several=True)
    written(parser)
    patient(parser)
    calibrated(parser)
    parser.add_argument("--graph", default="ask", metavar="G", help=GRAPH_HELP)
    filtered(parser)
    permitted(parser)
    parser.set_defaults(asking=())
    logged(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of streaming")
    parser.add_argument("--no-server", action="store_true", help=NO_SERVER_HELP)
    running(parser)


def run(given: Namespace) -> int:
    """Stream the answer, then list the passages it was written from."""
    beside = asking(given)
    wanted = {"command": "ask", "text": question_of(given.question, beside), "whole": given.json, **beside}
    with keeping(given) as keep:
        events = answers(given, wanted)
        if given.json:
            [event] = events
            answer = event["document"]
            say_json({"graph": given.graph, "index": given.index, **answer})
        else:
            answer = show_events(events)
            if answer["question"] != wanted["text"]:
                say(plain(f"\nAsked: {answer['question']}"))
        keep(answer)
    if answer["status"] == "failed":
        raise StageError(answer["outcome"]["detail"] or "no answer was written")
    return 0


def show_answer(pieces: Iterator[AnswerDelta]) -> Answer:
    """Print an answer while it is written, then its sources; return the whole."""
    from rag.pipeline.as_json import answer_json

    answers: list[Answer] = []

    def events() -> Iterator[Mapping[str, Any]]:
        for delta in pieces:
            yield {"text": delta.text}
            if delta.answer is not None:
                answers.append(delta.answer)
                yield {"document": answer_json(delta.answer)}

    show_events(events())
    return answers[-1]


def show_events(events: Iterator[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Print what is told of an answer while it is written, then its sources; return it as plain data."""
    answer: Mapping[str, Any] | None = None
    meant, read = dict[str, Any](), list[Any]()
    for event in events:
        if event.get("opening"):
            warn("Opening the index ...")
        if found := event.get("found"):
            if (near := found.get("near", {})) != meant:
                warn(meant_line(meant := near))
            if (now := found.get("read", read)) != read:
                warn(plain(read_line(read := now)))
            warn(_sign(found))
        write(plain(event.get("text", "")))
        answer = event.get("document", answer)
    if answer is None:
        raise StageError("the stream ended without an answer")
    say()
    if answer["status"] == "no_answer" and (why := answer["outcome"]["detail"]):
        say(plain(f"\nDeclined: {why}."))
    _verdicts(answer)
    if answer["confidence"] is not None:
        say(f"\nConfidence: {answer['confidence']:.2f}")
    _sources(answer)
    return answer


def _sign(found: Mapping[str, Any]) -> str:
    """A sign of life before the first word."""
    if "reading" in found:
        return f"Reading {_passages(found['reading'])} ..."
    if "worked_out" in found:
        return "Looked at the fields of the documents:"
    titles = ", ".join(textwrap.shorten(plain(title), SHOWN_TITLE, placeholder=" …") for title in found["such_as"])
    return f"Found {_passages(found['passages'])}{': ' if titles else ''}{titles} ..."


def _passages(n: int) -> str:
    return f"{n:,} passage{'s' * (n != 1)}"


def _verdicts(answer: Mapping[str, Any]) -> None:
    """How many sentences passed the check, and those that did not."""
    verdicts = answer["verdicts"]
    if not verdicts:
        return
    say()
    say(_tally(verdicts))
    for verdict in verdicts:
        if verdict["kind"] in ("unsupported", "contradicted"):
            said = plain(answer["answer"][verdict["start"] : verdict["end"]])
            say(f"  {_words_of(verdict)}: {textwrap.shorten(said, SHOWN_CHARS, placeholder=' …')}")
        if verdict["not_copied"]:
            say(
                f"  no passage has: {textwrap.shorten(plain(', '.join(verdict['not_copied'])), SHOWN_CHARS, placeholder=' …')}"
            )


def _tally(verdicts: Sequence[Mapping[str, Any]]) -> str:
    """What was looked at, and no more: a sentence whose words stand in a passage may still answer another question."""
    n = len(verdicts)
    like = [verdict for verdict in verdicts if verdict["kind"] == "similar" and verdict["by"] == "words"]
    counts = Counter(verdict["kind"] for verdict in verdicts if verdict not in like)
    parts = [f"{some} {_KINDS[kind][some > 1]}" for kind, some in counts.items()]
    by = f" (checked by {verdicts[0]['by']})."
    if not like:
        return (
            f" of {n} sentence{'s' * (n > 1)} ".join(parts[0].split(" ", 1)) + "".join(f", {p}" for p in parts[1:]) + by
        )
    markers = sorted({verdict["marker"] for verdict in like})
    where = f"passage{'s' * (len(markers) > 1)} {', '.join(map(str, markers))}"
    whose = "Its words" if n == 1 else f"The words of {len(like)} of {n} sentences"
    rest = "".join(f", {part}" for part in parts)
    return f"{whose} stand in {where}{rest}; whether {'it answers' if n == 1 else 'they answer'} the question was not checked."


_KINDS = {
    "supported": ("is supported by a passage", "are supported by a passage"),
    "similar": ("is like what a passage says", "are like what a passage says"),
    "contradicted": ("contradicts a passage", "contradict a passage"),
    "unsupported": ("is not in the passages", "are not in the passages"),
}
"""Kind of a verdict, but for `similar` by words alone -> what one sentence is, and what several are."""


def _words_of(verdict: Mapping[str, Any]) -> str:
    """`supported` is said only where the means was measured to be right about that."""
    if verdict["kind"] == "similar":
        return "similar words" if verdict["by"] == "words" else "similar"
    if verdict["kind"] == "contradicted":
        return f"contradicted by [{verdict['marker']}]"
    return "not in the passages" if verdict["kind"] == "unsupported" else str(verdict["kind"])


def _sources(answer: Mapping[str, Any]) -> None:
    """Cited passages first, and how; then those that were only retrieved."""
    passages = answer["passages"]
    if not passages:
        return
    similar = {citation["marker"] for citation in answer["citations"] if citation["similar"]}
    say()
    say("Sources" if any(passage["cited_by"] for passage in passages) else "Retrieved, none cited")
    for passage in sorted(passages, key=lambda one: (one["cited_by"] is None, one["marker"])):
        by, marker = passage["cited_by"], passage["marker"]
        how = {"model": "cited", "attribution": "supports it (attributed)"}.get(by, "retrieved")
        if by is not None and marker not in similar:
            how += ", but none of its sentences has such words"
        say(f"  [{marker}] {place(passage)} — {how}")
        say(f"      {textwrap.shorten(plain(passage['text']), SHOWN_CHARS, placeholder=' …')}")
