"""What is said of a server that is not there, does not answer, is too old or refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rag.errors import IndexProblem, SpecError
from ragline_servers.address import ServerAddress

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


def require_version(address: ServerAddress, name: str, version: str, oldest: tuple[int, int]) -> None:
    """Before anything is asked that came later.

    Raises:
        IndexProblem: the server is older.
    """
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) < oldest:
        raise IndexProblem(
            f"index '{address}': {name} {version[:40]} is too old; ragline needs {oldest[0]}.{oldest[1]} or newer. "
            "Upgrade the server"
        )


def require_dimension(
    address: ServerAddress, collection: str, dims: Mapping[str, int], vector: str, queries: NDArray[np.float32]
) -> None:
    """Before vectors are searched. `dims`: of the collection's vectors, by name.

    Raises:
        SpecError: it has no such vector, or one of another length.
    """
    if vector not in dims:
        known = ", ".join(map(repr, dims)) or "none"
        raise SpecError(f"collection '{collection}' of '{address}' has no vector '{vector}'; it has {known}")
    if dims[vector] != queries.shape[1]:
        raise SpecError(
            f"collection '{collection}' of '{address}': vector '{vector}' has {dims[vector]} numbers, and the encoder "
            f"makes {queries.shape[1]}. Name the encoder that filled the collection"
        )


def damaged(index: str, what: str) -> IndexProblem:
    """An index that is not as it was written. `what`: is wrong with it."""
    return IndexProblem(
        f"index '{index}' is damaged: {what}. Build it again from its sources: rag index --index {index} --prune"
    )


def _said(cause: Exception) -> str:
    """One line of what a client raised."""
    return " ".join((str(cause) or type(cause).__name__).split())[:_MOST]
