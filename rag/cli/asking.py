"""The question of a command, as it was given or as stdin says it, who asks it, and what plug-ins add to it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from rag.core.access import Asker, asker_given
from rag.core.contents import Content, content_json
from rag.core.errors import RagError, SpecError
from rag.core.registry import Registry

_LONGEST_BYTES = 1_000_000

ASKING = Registry("asking", {})
"""Name -> a class that keeps `Asking`."""


class Asking(Protocol):
    """Options of `rag search`, `rag ask` and `rag chat`, and what they add to a question."""

    @staticmethod
    def options(parser: ArgumentParser) -> None:
        """Add them. None may be needed."""

    @staticmethod
    def contents(given: Namespace) -> Iterable[Content]:
        """What is asked beside the text."""

    @staticmethod
    def where(given: Namespace) -> Iterable[str]:
        """Filters, as `--where` takes them."""


def add_asking(parser: ArgumentParser, words: Sequence[str] | None) -> None:
    """The options of plug-ins, which are looked up where a word is no option that the command has itself."""
    known = {*parser._option_string_actions} - {"-h", "--help"}
    if words is not None and not any(word[:1] == "-" and word.partition("=")[0] not in known for word in words):
        return

    def added(name: str, plug_in: Asking) -> tuple[str, Asking]:
        plug_in.options(parser)
        return name, plug_in

    parser.set_defaults(asking=[*ASKING.each(added)])


def asked_beside(given: Namespace) -> tuple[list[Content], list[str]]:
    """The contents of a question, and its filters: those of `--where`, and what plug-ins make of their options.

    Raises:
        SpecError: a plug-in fails at it; says whose it is.
    """
    contents, where = list[Content](), [*given.where]
    for name, plug_in in given.asking:
        try:
            contents += plug_in.contents(given)
            where += plug_in.where(given)
        except RagError:
            raise
        except Exception as cause:
            raise ASKING.broken(name, "cannot be used", cause) from cause
    return contents, where


def question_of(given: str | None, beside: Mapping[str, object]) -> str:
    """The question; `-` or nothing means stdin, whose last line end goes. Beside contents none is needed.

    Raises:
        SpecError: nobody gave one, or it is empty, too long, or not UTF-8.
    """
    if given is None and "contents" in beside:
        return ""
    if given not in (None, "-"):
        if not given.strip():
            raise SpecError("the question is empty. Give one in words, or - to read it from stdin")
        return given
    if given is None and sys.stdin.isatty():
        raise SpecError("no question. Give one, or let another program write it: echo QUESTION | rag ask")
    raw = sys.stdin.buffer.read(_LONGEST_BYTES + 1)
    if len(raw) > _LONGEST_BYTES:
        raise SpecError(f"the question on stdin is over {_LONGEST_BYTES:,} bytes")
    try:
        question = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SpecError("the question on stdin is no UTF-8") from None
    if not question.strip():
        raise SpecError("the question on stdin is empty")
    return question


def read_line(read: Sequence[Mapping[str, Any]]) -> str:
    """What was read from the question, and how it is asked without, where an option says that."""
    told = "read from the question: " + ", ".join(each["text"] for each in read)
    return f"{told} (--as-typed searches without)" if "as_typed" in ASKING else told


def asker_of(given: str | None) -> Asker | None:
    """Who asks, by `--as`: JSON, or a file that holds it.

    Raises:
        SpecError: it is neither.
    """
    return None if given is None else asker_given(given, place="--as")


def asking(given: Namespace) -> dict[str, object]:
    """Who asks, contents and filters as plain data, for what is wanted of a pipeline."""
    asker, (contents, where) = asker_of(given.asker), asked_beside(given)
    return {
        "where": where,
        **({} if asker is None else {"asker": asker.as_dict()}),
        **({"contents": [content_json(content) for content in contents]} if contents else {}),
    }
