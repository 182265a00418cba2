"""Which rows of an index came from which source file, so that the next build parses only what changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from rag.core.errors import IndexProblem
from retrievers.index.kinds import HoldsKinds

SOURCES = "sources.json"


class SourceRecord(HoldsKinds):
    """One source file. `made_by` names all that made units of its bytes; equal names and bytes give equal
    units.

    `problems`: what reading it had to mend or leave out, and whether content was lost.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    sha256: str
    made_by: str
    first_row: int
    n_units: int
    n_documents: int
    problems: tuple[tuple[str, bool], ...] = ()


_RECORDS = TypeAdapter(tuple[SourceRecord, ...])


def write_sources(folder: Path, records: Iterable[SourceRecord]) -> None:
    (folder / SOURCES).write_bytes(_RECORDS.dump_json(tuple(records), indent=0) + b"\n")


def read_sources(path: Path) -> tuple[SourceRecord, ...]:
    """Records in row order.

    Raises:
        IndexProblem: the table is damaged.
    """
    try:
        return _RECORDS.validate_json(path.read_bytes())
    except (OSError, ValidationError) as cause:
        raise IndexProblem(f"'{path}' cannot be read. Build the index again") from cause


def corpus_sha256(files: Iterable[tuple[str, str]]) -> str:
    """One digest over (name, sha256 of the content) of all files, in name order."""
    digest = hashlib.sha256()
    for name, content in sorted(files):
        digest.update(f"{len(name)} {name} {content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
