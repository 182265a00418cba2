"""The user's own folder for sockets, and the socket that stands for an index. Nobody else may look into it."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

_LONGEST = 100
"""Bytes of a socket's path: the system takes 104 to 108."""


def socket_of(address: str) -> Path | None:
    """Where a server of the index at this absolute path listens; None where no such folder can be trusted.

    The folder is made if it is not there: `$XDG_RUNTIME_DIR/ragline`, or `ragline-UID` among temporary files. It has to be
    a folder, ours, and closed to all others.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base, "ragline") if base else Path(tempfile.gettempdir(), f"ragline-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        seen = folder.lstat()
    except OSError:
        return None
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or seen.st_mode & 0o077:
        return None
    path = folder / f"{hashlib.sha256(os.fsencode(address)).hexdigest()[:24]}.sock"
    return path if len(os.fsencode(path)) <= _LONGEST else None


def graph_key(graph: str, *, model: str | None = None, url: str | None = None, patience: float | None = None) -> str:
    """A graph as two processes name it alike: a built-in one by name and version, a file by its path and content.

    Another model that writes, where it is, and how long it may read are part of it.
    """
    from rag.core.version import VERSION

    path = Path(graph)
    said = {"model": model, "url": url, "patience": patience}
    writer = "".join(f" {name}={value}" for name, value in said.items() if value is not None)
    if not path.is_file():
        return f"{VERSION} {graph}{writer}"
    return f"{VERSION} {path.resolve()} {hashlib.sha256(path.read_bytes()).hexdigest()}{writer}"
