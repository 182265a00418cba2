"""A place looked through for marks, file by file."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from rag.core.digests import file_sha256
from rag.core.progress import Progress
from rag.erasure.leaving import Leaving
from rag.erasure.receipt import Place


def look_through(path: Path, leaving: Leaving, *, kind: str, done: str, progress: Progress) -> Place:
    """What is left in a file or a folder. Links are not followed: what they lead to is another place."""
    left, unread, lines = dict[str, int](), list[str](), list[str]()
    n_files = n_bytes = 0
    for file in _files(path):
        name = file.relative_to(path).as_posix() if file != path else path.name
        try:
            marks, read = leaving.finder.in_file(file)
            lines.append(f"{file_sha256(file)}  {name}\n")
        except FileNotFoundError:
            continue  # gone since it was listed
        except (OSError, EOFError, zlib.error) as error:
            unread.append(f"{name}: {error}")
            continue
        n_files, n_bytes = n_files + 1, n_bytes + read
        if marks:
            left[name] = len(marks)
        progress("looking", n_files, n_files)
    return Place(
        path=str(path),
        kind=kind,
        done=done,
        n_files=n_files,
        n_bytes=n_bytes,
        sha256=hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest(),
        left=left,
        unread=tuple(unread),
    )


def _files(path: Path) -> Iterator[Path]:
    """Regular files, by path."""
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file() and not file.is_symlink():
                yield file
