"""`rag draw`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from rag.cli.console import say
from rag.cli.options import GRAPH_HELP, add_plugins
from rag.graph.draw import draw, in_text
from rag.graph.load import load_spec


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("graph", metavar="G", help=GRAPH_HELP)
    parser.add_argument(
        "-o", "--output", metavar="F", help="file to write: .svg, .mmd or .html; unset draws in the terminal"
    )
    add_plugins(parser)


def run(args: Namespace) -> int:
    """Write the picture, or draw it in the terminal."""
    graph = load_spec(args.graph).graph
    if args.output is None:
        say(in_text(graph))
        return 0
    draw(graph, args.output)
    say(args.output)
    return 0
