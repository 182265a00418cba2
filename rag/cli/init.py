"""`rag init`: a graph of one's own, to begin with."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag.cli.console import say
from rag.core.errors import SpecError
from rag.graph.load import builtin_text

_HEAD = """\
# A graph: which components run, on what, in which order. Made from the built-in graph `{name}`.
#
# rag check {file}                  finds mistakes before anything loads
# rag draw {file} -o graph.svg      draws it
# rag list rerank                   the components of a stage, and their parameters
# rag index SRC --index DIR --graph {file}
#
# version      of this format
# models       language models, each with a name that nodes use
# nodes        name: {{use: stage.component, in: what it reads, k: how many it keeps, with: its parameters}}
#              `in` is the query where nothing is said
# output       the node whose records are the result
# index        settings of the index: how texts are cut, which encoder. Left out here, so the defaults hold
"""


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("file", nargs="?", default="graph.yaml", metavar="FILE", help="default: graph.yaml")
    parser.add_argument("--graph", default="ask", metavar="G", help="built-in graph to begin with (default: ask)")


def run(given: Namespace) -> int:
    """Write a commented graph. A file that is there stays."""
    text = _HEAD.format(name=given.graph, file=given.file) + "\n" + builtin_text(given.graph)
    try:
        with Path(given.file).open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise SpecError(f"'{given.file}' is there already. Name another file: rag init FILE") from None
    except OSError as cause:
        raise SpecError(f"'{given.file}' cannot be written: {cause.strerror}") from None
    say(f"{given.file}. Next: rag check {given.file}")
    return 0
