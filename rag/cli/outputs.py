"""Files that commands write at the end of long work."""

from __future__ import annotations

from errno import EISDIR
from os import strerror
from pathlib import Path
from tempfile import NamedTemporaryFile

from rag.core.errors import SpecError


def writable(given: str, *, option: str = "--out") -> Path:
    """The file to write, before the work that it is for. `option`: what names it.

    Raises:
        SpecError: nothing can be written there.
    """
    out = Path(given)
    try:
        if out.is_dir():
            raise IsADirectoryError(EISDIR, strerror(EISDIR))
        out.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=out.parent):
            pass
    except OSError as cause:
        raise SpecError(
            f"{option} '{out}' cannot be written: {cause.strerror}. Name a file in a folder of yours."
        ) from cause
    return out
