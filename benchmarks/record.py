"""One JSON line per measured result: what, on which commit, machine and library versions."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rag.core.errors import SpecError
from rag.core.held_folder import require_writable
from rag.models.processor import processor_name

RESULTS = Path(__file__).parent / "results"
_LIBRARIES = ("torch", "transformers", "bm25s", "faiss-cpu", "numba", "numpy")


def machine() -> dict[str, Any]:
    """Processor, cores, Python and library versions. Names no host, user or folder."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"cpu": processor_name(), "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def commit() -> str:
    """The commit that was measured; `+` marks uncommitted changes to product code, new files and plug-ins with it."""
    root = Path(__file__).resolve().parents[1]
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
        product = ["rag", "retrievers", "rerankers", "generators", "prompts", "plugins/*/ragline_*"]
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--", *product], cwd=root, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def recorded(name: str) -> list[dict[str, Any]]:
    """The lines of benchmarks/results/NAME.jsonl, oldest first; none where nothing was recorded."""
    path = RESULTS / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def latest(name: str) -> dict[str, Any] | None:
    """The newest of them; None where nothing was recorded."""
    return next(reversed(recorded(name)), None)


class Record(argparse.Action):
    """`--record`: whether results are kept. Refused at once where they could not be, before hours of work."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, default=False, help=help)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: object, option: str | None = None
    ) -> None:
        try:
            require_writable(RESULTS)
        except SpecError as error:
            parser.error(f"{option}: {error}")
        setattr(namespace, self.dest, True)


def for_folder(given: str | Path) -> Path:
    """The type of an argument that names a folder to write: where that cannot be, it is told before the work.

    Raises:
        argparse.ArgumentTypeError: nothing can be written there.
    """
    path = Path(given)
    try:
        require_writable(path)
    except SpecError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return path


def record(name: str, result: dict[str, Any]) -> None:
    """Append one line to benchmarks/results/NAME.jsonl."""
    RESULTS.mkdir(exist_ok=True)
    line = {**result, "commit": commit(), "machine": machine()}
    with (RESULTS / f"{name}.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line, sort_keys=True) + "\n")
