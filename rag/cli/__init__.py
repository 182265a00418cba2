"""The `rag` command: parses arguments, calls the library, prints. It holds no logic of its own.

Exit codes: 0 ok, 1 a gate was not passed or a run no longer holds, 2 usage or configuration, 3 missing dependency or
model, 4 bad or mismatched index, 5 a stage failed, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module

from rag.cli.console import fail, set_loudness
from rag.cli.defaults import fill_index
from rag.cli.parser import parser
from rag.core.errors import RagError
from rag.core.plugins import load_plugin

_IDLE = "4"
"""Threads of numpy's OpenBLAS wait 2^26 cycles for work without sleeping, also when there is none: a tenth of a second of
another core for every command. 2^4 is the least."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what could stand here
        import argcomplete

        argcomplete.autocomplete(parser(os.environ.get("COMP_LINE", "").split()[1:]))
    words = sys.argv[1:] if arguments is None else arguments
    try:
        whole = parser(words)
    except RagError as error:  # a plug-in's
        fail(f"rag: {error}")
        return error.exit_code
    given = whole.parse_args(words)
    given.typed = ("rag", *words)
    if given.command is None:
        whole.print_help()
        return 2
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", _IDLE)
    set_loudness(quiet=given.quiet, verbose=given.verbose)
    try:
        return _run(given)
    except RagError as error:
        if given.verbose:
            traceback.print_exc()
        fail(f"rag: {error}")
        return error.exit_code
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stderr.close()
        return 0
    except KeyboardInterrupt as stop:  # indexing says here what is kept
        fail(f"rag: {stop}" if str(stop) else "rag: interrupted")
        return 130
    except ImportError as error:
        from rag.core.house import foreign_error

        fail(f"rag: {foreign_error(error) or error}")
        return 3


def _run(given: Namespace) -> int:
    fill_index(given)
    for name in given.plugin:
        load_plugin(name)
    command = import_module(given.module)
    if not getattr(given, "trace", None):
        return int(command.run(given))
    from rag.tracing import TRACES

    with TRACES.get("file")(given.trace, text=given.trace_text):
        return int(command.run(given))


if __name__ == "__main__":
    sys.exit(main())
