"""`rag models`."""

from __future__ import annotations

from argparse import Namespace

from rag.cli.console import progress_bar, say
from rag.models import list_models, resolve


def run(given: Namespace) -> int:
    """List the model cache, or fetch into it."""
    if given.action == "pull":
        with progress_bar() as progress:
            folder = resolve(given.name, revision=given.revision, progress=progress)
        say(f"{folder.name}: {folder.path}")
        return 0
    for model in list_models():
        size = f"{model.size_bytes / 2**20:,.0f} MiB" if model.size_bytes else ""
        say(f"{model.name:<28} {model.state:<12} {size:>10}  {model.licence:<12} {model.path or model.source}")
    return 0
