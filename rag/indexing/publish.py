"""A write of an index directory, from the lock to what a stop in the middle means."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rag.core.errors import IndexProblem, NoRoom
from rag.core.progress import Progress
from rag.indexing.build import IndexReport, UnchangedError
from retrievers.index.built import IndexWriter
from retrievers.index.directory import LocalIndex
from retrievers.index.generations import Building, building
from retrievers.index.opening import scheme_of


def home_of(path: str | Path) -> Path:
    """The directory that an index is written to, for what is done in directories alone.

    Raises:
        IndexProblem: it is the address of something else.
    """
    if scheme_of(path) is not None:
        raise IndexProblem(
            f"index '{path}': this is done to an index in a directory alone. Elsewhere, bring it up to date from its "
            "sources: rag index"
        )
    return Path(path)


def published(place: IndexWriter, write: Callable[[Building], IndexReport], *, progress: Progress) -> IndexReport:
    """Write a generation and let readers have it. UnchangedError leaves the one that is there."""
    with explained(place):
        try:
            with verified(place.home) as new:
                report, start = write(new), time.perf_counter()
        except UnchangedError as unchanged:
            place.publish(progress=progress)  # a draft that a kill kept from readers
            return replace(unchanged.report, unchanged=True)
        place.publish(progress=progress)
        return replace(report, seconds={**report.seconds, "publish": time.perf_counter() - start})


@contextmanager
def verified(home: Path) -> Iterator[Building]:
    """Write the next generation. It is opened and verified before it takes the place of the one that is there.

    Raises:
        IndexProblem: it does not read back as it was written; and as `building`. The one that is there stays.
    """
    with building(home) as new:
        yield new
        try:
            LocalIndex.require_written(new)
        except IndexProblem as problem:
            raise IndexProblem(
                f"index '{home}' was not changed: what was written for it does not read back as it was written, so look at "
                f"the disk, then run again ({problem})"
            ) from problem


@contextmanager
def explained(place: IndexWriter) -> Iterator[None]:
    """Say what a stop in the middle means for the index."""
    kept = "The index that was there is as it was" if place.exists else "There is no index yet"
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped while indexing into '{place.address}'. {kept}; the next run goes on from the finished vectors"
        ) from None
    except (OSError, RuntimeError) as cause:
        if not disk_is_full(cause):
            raise
        raise NoRoom(
            f"no room to write the index '{place.home}': {cause}. {kept}. Free some space there, or choose another "
            "--index, and run again; finished vectors are kept"
        ) from cause


def disk_is_full(cause: Exception) -> bool:
    """Whether an error says that there is no room to write."""
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if isinstance(cause, OSError) and cause.errno is not None:
        return cause.errno in codes
    # numpy reports a short write in words alone, faiss in a RuntimeError that ends in the system's words.
    return "requested and" in str(cause) or any(os.strerror(code) in str(cause) for code in codes)
