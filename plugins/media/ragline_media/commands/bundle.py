"""an index with its pictures and sounds as one file, which is checked when it is read"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag.commands import say, writable
from ragline_media.bundles import bundle


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--index", required=True, metavar="DIR", help="the index")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="file to write, which must not be there")


def run(given: Namespace) -> int:
    """Write the file, and say its digest."""
    writable(given.output, option="--output")
    file = Path(given.output)
    sha256 = bundle(Path(given.index), file)
    say(f"{file}: {file.stat().st_size:,} bytes, sha256 {sha256}. Back: rag unbundle {file} --index DIR")
    return 0
