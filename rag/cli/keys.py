"""`rag keys`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from rag.cli.console import say, warn
from rag.service.keys import VARIABLE, add_key, new_key


def run(args: Namespace) -> int:
    """Print a new key, this once. With a file, its hash is added there."""
    if args.file is None:
        say(new_key())
        warn(f"rag: kept nowhere; give it to the server in {VARIABLE}")
        return 0
    say(add_key(Path(args.file), args.name))
    warn(f"rag: only its hash is kept, in {args.file}; serve with --keys {args.file}")
    return 0
