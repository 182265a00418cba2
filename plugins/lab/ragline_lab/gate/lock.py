"""Which data a suite was first run on, beside the suite: figures of other data would be compared with nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rag.errors import SpecError
from rag.files import write_atomically

Fingerprints = Mapping[str, Mapping[str, str]]
"""Check -> part of its data -> sha256."""


def lock_of(suite: Path) -> Path:
    """The file that keeps the fingerprints of a suite: `gate.lock.json` beside `gate.yaml`."""
    return suite.with_suffix(".lock.json")


def read_lock(path: Path) -> Fingerprints:
    """What was kept; nothing where the suite was never run.

    Raises:
        SpecError: it cannot be read, or is no such file.
    """
    if not path.exists():
        return {}
    try:
        checks = json.loads(path.read_text(encoding="utf-8"))["checks"]
        return {str(name): {str(part): str(digest) for part, digest in parts.items()} for name, parts in checks.items()}
    except OSError as cause:
        raise SpecError(f"{path} cannot be read: {cause.strerror}") from None
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise SpecError(f"{path} is damaged: it holds the fingerprints of a suite. Put it back, or --accept") from None


def write_lock(path: Path, fingerprints: Fingerprints) -> None:
    """Keep the fingerprints of a suite's checks; of checks that it no longer has none are kept."""
    write_atomically(path, json.dumps({"checks": fingerprints}, indent=1, sort_keys=True) + "\n")


def changes(before: Fingerprints, now: Fingerprints) -> dict[str, list[str]]:
    """Check -> parts of its data that are not what they were. A check that was never run changed nothing."""
    told = {}
    for check, parts in now.items():
        known = before.get(check)
        if known is not None and known != parts:
            told[check] = sorted(part for part in {*known, *parts} if known.get(part) != parts.get(part))
    return told
