"""a key for `rag serve`, printed once"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag.commands import asker_of, permitted, say, warn
from rag.errors import SpecError
from ragline_serve.service.keys import VARIABLE, add_key, new_key


def options(parser: ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="file that its hash is added to; unset only prints it")
    permitted(parser, "whom the key is for: whoever holds it reads what they may read")
    parser.add_argument("--write", action="store_true", help="it may also add, update and remove documents")
    parser.add_argument("--name", default="first", help="what the key is called in the file (default: first)")


def run(args: Namespace) -> int:
    """Print a new key, this once. With a file, its hash is added there."""
    asker = asker_of(args.asker)
    if args.file is None and asker is not None:
        raise SpecError("rag keys: whom a key is for is kept in its file; name one: rag keys FILE --as WHO")
    if args.file is None and args.write:
        raise SpecError("rag keys: what a key may do is kept in its file; name one: rag keys FILE --write")
    if args.file is None:
        say(new_key())
        warn(f"rag: kept nowhere; give it to the server in {VARIABLE}")
        return 0
    say(add_key(Path(args.file), args.name, asker, writes=args.write))
    warn(f"rag: only its hash is kept, in {args.file}; serve with --keys {args.file}")
    return 0
