"""An index directory is a chain of generations, of which a file named CURRENT names one.

    DIR/ragline.lock        who builds here; also marks the folder as an index directory
    DIR/CURRENT             name of the generation that readers open, and sha256 of its manifest
    DIR/generation-000007   finished, never changed again
    DIR/parts/part-000012   what generations share, finished with the first that lists it in its manifest
    DIR/building-000008     being written; what a kill leaves of it is removed by the next build
    DIR/work                what a killed build keeps for the next one; removed when a build succeeds

A generation becomes current in one rename, after everything in it has reached the disk. A reader holds a
shared lock on its generation. A builder removes the ones before only when it has published the next, and of these only
what nobody holds, and parts that no generation lists. Of what is inside one, this module knows that list alone; who
writes one has it opened and verified before (`rag.indexing.publish`).
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import re
import shutil
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR

from rag.core.digests import file_sha256
from rag.core.errors import IndexBusy, IndexProblem

log = logging.getLogger(__name__)

CURRENT = "CURRENT"
LOCK = "ragline.lock"
HOLD = "manifest.json"
"""Every generation has this file; readers lock it, and it is the first to go when a generation is removed."""

PARTS = "parts"
PART = re.compile(r"part-\d{6,12}")

_GENERATION = re.compile(r"generation-(\d{6,12})")
_CURRENT = re.compile(rf"({_GENERATION.pattern})(?: ([0-9a-f]{{64}}))?")
"""Versions before this one wrote no digest."""

_BUILDING = re.compile(r"building-\d{6,12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """A generation being written. `previous` is the current generation, which stays as it is, or None."""

    home: Path
    folder: Path
    work: Path
    previous: Path | None

    def new_part(self) -> Path:
        """An empty folder for a part. It stays if the manifest of this generation lists it under `parts` by its name."""
        parts = self.home / PARTS
        parts.mkdir(exist_ok=True)
        taken = [int(entry.name[5:]) for entry in parts.iterdir() if PART.fullmatch(entry.name)]
        part = parts / f"part-{1 + max(taken, default=0):06d}"
        part.mkdir()
        return part

    def adopt(self, folder: Path) -> Path:
        """A part with the files of a generation, or of another index's part."""
        part = self.new_part()
        _link_files(folder, part)
        return part

    def fill(self, generation: Path) -> None:
        """The files of another generation, as this one's own."""
        _link_files(generation, self.folder)

    def hold(self) -> Held:
        """This generation, to be opened before readers have it."""
        return Held(self.folder, os.open(self.folder / HOLD, os.O_RDONLY | os.O_NOFOLLOW), None)

    @property
    def stamp(self) -> str:
        """What `newest_stamp` will say of it, once it is whole."""
        return _stamp(_published(self.folder).name, file_sha256(self.folder / HOLD))


class Held:
    """A generation that no builder removes until `close`, or until this object is gone.

    `sha256`: of its manifest, as it was published; None where an older version published it.
    """

    def __init__(self, folder: Path, descriptor: int, sha256: str | None) -> None:
        self.folder, self.sha256 = folder, sha256
        self.close = weakref.finalize(self, os.close, descriptor)

    @property
    def stamp(self) -> str:
        """What `newest_stamp` says as long as this generation is the current one."""
        return _stamp(self.folder.name, self.sha256)


def newest_stamp(home: Path) -> str:
    """Which generation is the current one: its name and the digest of its manifest. Opens nothing but CURRENT.

    Raises:
        IndexProblem: there is none, or CURRENT does not name one.
    """
    return _stamp(*_current(home))


def _stamp(name: str, sha256: str | None) -> str:
    return f"{name} {sha256 or ''}".rstrip()


