"""What an erasure did, where it looked, and what it found."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rag.core.digests import file_sha256
from rag.core.files import write_atomically
from rag.core.progress import Progress
from rag.erasure.erased_documents import Leaving

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file or folder that was looked through.

    `done`: what was taken out, a sentence. `left`: files that still hold marks, and how many marks each. `sha256`: of the
    lines `sha256  path` of all its files afterwards, by path; files that were not readable are in `unread`. `taught`: ids of
    erased documents that a model here was taught by.
    """

    path: str
    kind: str
    done: str
    n_files: int
    n_bytes: int
    sha256: str
    left: dict[str, int]
    unread: tuple[str, ...] = ()
    taught: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """A document that went. `sha256`: of the texts of its passages, by row, each ended by a zero byte."""

    doc_id: str
    n_passages: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """`generation_before`, `generation_after`: of the index, as name and digest of its manifest.

    `n_marks`: stretches of bytes that were looked for. `unmarked`: passages that no such stretch tells from what stays.
    `gone_before`: what was removed earlier, and whose text is not in the index any more: it is looked for by its id alone.
    `held`: generations that a reader still had open at the end. `not_searched`: places that nobody can look into here.
    """

    ragline: str
    begun: str
    ended: str
    index: str
    targets: tuple[str, ...]
    generation_before: str
    generation_after: str
    documents: tuple[Erased, ...]
    gone_before: tuple[str, ...]
    n_marks: int
    unmarked: tuple[str, ...]
    places: tuple[Place, ...]
    held: tuple[str, ...]
    not_searched: tuple[str, ...]
    format: int = FORMAT

    @property
    def clean(self) -> bool:
        """Whether every place was read as a whole and holds no mark, and no model is left that one of them taught."""
        return not self.held and not any(place.left or place.unread or place.taught for place in self.places)

    def write(self, path: Path) -> None:
        """As one JSON document. It holds ids and digests, and nothing that a document said."""
        write_atomically(path, json.dumps({**asdict(self), "clean": self.clean}, indent=1) + "\n")


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
