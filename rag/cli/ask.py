"""`rag ask`."""

from __future__ import annotations

import textwrap
from argparse import Namespace
from collections.abc import Iterator
from functools import reduce

from rag.cli.asking import question_of
from rag.cli.console import plain, say, say_json, write
from rag.cli.search import place
from rag.core.errors import StageError
from rag.core.filters import both
from rag.core.types import Answer, AnswerDelta, Query
from rag.pipeline import load_pipeline, raise_failure
from rag.pipeline.as_json import answer_json, cited_by, ledger_json

SHOWN_CHARS = 160


def run(given: Namespace) -> int:
    """Stream the answer, then list the passages it was written from."""
    question = Query(qid="1", text=question_of(given.question), where=reduce(both, given.where, None))
    with load_pipeline(given.graph, index=given.index, offline=given.offline) as pipeline:
        pipeline.require_answers()
        if given.json:
            result = pipeline.run([question])
            raise_failure(result)
            answer = result.answers[0]
            say_json({"graph": given.graph, "index": given.index, **answer_json(answer), **ledger_json(result)})
        else:
            answer = show_answer(pipeline.stream(question))
    if answer.status == "failed":
        raise StageError(answer.outcome.detail or "no answer was written")
    return 0


def show_answer(pieces: Iterator[AnswerDelta]) -> Answer:
    """Print an answer while it is written, then its sources; return the whole."""
    answer: Answer | None = None
    for delta in pieces:
        write(plain(delta.text))
        answer = delta.answer or answer
    if answer is None:
        raise StageError("the stream ended without an answer")
    say()
    _sources(answer)
    return answer


def _sources(answer: Answer) -> None:
    """Cited passages first, and how; then those that were only retrieved."""
    if not answer.context.passages:
        return
    cited = cited_by(answer)
    similar = {citation.marker for citation in answer.citations if citation.similar}
    say()
    say("Sources" if cited else "Retrieved, none cited")
    numbered = list(enumerate(answer.context.passages, start=1))
    for marker, hit in sorted(numbered, key=lambda pair: (pair[0] not in cited, pair[0])):
        how = {"model": "cited", "attribution": "supports it (attributed)"}.get(cited.get(marker, ""), "retrieved")
        if marker in cited and marker not in similar:
            how += ", but none of its sentences has such words"
        say(f"  [{marker}] {place(hit.document)} — {how}")
        say(f"      {textwrap.shorten(plain(hit.document.text), SHOWN_CHARS, placeholder=' …')}")
