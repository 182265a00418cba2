"""For authors of commands of `rag`: a line of the table, options that several share, and how a command writes."""

from rag.cli.asking import ASKING, asker_of
from rag.cli.commands import Command, add_commands
from rag.cli.compare import names_of, require_queries, show_compared, show_extremes
from rag.cli.console import say, say_json, warn
from rag.cli.options import GRAPH_HELP, add_plugins, indexed, logged, patient, permitted, positive, running, written
from rag.cli.outputs import writable
from rag.cli.progress import progress_bar
from rag.cli.risk_table import risk_table

__all__ = [
    "ASKING",
    "GRAPH_HELP",
    "Command",
    "add_commands",
    "add_plugins",
    "asker_of",
    "indexed",
    "logged",
    "names_of",
    "patient",
    "permitted",
    "positive",
    "progress_bar",
    "require_queries",
    "risk_table",
    "running",
    "say",
    "say_json",
    "show_compared",
    "show_extremes",
    "warn",
    "writable",
    "written",
]
