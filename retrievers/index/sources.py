"""Where an index came from: its sources, which of their files gave which rows, and what was removed on purpose.

sources.json  a record a file, in row order: what the next build need not read again
roots.json    the sources, in the order of their rows: where each lies, and how many of the records are its own
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
)

from rag.core.errors import IndexProblem
from rag.ingest.types import distinct
from retrievers.index.kinds import without_nothing

SOURCES = "sources.json"
ROOTS = "roots.json"

GIVEN = "given"
"""Name of the source of documents that were handed over, where no other has it."""

EARLIER = "earlier"
"""Name of what an index of a version before this one held, until a build finds where it lies."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digested(name: str) -> str:
    """A name that must not be read any more, in a form by which it is known when it is met again."""
    return f"sha256:{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _as_digest(kept: str) -> str:
    return kept if _DIGEST.fullmatch(kept) else digested(kept)


def _as_kept(name: str) -> str:
    """A name as it is, unless it looks like a digest: that would be taken for another's."""
    return digested(name) if _DIGEST.fullmatch(name) else name


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """One source file. `made_by` names all that made units of its bytes; equal names and bytes give equal
    units.

    `problems`: what reading it had to mend or leave out, and whether content was lost. `kinds`: of contents beside text,
    in order of name. `languages`: codes and how many documents, where the build looked. A model of pydantic's would take
    1,000 bytes more of memory for each file.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    kinds: tuple[str, ...] = ()
    name: str
    sha256: str
    made_by: str
    first_row: int
    n_units: int
    n_documents: int
    problems: tuple[tuple[str, bool], ...] = ()
    languages: tuple[tuple[str, int], ...] = ()
    _said = model_serializer(mode="wrap")(without_nothing)


class Source(BaseModel):
    """A file or folder that is in the index.

    `root`: its absolute path; None where an index of an older version does not say. Names of its files are
    `name/relative path`, that of a source which is a file is `name`. `bare`: without the name in front, as older
    versions had them. `removed`: file -> ids of its documents that stay out whatever the source holds; none for the
    whole file. What was erased is there by its digest (`digested`), as the name of a file may say who it is about.
    `given`: its documents were handed over in Python, so there is no place to read them again from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    root: str | None
    bare: bool = False
    removed: dict[str, tuple[str, ...]] = {}
    n_files: int = 0
    given: bool = False

    @model_serializer(mode="wrap")
    def _said(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `given` where it is not so: older versions read what they can."""
        said: dict[str, Any] = serialise(self)
        return said if self.given else {name: value for name, value in said.items() if name != "given"}

    def file_name(self, relative: str) -> str:
        """Name of a file by its path below the root; `.` is the root itself."""
        if relative == ".":
            return Path(self.root or self.name).name if self.bare else self.name
        return relative if self.bare else f"{self.name}/{relative}"

    def leaves_out(self, file_name: str) -> bool:
        """Whether a whole file stays out."""
        return () in self._removed_of(file_name)

    def ids_left_out(self, file_name: str) -> tuple[str, ...]:
        """Digests of the ids of a file's documents that stay out, in order; none too where the whole file does."""
        return tuple(sorted({_as_digest(each) for ids in self._removed_of(file_name) for each in ids}))

    def _removed_of(self, file_name: str) -> list[tuple[str, ...]]:
        names = {_as_kept(file_name), digested(file_name)} if self.removed else ()
        return [self.removed[name] for name in names if name in self.removed]

    def path(self, file_name: str) -> Path | None:
        """Where a file of that name lies, or lay; None where that is not known."""
        if self.root is None:
            return None
        if file_name == self.file_name("."):
            return Path(self.root)
        return Path(self.root, file_name if self.bare else file_name.removeprefix(f"{self.name}/"))

    def moved(self, folder: Path) -> Source:
        """The same where it lies below a folder, by its name; unchanged where it does not."""
        root = folder.absolute() if self.bare else folder.absolute() / self.name
        return self if self.given or not root.exists() else self.model_copy(update={"root": str(root)})


@dataclass(frozen=True, slots=True)
class Holding:
    """A source and the records of its files."""

    source: Source
    records: tuple[SourceRecord, ...] = ()


_RECORDS = TypeAdapter(tuple[SourceRecord, ...])
_ROOTS = TypeAdapter(tuple[Source, ...])


def write_sources(folder: Path, holdings: Iterable[Holding]) -> None:
    """Write both tables; the records are in row order."""
    holdings = tuple(holdings)
    records = tuple(record for holding in holdings for record in holding.records)
    roots = tuple(holding.source.model_copy(update={"n_files": len(holding.records)}) for holding in holdings)
    (folder / SOURCES).write_bytes(_RECORDS.dump_json(records, indent=0) + b"\n")
    (folder / ROOTS).write_bytes(_ROOTS.dump_json(roots, indent=1) + b"\n")


def read_sources(records: Path, roots: Path | None) -> tuple[Holding, ...]:
    """Sources with their records, in row order. `roots`: None in an index of an older version, which has no such table.

    Raises:
        IndexProblem: a table is damaged.
    """
    try:
        files = _RECORDS.validate_json(records.read_bytes())
    except (OSError, ValidationError) as cause:
        raise IndexProblem(f"'{records}' cannot be read: {_why(cause)}") from cause
    if roots is None:
        return (Holding(Source(name=EARLIER, root=None, bare=True), files),)
    sources = read_roots(roots)
    if sum(source.n_files for source in sources) != len(files):
        raise IndexProblem(f"'{roots}' and '{records}' do not fit together")
    holdings, first = [], 0
    for source in sources:
        holdings.append(Holding(source, files[first : first + source.n_files]))
        first += source.n_files
    return tuple(holdings)


def read_roots(path: Path) -> tuple[Source, ...]:
    """The sources alone.

    Raises:
        IndexProblem: the table is absent or damaged.
    """
    try:
        return _ROOTS.validate_json(path.read_bytes())
    except (OSError, ValidationError) as cause:
        raise IndexProblem(f"'{path}' cannot be read: {_why(cause)}") from cause


def _why(cause: OSError | ValidationError) -> str:
    return cause.strerror or str(cause) if isinstance(cause, OSError) else cause.errors()[0]["msg"]


def corpus_sha256(files: Iterable[tuple[str, str]]) -> str:
    """One digest over (name, sha256 of the content) of all files, in name order."""
    digest = hashlib.sha256()
    for name, content in sorted(files):
        digest.update(f"{len(name)} {name} {content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def together(records: Iterable[SourceRecord]) -> SourceRecord:
    """One record of documents that were handed over in several calls, whose rows follow one another."""
    first, *others = records
    for other in others:
        languages = Counter(dict(first.languages)) + Counter(dict(other.languages))
        first = replace(
            first,
            sha256=hashlib.sha256(f"{first.sha256} {other.sha256}".encode()).hexdigest(),
            n_units=first.n_units + other.n_units,
            n_documents=first.n_documents + other.n_documents,
            problems=(*first.problems, *other.problems),
            kinds=tuple(sorted({*first.kinds, *other.kinds})),
            languages=tuple(sorted(languages.items())),
        )
    return first


def given_name(holdings: Iterable[Holding]) -> str:
    """What the source of documents that are handed over is called, and its one record: as it is, or as nothing else is."""
    holdings = tuple(holdings)
    if own := [holding.source.name for holding in holdings if holding.source.given]:
        return own[0]
    files = {record.name for holding in holdings for record in holding.records}
    return distinct(GIVEN, files | {holding.source.name for holding in holdings})


def with_removed(source: Source, more: Mapping[str, Iterable[str]]) -> Source:
    """The source with more that stays out: file -> ids, none for the whole file. What was handed over is never read again."""
    if source.given:
        return source
    removed = dict(source.removed)
    for file, out in more.items():
        name, ids = _as_kept(file), tuple(map(_as_kept, out))
        whole = not ids or removed.get(name) == ()
        removed[name] = () if whole else tuple(sorted({*removed.get(name, ()), *ids}))
    return source.model_copy(update={"removed": dict(sorted(removed.items()))})


def with_readmitted(source: Source, files: Iterable[str]) -> Source:
    """The source of which these files, and all that is in them, stay out no more."""
    back = {form for file in files for form in (_as_kept(file), digested(file))}
    removed = {name: ids for name, ids in source.removed.items() if name not in back}
    return source.model_copy(update={"removed": removed})


def with_digests(source: Source, names: Collection[str], *, left: Collection[str]) -> Source:
    """The source that tells of these files and ids, where they stay out, by their digests alone.

    Args:
        left: files of which the index holds something. They keep their names.
    """
    removed = dict[str, tuple[str, ...]]()
    for file, ids in source.removed.items():
        concerned = file in names or not set(ids).isdisjoint(names)
        name = _as_digest(file) if concerned and file not in left else file
        kept = {_as_digest(each) if each in names else each for each in ids}
        before = removed.get(name)
        removed[name] = () if not ids or before == () else tuple(sorted(kept.union(before or ())))
    return source.model_copy(update={"removed": dict(sorted(removed.items()))})


def is_left_out(name: str, source: Source) -> bool:
    """Whether a file of that name, or a document of that id, stays out of a source."""
    names = {_as_kept(name), digested(name)}
    return any(file in names or not names.isdisjoint(ids) for file, ids in source.removed.items())
