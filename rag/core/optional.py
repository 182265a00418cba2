"""Libraries that may be absent: checked without importing them, with the install line in the error."""

from __future__ import annotations

from importlib.util import find_spec

from rag.core.errors import MissingDependency


def need(module: str, *, by: str, extra: str = "") -> None:
    """Do nothing if `module` can be imported.

    Raises:
        MissingDependency: it cannot; the message says which component asked and what to run.
    """
    if find_spec(module) is None:
        package = f"ragline[{extra}]" if extra else "ragline"
        raise MissingDependency(f"{by} needs {module}, which is not installed. Run: pip install '{package}'")
