"""What a build takes: which files it reads, and which rows of the index before it takes over without reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from rag.core.errors import SpecError
from rag.indexing.previous_index import Past
from rag.indexing.problem_lines import MOST_TOLD, told
from rag.ingest import Discovery, Problem, SourceFile, discover, distinct, printable
from retrievers.index.built import BuiltIndex
from retrievers.index.sources import Source, SourceRecord, with_readmitted

MayCopy = Callable[[SourceRecord, tuple[str, ...]], bool]
"""A record, and digests of ids that stay out of its file -> whether a build would make the same units of the same bytes."""

Removed = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A source of the new index. `files` are read, unless they are as they were; rows of `kept` are taken over unread.

    `named`: asked for by the caller.
    """

    source: Source
    files: tuple[SourceFile, ...] = ()
    kept: tuple[SourceRecord, ...] = ()
    named: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Sources in the order of their rows. `without`: file -> ids of documents that are taken out of its kept rows.

    `index`: of which the kept rows are, where that is not the index before. `staying_out`: files that lie in a source and are
    not read, as they were removed from the index.
    """

    chosen: tuple[Chosen, ...]
    problems: tuple[Problem, ...] = ()
    ignored: tuple[str, ...] = ()
    staying_out: tuple[str, ...] = ()
    without: Removed = field(default_factory=dict)
    index: BuiltIndex | None = None


class Select(Protocol):
    """How a build chooses."""

    def __call__(self, before: Past, may_copy: MayCopy) -> Selection: ...


@dataclass(slots=True)
class _Entry:
    """A source on its way into the table."""

    source: Source
    records: tuple[SourceRecord, ...] = ()
    named: bool = False


class Update:
    """Named sources are brought up to date, new ones added; what other sources gave stays as it is.

    A file that one source has given stays with it, wherever else it lies.

    Args:
        named: files and folders, or names of sources; none for all that are in the index.
        name: what to call the one that is named, or which source of the index now lies there.
        prune: drop sources that are not named; with none named, those that are no longer there.
        home: the index itself, which is never read.
    """

    def __init__(
        self, named: Sequence[Path], *, name: str | None = None, prune: bool = False, home: Path | None
    ) -> None:
        if name is not None:
            _require_name(name)
            if len(named) != 1:
                raise SpecError(f"a name is for one source, and {len(named)} are given. Index them one by one")
        self._named, self._name, self._prune = named, name, prune
        self._home = home.resolve() if home else None
        self._discoveries: dict[tuple[Path, bool], Discovery] = {}
        self._contents = False
        self._problems: list[Problem] = []
        self._ignored: list[str] = []
        self._staying: list[str] = []

    def __call__(self, before: Past, may_copy: MayCopy) -> Selection:
        """Choose.

        Raises:
            SpecError: nothing that is named is there; or rows have to be made anew whose source is not there.
        """
        self._contents = before.contents
        self._problems, self._ignored, self._staying = [], [], []  # a build may choose twice: once to hear the language
        entries = [_Entry(holding.source, holding.records) for holding in before.holdings]
        for path in self._named:
            self._enter(path, entries)
        entries = sorted(self._settled(entries), key=lambda entry: entry.source.given)  # what is added comes last
        if self._named and not any(entry.named for entry in entries):
            raise SpecError(f"nothing to index in {self._told()}", *(f"  {line}" for line in told(self._problems)))
        chosen = tuple(self._choose(entries, may_copy))
        if self._named and not any(each.files for each in chosen if each.named):
            problems = [f"  {line}" for line in islice(told(self._problems), MOST_TOLD)]
            if self._ignored:
                problems.append(f"  {len(self._ignored)} files of unknown kinds, such as {self._ignored[0]}")
            raise SpecError(f"nothing to index in {self._told()}: no file that can be read", *problems)
        return Selection(
            chosen=chosen,
            problems=tuple(self._problems),
            ignored=tuple(self._ignored),
            staying_out=tuple(self._staying),
        )

    def _told(self) -> str:
        return ", ".join(f"'{printable(str(path))}'" for path in self._named)

    def _enter(self, path: Path, entries: list[_Entry]) -> None:
        """Mark the entry that a path means, or add one."""
        try:
            root = path.resolve(strict=True)
        except (OSError, RuntimeError):
            root = path.absolute()
        lies_at = {entry.source.root: entry for entry in entries}
        called = {entry.source.name: entry for entry in entries}
        entry = lies_at.get(str(root))
        if entry is None and self._name is None and not path.exists():
            entry = called.get(str(path))
        if entry is None and self._name in called:
            entry = called[self._name]
            entry.source = entry.source.model_copy(update={"root": _as_text(root)})
        if entry is None:
            entry = self._around(root, entries)
        if entry is None:
            if missing := self._discovery(root).missing:
                self._problems.append(Problem(name=printable(path.name or str(path)), reason=missing))
                return
            name = self._name or distinct(_name_of(root), set(called))
            entry = _Entry(Source(name=name, root=_as_text(root)))
            entries.append(entry)
        entry.named = True

    def _around(self, root: Path, entries: Sequence[_Entry]) -> _Entry | None:
        """The source that reads what lies at `root`. What was removed there comes back, as it is named."""
        for entry in entries:
            source = entry.source
            if source.root is None or not root.is_relative_to(source.root):
                continue
            files = [file for file in self._discovery(Path(source.root)).files if file.path.is_relative_to(root)]
            if files:
                back = {source.file_name(_relative(file, source)) for file in files}
                entry.source = with_readmitted(source, back)
                return entry
        return None

    def _settled(self, entries: list[_Entry]) -> list[_Entry]:
        """Without the entry of an older version's rows, where the sources that are named turn out to be theirs."""
        without_place = (entry for entry in entries if entry.source.root is None and not entry.source.given)
        earlier = next((entry for entry in without_place if entry.records), None)
        added = [entry for entry in entries if entry.named and not entry.records]
        if earlier is None or not added:
            return entries
        records = {record.name: record for record in earlier.records}
        taken: set[str] = set()
        claims: list[tuple[_Entry, Source, list[SourceRecord]]] = []
        for entry in added:
            bare = entry.source.model_copy(update={"bare": True})
            names = [file.name for file in self._files(bare, taken)]
            taken |= set(names)
            claims.append((entry, bare, [records[name] for name in names if name in records]))
        if 2 * sum(len(mine) for _, _, mine in claims) < len(records):
            return entries
        claimed = {record.name for _, _, mine in claims for record in mine}
        gone = [record for record in earlier.records if record.name not in claimed]
        for number, (entry, bare, mine) in enumerate(claims):
            entry.source, entry.records = bare, tuple([*mine, *gone] if number == 0 else mine)
        return [entry for entry in entries if entry is not earlier]

    def _choose(self, entries: Sequence[_Entry], may_copy: MayCopy) -> Iterator[Chosen]:
        if self._prune and self._named:
            entries = [entry for entry in entries if entry.named or entry.source.given]
        holders = {
            path: entry
            for entry in entries
            for record in entry.records
            if (path := entry.source.path(record.name)) is not None
        }
        taken = {record.name for entry in entries for record in entry.records}
        for entry in entries:
            if entry.source.given and len(entry.records) == entry.source.n_files:
                yield Chosen(source=entry.source, kept=entry.records, named=entry.named)
                continue
            mine = {record.name for record in entry.records}
            stale = len(entry.records) < entry.source.n_files or any(
                not may_copy(record, entry.source.ids_left_out(record.name)) for record in entry.records
            )
            if self._named and not entry.named and not stale:
                yield Chosen(source=entry.source, kept=entry.records)
                continue
            reason = self._why_missing(entry)
            if not reason:
                held = [
                    file
                    for file in self._files(entry.source, taken - mine)
                    if holders.setdefault(file.path, entry) is entry
                ]
                files = [file for file in held if not entry.source.leaves_out(file.name)]
                self._staying += [file.name for file in held if entry.source.leaves_out(file.name)]
                taken |= {file.name for file in files}
                kept = self._unread(entry, {file.name for file in files})
                self._tell(entry.source)
                yield Chosen(source=entry.source, files=tuple(files), kept=kept, named=entry.named)
            elif self._prune and not self._named and entry.source.root is not None:
                self._problems.append(Problem(name=entry.source.name, reason=f"{reason}; dropped from the index"))
            elif stale:
                raise SpecError(_cannot_make_again(entry.source, reason))
            else:
                if entry.source.root is not None or not self._named:
                    kept_reason = f"{reason}; what the index has of it stays as it is"
                    self._problems.append(Problem(name=entry.source.name, reason=kept_reason, lost=False))
                yield Chosen(source=entry.source, kept=entry.records, named=entry.named)

    def _why_missing(self, entry: _Entry) -> str:
        """Why what a source holds cannot be known; empty where it can. A folder that lost all its files is not there."""
        if entry.source.given:
            return "its documents were handed over in Python"
        if entry.source.root is None:
            return "nobody has said where it lies"
        discovery = self._discovery(Path(entry.source.root))
        nothing = entry.records and not discovery.files and not discovery.unread
        return discovery.missing or ("there is no file in it that can be read" if nothing else "")

    def _unread(self, entry: _Entry, seen: set[str]) -> tuple[SourceRecord, ...]:
        """Records of files in folders that are there and cannot be looked at."""
        unread = [entry.source.file_name(name) for name in self._discovery(Path(entry.source.root or "")).unread]
        below = tuple(f"{name}/" for name in unread)
        whole = entry.source.file_name(".") in unread
        return tuple(
            record
            for record in entry.records
            if record.name not in seen and (whole or record.name in unread or record.name.startswith(below))
        )

    def _files(self, source: Source, taken: set[str]) -> list[SourceFile]:
        """Files of a source under the names that they have in the index, which are not among `taken`."""
        files, names = list[SourceFile](), set(taken)
        for file in self._discovery(Path(source.root or "")).files:
            name = source.file_name(_relative(file, source))
            if source.bare and name in names:
                name = f"{source.name}/{name}"
            files.append(replace(file, name=distinct(name, names)))
        return files

    def _tell(self, source: Source) -> None:
        """What was noticed in a source, under the names of the index."""
        discovery = self._discovery(Path(source.root or ""))
        self._problems += [replace(each, name=source.file_name(each.name)) for each in discovery.problems]
        self._ignored += [source.file_name(name) for name in discovery.ignored]

    def _discovery(self, root: Path) -> Discovery:
        """What a source holds, without the index itself where it lies inside."""
        key = root, self._contents
        if key not in self._discoveries:
            whole = discover(root, contents=self._contents)
            files = tuple(file for file in whole.files if not self._is_own(file.path))
            ignored = tuple(name for name in whole.ignored if not self._is_own(root / name))
            self._discoveries[key] = replace(whole, files=files, ignored=ignored)
        return self._discoveries[key]

    def _is_own(self, path: Path) -> bool:
        return self._home is not None and path.is_relative_to(self._home)


def _relative(file: SourceFile, source: Source) -> str:
    """Path of a file below its source; `.` for the source itself."""
    return "." if str(file.path) == source.root else file.name


def _name_of(root: Path) -> str:
    return printable(root.name).strip() or "root"


def _as_text(root: Path) -> str:
    text = str(root)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SpecError(
            f"the path '{printable(text)}' holds bytes that are no UTF-8. Rename that folder, or index the one above it"
        ) from None
    return text


def _require_name(name: str) -> None:
    if not name.strip(" .") or "/" in name or printable(name) != name:
        raise SpecError(f"{printable(name)!r} cannot name a source: give a name without / and control characters")


def _cannot_make_again(source: Source, reason: str) -> str:
    where = f" ('{source.root}')" if source.root else ""
    if source.given:
        drop = f"Drop it (rag remove '{source.name}', or build with --prune) and add its documents again"
        return f"source '{source.name}': {reason}, and what the index has of them is damaged. {drop}"
    move = f"Say where it lies: rag index FOLDER --name '{source.name}'. Or drop it: rag remove '{source.name}'"
    return (
        f"source '{source.name}'{where}: {reason}. What the index has of it was made with other settings or by another "
        f"version, so it has to be read again. {move}"
    )
