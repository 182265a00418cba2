"""Folders that can be written in, and are written in by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import EISDIR
from os import strerror
from pathlib import Path
from tempfile import TemporaryFile
from typing import TextIO

from rag.core.errors import SpecError


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Make the folder if it is not there, and hold it for this process; a process that dies lets go.

    Raises:
        SpecError: nothing can be written there, or another process holds it.
    """
    with _lock_file(path) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SpecError(f"another process is writing in '{path}'; wait for it, or name another folder") from None
        yield


def require_writable(path: Path, *, files: Iterable[str] = ()) -> None:
    """Return if files can be written in the folder, before the work that it is for. One that is not there is not left there.

    Args:
        files: names in it that are to be written, or written over.
    Raises:
        SpecError: nothing can be written there, the folder cannot be made, or a folder has the name of a file.
    """
    missing = [each for each in (path, *path.parents) if not os.path.lexists(each)]
    try:
        path.mkdir(parents=True, exist_ok=True)  # some names and places show only then that they are none
        with TemporaryFile(dir=path):
            pass
        for name in files:
            if (path / name).is_dir():
                raise IsADirectoryError(EISDIR, f"{name}: {strerror(EISDIR)}")
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        for each in missing:
            with suppress(OSError):  # not made, or somebody wrote in it meanwhile
                each.rmdir()


def unwritable(path: Path, error: OSError) -> SpecError:
    """What to tell where a folder cannot be written in."""
    why = error.strerror or str(error)
    return SpecError(f"'{path}' is no folder that can be written in ({why}); name another one (--out)")


def _lock_file(path: Path) -> TextIO:
    try:
        path.mkdir(parents=True, exist_ok=True)
        return (path / ".lock").open("w")
    except OSError as error:
        raise unwritable(path, error) from None
