"""Lines of a file without those that have to go."""

from __future__ import annotations

import os
import tempfile
from glob import escape
from pathlib import Path

from rag.erasure.leaving import Leaving


def erase_lines(path: Path, leaving: Leaving) -> int:
    """Take lines out of a file, which is replaced as a whole; how many went. Its mode stays.

    Raises:
        OSError: it cannot be read, or there is no room for a copy beside it.
    """
    copies = f".{path.name}-erasing-"
    for left in path.parent.glob(f"{escape(copies)}*"):  # by a kill; what stayed then may have to go now
        left.unlink(missing_ok=True)
    descriptor, copy = tempfile.mkstemp(dir=path.parent, prefix=copies)
    try:
        with path.open("rb") as before, os.fdopen(descriptor, "wb") as after:
            n_gone = 0
            for line in before:
                if leaving.in_line(line):
                    n_gone += 1
                else:
                    after.write(line)
            os.fchmod(after.fileno(), os.fstat(before.fileno()).st_mode & 0o777)
            after.flush()
            os.fsync(after.fileno())
        if n_gone:
            os.replace(copy, path)
    finally:
        Path(copy).unlink(missing_ok=True)
    return n_gone
