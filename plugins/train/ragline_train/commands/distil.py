"""static vectors of an encoder: fast, and less exact"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag.commands import positive, say
from ragline_train.static_vectors import distil_static


def options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="packaged name, folder or hub id of the encoder")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write, to be named as an encoder")
    parser.add_argument("--revision", metavar="REV", help="hub revision")
    parser.add_argument("--dim", type=positive, default=256, metavar="N", help="numbers per vector (default: 256)")
    numbers_help = "what a number is kept as (default: float16)"
    parser.add_argument("--numbers", choices=("float32", "float16", "int8"), default="float16", help=numbers_help)


def run(given: Namespace) -> int:
    """Write the folder, and say how a graph names it."""
    out = distil_static(given.name, Path(given.out), revision=given.revision, dim=given.dim, numbers=given.numbers)
    say(f"{out}: static vectors of {given.name}. In a graph: index: {{dense: {{encoder: {out}}}}}")
    return 0
