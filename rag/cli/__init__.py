"""The `rag` command: parses arguments, calls the library, prints. It holds no logic of its own.

Exit codes: 0 ok, 2 usage or configuration, 3 missing dependency or model, 4 bad or mismatched index, 5 a stage failed,
130 interrupted.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module

from rag.cli.console import make_logs_plain, warn
from rag.cli.parser import parser
from rag.core.errors import RagError
from rag.core.plugins import load_plugin


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = parser().parse_args(arguments)
    if given.command is None:
        parser().print_help()
        return 2
    make_logs_plain()
    try:
        return _run(given)
    except RagError as error:
        warn(f"rag: {error}")
        return error.exit_code
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stderr.close()
        return 0
    except KeyboardInterrupt as stop:  # indexing says here what is kept
        warn(f"rag: {stop}" if str(stop) else "rag: interrupted")
        return 130
    except ImportError as error:
        from rag.core.house import foreign_error

        warn(f"rag: {foreign_error(error) or error}")
        return 3


def _run(given: Namespace) -> int:
    for name in given.plugin:
        load_plugin(name)
    command = import_module(f"rag.cli.{given.module}")
    if not getattr(given, "trace", None):
        return int(command.run(given))
    from rag import tracing

    with tracing.to_file(given.trace, text=given.trace_text):
        return int(command.run(given))


if __name__ == "__main__":
    sys.exit(main())
