"""`rag completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from rag.cli.console import write
from rag.core.optional import need


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(given: Namespace) -> int:
    """Print a script for a shell to read."""
    need("argcomplete", by="rag completion")
    from argcomplete.shell_integration import shellcode

    write(shellcode(["rag"], shell=given.shell) + "\n")
    return 0
