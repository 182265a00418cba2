"""Options that several commands share."""

from __future__ import annotations

import os
from argparse import ArgumentParser, ArgumentTypeError

PATIENCE_S = 15.0
"""Seconds that somebody waits for the first word, about."""
GRAPH_HELP = "built-in name (see `rag list graph`) or YAML file"
LANGUAGE_HELP = (
    "ISO 639-1 language of the documents; each: every document in its own; auto, the default: as the texts are"
)
NO_SERVER_HELP = "do the work here, though a `rag serve` of this index and graph runs"


def add_plugins(sub: ArgumentParser) -> None:
    """The option of a command that reads graphs."""
    plugin_help = "module or .py file whose components graphs may use; may be repeated"
    sub.add_argument("--plugin", action="append", default=[], metavar="MODULE", help=plugin_help)


def positive(text: str) -> int:
    """An integer of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def indexed(sub: ArgumentParser, *, needed: bool, several: bool = False) -> None:
    """The index that a command works on, or the indexes that it searches as one."""
    where = "default: $RAGLINE_INDEX, then ragline.toml"
    why = where if needed else f"needed unless the graph searches nothing ({where})"
    if several:
        sub.add_argument("--index", action="append", metavar="DIR", help=f"{why}; again: another, searched with it")
    else:
        sub.add_argument("--index", metavar="DIR", help=why)
    sub.set_defaults(wants_index="needed" if needed else "taken")


def running(sub: ArgumentParser) -> None:
    """The switches of commands that run a graph."""
    add_plugins(sub)
    sub.add_argument("--offline", action="store_true", help="fail rather than fetch a model")
    trace, text = os.environ.get("RAGLINE_TRACE"), os.environ.get("RAGLINE_TRACE_TEXT", "")
    sub.add_argument(
        "--trace",
        metavar="FILE",
        default=trace,
        help="append OpenTelemetry spans as JSON lines, by ragline-tracing (or RAGLINE_TRACE)",
    )
    sub.add_argument(
        "--trace-text",
        action="store_true",
        default=text.lower() in ("1", "true", "yes", "on"),
        help="also what is asked, found and written (or RAGLINE_TRACE_TEXT=1)",
    )


def written(sub: ArgumentParser) -> None:
    """Another model that writes than the graph's."""
    model_help = (
        "write with this model, within its window: packaged name, folder, hub id, .gguf; with --url, its name there"
    )
    sub.add_argument("--model", metavar="NAME", help=model_help)
    sub.add_argument("--url", metavar="URL", help="write with the OpenAI-compatible server whose /v1 begins there")


def patient(sub: ArgumentParser) -> None:
    """How long somebody waits for the first word."""
    patience_help = (
        f"seconds that passages may be read before the first word; 0: however long it takes ({PATIENCE_S:g})"
    )
    sub.add_argument("--patience", type=_seconds, default=PATIENCE_S, metavar="S", help=patience_help)


def _seconds(text: str) -> float | None:
    """A number of seconds, at least 0, which is no bound: None."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"seconds are a number of at least 0, got {text!r}")
    return value or None


def calibrated(sub: ArgumentParser, *, answers: bool = True) -> None:
    """What is known of a graph's scores and answers, for commands that ask it."""
    file_help = "file of `rag calibrate`: relevance beside scores; answers that are not sure enough are refused"
    sub.add_argument("--calibration", metavar="FILE", help=file_help)
    worth_help = "leave out hits that are worth less, from 0 to 1, by the calibration (0)"
    sub.add_argument("--min-relevance", type=float, default=0.0, metavar="R", help=worth_help)
    sub.set_defaults(risk=None, confidence=None)
    if not answers:
        return
    sub.add_argument("--risk", type=float, metavar="A", help="most wrong answers of those given (default: the file's)")
    sub.add_argument("--confidence", type=float, metavar="C", help="of the risk (default: the file's)")


def filtered(sub: ArgumentParser) -> None:
    """The filter of commands that ask questions."""
    where_help = "only documents whose metadata fits, such as 'lang = de and year >= 2020'; again: both must hold"
    sub.add_argument("--where", action="append", default=[], metavar="FILTER", help=where_help)


def permitted(sub: ArgumentParser, why: str = "who asks, where documents say who may read them") -> None:
    """Who a command acts for."""
    as_help = f'{why}: JSON such as \'{{"user": "ann", "tenant": "north"}}\', or a file of it; unset: public alone'
    sub.add_argument("--as", dest="asker", metavar="WHO", help=as_help)


def logged(sub: ArgumentParser) -> None:
    """Where questions and answers are kept."""
    log_help = "keep questions and answers there, for rag log (or RAGLINE_LOG); unset keeps none"
    sub.add_argument("--log", metavar="FILE", default=os.environ.get("RAGLINE_LOG"), help=log_help)


def consenting(sub: ArgumentParser) -> None:
    """The switch of commands that may lose documents."""
    sub.add_argument("--yes", action="store_true", help="go on though over half of the documents would go")
