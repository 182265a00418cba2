"""an index with its pictures and sounds as one file, which is checked when it is read"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag.commands import say, warn, writable
from ragline_media.bundles import bundle


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--index", required=True, metavar="DIR", help="the index")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="file to write, which must not be there")
    parser.add_argument("--sources", action="store_true", help="with the PDF files of which pages are shown")


def run(given: Namespace) -> int:
    """Write the file, and say its digest."""
    writable(given.output, option="--output")
    file, missed = Path(given.output), list[str]()
    sha256 = bundle(Path(given.index), file, sources=given.sources, missed=missed.append)
    if missed:
        warn(f"{len(missed)} files are not as they were read, and so not in it; first: {missed[0]}")
    back = " --sources DIR" if given.sources else ""
    say(f"{file}: {file.stat().st_size:,} bytes, sha256 {sha256}. Back: rag unbundle {file} --index DIR{back}")
    return 0
