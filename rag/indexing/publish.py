"""A write of an index directory, from the lock to what a stop in the middle means."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rag.core.errors import IndexProblem
from rag.indexing.build import IndexReport, UnchangedError
from retrievers.index.generations import CURRENT, Building, building
from retrievers.index.opening import scheme_of


def home_of(path: str | Path) -> Path:
    """The directory that an index is written to.

    Raises:
        IndexProblem: it is the address of something else.
    """
    if scheme_of(path) is not None:
        raise IndexProblem(f"index '{path}': only directories can be built. Give --index a directory")
    return Path(path)


def published(home: Path, write: Callable[[Building], IndexReport]) -> IndexReport:
    """Write a generation and make it the current one. UnchangedError leaves the one that is there."""
    try:
        with _explained(home):
            with building(home) as new:
                report, start = write(new), time.perf_counter()
            return replace(report, seconds={**report.seconds, "publish": time.perf_counter() - start})
    except UnchangedError as unchanged:
        return replace(unchanged.report, unchanged=True)


@contextmanager
def _explained(home: Path) -> Iterator[None]:
    """Say what a stop in the middle means for the index."""
    kept = "The index that was there is as it was" if (home / CURRENT).exists() else "There is no index yet"
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped while indexing into '{home}'. {kept}; the next run goes on from the finished vectors"
        ) from None
    except (OSError, RuntimeError) as cause:
        if not _disk_is_full(cause):
            raise
        raise IndexProblem(
            f"no room to write the index '{home}': {cause}. {kept}. Free some space there, or choose another "
            "--index, and run again; finished vectors are kept"
        ) from cause


def _disk_is_full(cause: Exception) -> bool:
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if isinstance(cause, OSError) and cause.errno is not None:
        return cause.errno in codes
    # numpy reports a short write in words alone, faiss in a RuntimeError that ends in the system's words.
    return "requested and" in str(cause) or any(os.strerror(code) in str(cause) for code in codes)
