"""`rag remove`."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from rag.cli.console import plain_data, say, say_json
from rag.cli.progress import progress_bar
from rag.cli.sources import say_losses, with_consent
from rag.indexing import remove_from_index


def run(given: Namespace) -> int:
    """Take sources and documents out of an index."""
    with progress_bar() as progress:
        report = with_consent(
            lambda most_lost: remove_from_index(given.targets, given.index, most_lost=most_lost, progress=progress),
            given,
        )
    if given.json:
        say_json(plain_data(asdict(report)))
        return 0
    say_losses(report)
    say(f"{report.n_units:,} passages of {report.n_documents:,} documents are left in {given.index}")
    return 0
