"""the index that a bundle holds, if not a byte of it changed"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag.commands import say
from ragline_media.bundles import unbundle


def options(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="what `rag bundle` wrote")
    parser.add_argument("--index", required=True, metavar="DIR", help="folder to write, which must not be there")
    sources_help = "folder for the files of which pages are shown, which must not be there; the index finds them there"
    parser.add_argument("--sources", metavar="DIR", help=sources_help)


def run(given: Namespace) -> int:
    """Check the file, write the folder, and say which it is."""
    sha256 = unbundle(Path(given.file), Path(given.index), sources=Path(given.sources) if given.sources else None)
    say(f"{given.index}: the index of {given.file}, sha256 {sha256}")
    return 0
