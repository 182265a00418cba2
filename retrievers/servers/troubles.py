"""What is said of a server that is not there, does not answer, is too old or refuses."""

from __future__ import annotations

from rag.core.errors import IndexProblem
from retrievers.servers.address import ServerAddress

_MOST = 300
"""Characters of what a server says that a message repeats."""


def unreachable(address: ServerAddress, cause: Exception) -> IndexProblem:
    """Nobody answers there."""
    if address.path is not None:
        return IndexProblem(
            f"index '{address}': '{address.path}' cannot be opened ({_said(cause)}). Only one process at a time opens it"
        )
    return IndexProblem(
        f"index '{address}': no server answers at {address.place} ({_said(cause)}). Is it running, and is it this address?"
    )


def require_place(address: ServerAddress, *, create: bool) -> None:
    """Before a library opens a path: it would make what is not there.

    Raises:
        IndexProblem: there is nothing, or no folder for it.
    """
    assert address.path is not None
    if not create and not address.path.exists():
        raise IndexProblem(
            f"no index at '{address}': there is no '{address.path}'. Build the index: rag index SOURCE --index {address}"
        )
    if not address.path.parent.is_dir():
        raise IndexProblem(f"index '{address}': there is no folder '{address.path.parent}'. Make it first")


def refused(address: ServerAddress, what: str, cause: Exception) -> IndexProblem:
    """The server was asked, and did not do it. `what`: a verb and what it was to be done with."""
    said = _said(cause)
    if any(sign in said.lower() for sign in ("deadline", "timed out", "timeout")):
        return IndexProblem(
            f"index '{address}': the server took too long to {what} ({said}). Try again, or look at its load"
        )
    if any(sign in said.lower() for sign in ("not exist", "not found", "doesn't exist")):
        return IndexProblem(
            f"index '{address}': the server could not {what}: {said}. A build removes generations but the last two: open "
            "the index again"
        )
    return IndexProblem(f"index '{address}': the server could not {what}: {said}")


def too_old(address: ServerAddress, name: str, version: str, oldest: tuple[int, int]) -> IndexProblem:
    """What is asked of it came later."""
    return IndexProblem(
        f"index '{address}': {name} {version[:40]} is too old; ragline needs {oldest[0]}.{oldest[1]} or newer. Upgrade the server"
    )


def _said(cause: Exception) -> str:
    """One line of what a client raised."""
    return " ".join((str(cause) or type(cause).__name__).split())[:_MOST]