def hold_current(home: Path) -> Held:
    """The current generation of `home`, held for reading.

    Raises:
        IndexProblem: there is none, or CURRENT does not name one.
    """
    for _ in range(100):
        name, sha256 = _current(home)
        folder = home / name
        try:
            descriptor = os.open(folder / HOLD, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as cause:
            if _current(home)[0] != name:
                continue  # a build published and tidied between our two steps
            raise IndexProblem(
                f"{home}: {CURRENT} names '{name}', which cannot be opened ({cause.strerror}). "
                f"Build the index again: rag index --index {home}"
            ) from cause
        if _lock(descriptor, fcntl.LOCK_SH) and os.fstat(descriptor).st_nlink:
            return Held(folder, descriptor, sha256)
        os.close(descriptor)
    raise IndexProblem(f"{home}: the index is replaced faster than it can be opened; try again later")


@contextmanager
def building(home: Path) -> Iterator[Building]:
    """Write the next generation of `home`; it becomes the current one when the block ends without an
    exception.

    Raises:
        IndexProblem: another process builds here, or the folder holds something else than an index.
    """
    with only_builder(home):
        previous = current_or_none(home)
        _remove_unpublished(home, current=previous)
        number = 1 + max((int(m[1]) for m in map(_GENERATION.fullmatch, os.listdir(home)) if m), default=0)
        draft, work = home / f"building-{number:06d}", home / "work"
        draft.mkdir()
        try:
            work.mkdir(exist_ok=True)
            yield Building(home=home, folder=draft, work=work, previous=previous)
            published = _publish(home, draft)
        except BaseException:
            _remove_unpublished(home, current=current_or_none(home))
            with suppress(OSError):
                work.rmdir()  # unless something is kept there
            raise
        shutil.rmtree(work, ignore_errors=True)
        _remove_older(home, current=published)


def tidy(home: Path) -> list[str]:
    """Remove what no reader needs any more; names of older generations that are still held.

    Raises:
        IndexProblem: another process builds here.
    """
    with only_builder(home):
        current = current_or_none(home)
        _remove_unpublished(home, current=current)
        if current is not None:
            _remove_older(home, current=current)
        return [generation.name for generation in generations(home) if generation != current]


def remove_whole(home: Path) -> None:
    """Delete an index directory, by its only builder. What a kill leaves of it is no index; build or delete it again.

    Raises:
        IndexProblem: something in it cannot be deleted.
    """
    try:
        (home / CURRENT).unlink(missing_ok=True)
        for entry in list(home.iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != LOCK:  # it says what the folder is, so it goes last
                entry.unlink()
        shutil.rmtree(home)
    except OSError as cause:
        raise IndexProblem(
            f"'{home}' cannot be deleted whole ({cause.strerror}: {cause.filename}); delete the rest by hand"
        ) from cause


def current_or_none(home: Path) -> Path | None:
    """The folder of the current generation; None where no build has succeeded yet or CURRENT is damaged."""
    if not (home / CURRENT).exists():
        return None
    try:
        return home / _current(home)[0]
    except IndexProblem as problem:
        log.warning("%s", problem)
        return None


def generations(home: Path) -> list[Path]:
    """Folders of all generations that are there, oldest first."""
    return sorted(entry for entry in home.iterdir() if _GENERATION.fullmatch(entry.name))


def _current(home: Path) -> tuple[str, str | None]:
    """Name of the generation, and sha256 of its manifest if it is told."""
    try:
        with (home / CURRENT).open("rb") as stream:
            line = stream.read(128).decode("ascii", "replace").strip()
    except OSError as cause:
        raise IndexProblem(f"no index at '{home}' ({cause.strerror}: {CURRENT}). Make one: {_making(home)}") from cause
    match = _CURRENT.fullmatch(line)
    if match is None:
        raise IndexProblem(
            f"{home}: {CURRENT} is damaged: it says {line!r}, not a name like 'generation-000001'. "
            f"Build the index again: rag index --index {home}"
        )
    return match[1], match[3]


def _making(home: Path) -> str:
    """The command that makes an index where there is none. A folder of documents can be its source, never its place."""
    names: list[str] = []
    with suppress(OSError):
        names = os.listdir(home)
    return f"rag index {home} --index NEWDIR" if names and LOCK not in names else f"rag index SRC --index {home}"


@contextmanager
def only_builder(home: Path) -> Iterator[None]:
    """Nobody else writes in `home` until the block ends. Readers come and go.

    Raises:
        IndexBusy: another process builds here.
        IndexProblem: the folder holds something else than an index, or cannot be written.
    """
    made = [folder for folder in (home, *home.parents) if not folder.exists()]
    descriptor = _only_lock(home)
    try:
        yield
    finally:
        _remove_if_bare(home, made)
        os.close(descriptor)


def _only_lock(home: Path) -> int:
    """The lock file of `home`, opened and locked."""
    for left in reversed(range(100)):
        try:
            home.mkdir(parents=True, exist_ok=True)
            if (names := os.listdir(home)) and LOCK not in names:  # in one look: others begin and end beside us
                raise IndexProblem(
                    f"'{home}' is not empty and is no index directory; choose a new or empty folder for --index"
                )
            descriptor = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as cause:
            came_or_went = isinstance(cause, FileNotFoundError | FileExistsError) and _is_folder_or_nothing(home)
            if came_or_went and left:  # somebody else began here, or ended, between two of our steps
                continue
            raise IndexProblem(
                f"cannot write an index at '{home}': {cause.strerror}; choose another --index"
            ) from cause
        if not _lock(descriptor, fcntl.LOCK_EX):
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise IndexBusy(
                f"'{home}' is being built by another process (pid {holder}). Wait for it, or end it and try "
                "again; what it has encoded so far is kept"
            )
        if os.fstat(descriptor).st_nlink:
            with suppress(OSError):  # a full disk has no room for a number, and has to let a shadow be deleted
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return descriptor
        os.close(descriptor)  # it was removed while we waited
    raise IndexProblem(f"'{home}' is made and removed faster than it can be written; try again later")


def _is_folder_or_nothing(path: Path) -> bool:
    """In one look: between two of them it may come or go."""
    try:
        return S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return True


def _remove_if_bare(home: Path, made: Sequence[Path]) -> None:
    """Leave no trace of a build that left nothing. `made`: folders that it made, the deepest first."""
    with suppress(OSError):
        if [entry.name for entry in home.iterdir()] == [LOCK]:
            (home / LOCK).unlink()
            for folder in made:
                folder.rmdir()


def _published(draft: Path) -> Path:
    """The folder of a generation that was written as a draft."""
    return draft.with_name(draft.name.replace("building", "generation"))


def _publish(home: Path, draft: Path) -> Path:
    """Everything to disk, then two renames. Readers see the old generation until the second, then the new."""
    published = _published(draft)
    _sync_all(draft)
    for part in parts_of(draft) or ():
        _sync_all(home / PARTS / part)
    if (home / PARTS).exists():
        _sync(home / PARTS)
    os.rename(draft, published)
    _sync(home)
    proposal = home / f"{CURRENT}.next"
    proposal.write_text(f"{published.name} {file_sha256(published / HOLD)}\n", encoding="ascii")
    _sync(proposal)
    os.replace(proposal, home / CURRENT)
    _sync(home)
    return published


def _remove_unpublished(home: Path, *, current: Path | None) -> None:
    """Remove what no reader ever had: drafts and, if it is known which is current, generations behind it and their parts."""
    for entry in list(home.iterdir()):
        if _BUILDING.fullmatch(entry.name):
            shutil.rmtree(entry, ignore_errors=True)
    if current is not None:
        for generation in generations(home):
            if _number(generation) > _number(current):
                _remove_unless_held(generation)
        _remove_unlisted(home)


def _remove_older(home: Path, *, current: Path) -> None:
    """Remove generations that the current one took the place of, which no reader holds, and their parts."""
    for generation in generations(home):
        if generation != current:
            _remove_unless_held(generation)
    _remove_unlisted(home)


def _number(generation: Path) -> int:
    return int(generation.name.rpartition("-")[2])


def _remove_unlisted(home: Path) -> None:
    """Remove parts that no generation lists, if all of them can be read."""
    if not (home / PARTS).exists():
        return
    listed = [parts_of(generation) for generation in generations(home)]
    if None not in listed:
        named = {name for names in listed for name in names or ()}
        for entry in list((home / PARTS).iterdir()):
            if PART.fullmatch(entry.name) and entry.name not in named:
                shutil.rmtree(entry, ignore_errors=True)
        with suppress(OSError):
            (home / PARTS).rmdir()  # unless some part is there


def parts_of(generation: Path) -> list[str] | None:
    """Names of the parts that a generation lists; None where it cannot be read."""
    try:
        parts = json.loads((generation / HOLD).read_bytes()).get(PARTS, [])
        return [str(part["name"]) for part in parts]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _link_files(source: Path, target: Path) -> None:
    """All files of a folder under another; links to them, or copies where the file system has none.

    The manifest is copied: readers lock it, and a lock is on a file, not on a name.
    """
    shutil.copytree(source, target, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    if Path(source).name != HOLD:
        with suppress(OSError):
            os.link(source, target, follow_symlinks=False)
            return
    shutil.copy2(source, target, follow_symlinks=False)


def _remove_unless_held(generation: Path) -> None:
    try:
        descriptor = os.open(generation / HOLD, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:  # a removal that was killed half-way
        shutil.rmtree(generation, ignore_errors=True)
        return
    except OSError as cause:  # whether somebody holds it cannot be known
        log.warning("%s cannot be removed (%s); the next build tries again", generation, cause.strerror)
        return
    try:
        if not _lock(descriptor, fcntl.LOCK_EX):
            log.info("%s is still open in another reader; the next build removes it", generation)
            return
        with suppress(OSError):  # first, so that a reader who waits for the lock sees that it came too late
            os.unlink(generation / HOLD)
        shutil.rmtree(generation, ignore_errors=True)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int) -> bool:
    """Whether the lock was free. A file system without locks counts as free."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as cause:
        if cause.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        log.warning("this file system has no locks (%s): do not build one index from two processes", cause.strerror)
    return True


def _sync_all(whole: Path) -> None:
    for folder, _, names in os.walk(whole):
        for name in names:
            _sync(Path(folder, name))
        _sync(Path(folder))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
