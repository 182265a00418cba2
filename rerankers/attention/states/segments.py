"""Segments: pairs of files to which one process appends document states while others read them.

    NAME.states   the states' bytes, each at a multiple of 64
    NAME.index    64 bytes for each state: where it lies, how long it is, whose it is, its digest, and a checksum

A state is written before its entry, so an entry without its state means damage; what a kill leaves behind is a state
without an entry, or a part of an entry at the end, and neither is looked at. Nothing is synced to the disk: after a
power cut a digest does not fit, and the state is computed again.

The digest of a state begins with the store's identity: a file moved here from elsewhere holds nothing that fits.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import re
import secrets
import stat
import struct
import time
import weakref
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

_ALIGN = 64
_FIELDS = struct.Struct("<QI32s16s")
_CHECKSUM = struct.Struct("<I")
ENTRY_BYTES = _FIELDS.size + _CHECKSUM.size
_AT_ONCE = 1 << 14
"""Entries read at once: 1 MiB."""
_FILE = re.compile(r"([0-9a-f]{32})\.(states|index)")
_USE_NOTED_EVERY_S = 60.0


class Entry(NamedTuple):
    """Where a document's state lies in its segment. `document`: sha256 of its token ids."""

    offset: int
    n_tokens: int
    document: bytes
    digest: bytes

    def packed(self) -> bytes:
        fields = _FIELDS.pack(*self)
        return fields + _CHECKSUM.pack(zlib.crc32(fields))

    @classmethod
    def unpacked(cls, data: bytes) -> Entry | None:
        """None where the checksum does not fit."""
        fields, (checksum,) = data[: _FIELDS.size], _CHECKSUM.unpack(data[_FIELDS.size :])
        entry = cls(*_FIELDS.unpack(fields))
        return entry if zlib.crc32(fields) == checksum and entry.offset % _ALIGN == 0 else None


def digest_of(identity: bytes, document: bytes, data: Tensor) -> bytes:
    """A digest of one document's state: 16 bytes."""
    sha256 = hashlib.sha256(identity + document)
    sha256.update(data.numpy().data)
    return sha256.digest()[:16]


@dataclass(slots=True, kw_only=True)
class SegmentFiles:
    """What the folder says about a segment: where it is, the sizes of its files, when it was last used."""

    folder: Path
    name: str
    states_bytes: int = 0
    index_bytes: int = 0
    used_ns: int = 0

    @property
    def n_bytes(self) -> int:
        return self.states_bytes + self.index_bytes

    @property
    def n_entries(self) -> int:
        return self.index_bytes // ENTRY_BYTES

    def remove(self) -> bool:
        """Whether it is gone. Processes that have it mapped keep what they have."""
        try:
            for kind in ("index", "states"):
                (self.folder / f"{self.name}.{kind}").unlink(missing_ok=True)
        except OSError:
            return False
        return True


def segments_in(folder: Path) -> dict[str, SegmentFiles]:
    """Segments of one folder by name; none where it cannot be read. Other files are not looked at."""
    segments: dict[str, SegmentFiles] = {}
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _FILE.fullmatch(entry.name)
            if match is None:
                continue
            with suppress(FileNotFoundError):  # removed meanwhile
                facts = entry.stat(follow_symlinks=False)
                if not stat.S_ISREG(facts.st_mode):
                    continue
                files = segments.setdefault(match[1], SegmentFiles(folder=folder, name=match[1]))
                if match[2] == "states":
                    files.states_bytes, files.used_ns = facts.st_size, facts.st_mtime_ns
                else:
                    files.index_bytes = facts.st_size
    return segments


class SegmentReader:
    """A segment as this process sees it: entries as they come in, states mapped at first touch and checked once."""

    def __init__(self, folder: Path, name: str, *, identity: bytes, bytes_per_token: int) -> None:
        self._states, self._index = folder / f"{name}.states", folder / f"{name}.index"
        self._identity, self._bytes_per_token = identity, bytes_per_token
        self._entries_read = 0
        self._map: mmap.mmap | None = None
        self._bytes = torch.empty(0, dtype=torch.uint8)
        self._good: set[Entry] = set()
        self._use_noted = -_USE_NOTED_EVERY_S

    def new_entries(self, index_bytes: int) -> Iterator[Entry | None]:
        """Entries written since the last call, None for a damaged one; `index_bytes` is the index file's size now."""
        if index_bytes // ENTRY_BYTES <= self._entries_read:
            return
        descriptor = _open_regular(self._index)
        try:
            while data := os.pread(descriptor, _AT_ONCE * ENTRY_BYTES, self._entries_read * ENTRY_BYTES):
                whole = len(data) // ENTRY_BYTES
                if not whole:
                    return
                self._entries_read += whole
                for start in range(0, whole * ENTRY_BYTES, ENTRY_BYTES):
                    yield Entry.unpacked(data[start : start + ENTRY_BYTES])
        finally:
            os.close(descriptor)

    def read(self, entry: Entry) -> Tensor | None:
        """uint8 bytes of a state, shared with the file; None where they are damaged.

        Raises:
            OSError: the file is gone or cannot be mapped.
        """
        end = entry.offset + entry.n_tokens * self._bytes_per_token
        if end > len(self._bytes):
            self._map_all()
        if end > len(self._bytes):
            return None
        data = self._bytes[entry.offset : end]
        if entry not in self._good:
            if digest_of(self._identity, entry.document, data) != entry.digest:
                return None
            self._good.add(entry)
        return data

    def forget_if_cut(self) -> None:
        """Let go of the map if the file has become shorter than it: to touch what is missing would be fatal."""
        if self._map is not None and self._map.size() < len(self._map):
            self._map, self._bytes = None, self._bytes[:0].clone()
            self._good.clear()

    def note_use(self) -> None:
        """The file's time is when it was last used; it is written once a minute at most."""
        now = time.monotonic()
        if now - self._use_noted >= _USE_NOTED_EVERY_S:
            self._use_noted = now
            with suppress(OSError):
                os.utime(self._states)

    def _map_all(self) -> None:
        descriptor = _open_regular(self._states)
        try:
            if os.fstat(descriptor).st_size:
                # Copy on write: torch wants memory that it may write to, and the file has to stay as it is.
                self._map = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
                self._bytes = torch.frombuffer(self._map, dtype=torch.uint8)
        except ValueError as cause:  # emptied between two steps
            raise OSError(str(cause)) from cause
        finally:
            os.close(descriptor)


class SegmentWriter:
    """A segment that this process alone appends to.

    A lock on the index file says so, and goes with the process. A segment that an earlier process has left unfinished
    is carried on, so many short runs do not make many small files.
    """

    def __init__(self, folder: Path, name: str, states: int, index: int) -> None:
        self.folder, self.name = folder, name
        self._states, self._index = states, index
        self._end, self._index_end = os.fstat(states).st_size, os.fstat(index).st_size // ENTRY_BYTES * ENTRY_BYTES
        self._process = os.getpid()
        self.close = weakref.finalize(self, _close, states, index)

    @classmethod
    def create(cls, folder: Path) -> SegmentWriter:
        """A new segment.

        Raises:
            OSError: it cannot be made.
        """
        while True:
            name = secrets.token_hex(16)
            index = _open(folder / f"{name}.index", os.O_CREAT | os.O_EXCL)
            if _lock(index) is not False:
                return cls._with_states(folder, name, index)
            os.close(index)  # before it was locked, another process took it for one that was left, and carries it on

    @classmethod
    def carry_on(cls, folder: Path, name: str) -> SegmentWriter | None:
        """A segment that nobody writes to any more; None where somebody does, or it is gone or cannot be opened.

        Its maker may have been killed at any step: before it had an entry, or the file for states.
        """
        try:
            index = _open(folder / f"{name}.index", 0)
        except OSError:
            return None
        if not _lock(index) or not os.fstat(index).st_nlink:
            os.close(index)
            return None
        try:
            writer = cls._with_states(folder, name, index)
        except OSError:
            return None
        if writer.usable:
            return writer
        writer.close()
        return None

    @classmethod
    def _with_states(cls, folder: Path, name: str, index: int) -> SegmentWriter:
        """The writer of a segment whose index is open and locked. Closes that where the other file cannot be opened."""
        path = folder / f"{name}.states"
        try:
            states = _open(path, os.O_CREAT)
        except OSError:
            os.close(index)
            raise
        if not os.fstat(index).st_nlink:  # removed meanwhile: the file may be one that was just made
            path.unlink(missing_ok=True)
        return cls(folder, name, states, index)

    @property
    def usable(self) -> bool:
        """False where another process has removed the files, and in a fork of the process that opened them."""
        return os.getpid() == self._process and all(os.fstat(file).st_nlink for file in (self._states, self._index))

    @property
    def n_bytes(self) -> int:
        return self._end + self._index_end

    def add(self, document: bytes, data: Tensor, *, n_tokens: int, identity: bytes) -> None:
        """Append a state.

        Raises:
            OSError: not all of it could be written. The writer must not be used again.
        """
        offset = -(-self._end // _ALIGN) * _ALIGN
        entry = Entry(offset, n_tokens, document, digest_of(identity, document, data))
        _write(self._states, data.numpy().data, offset)
        _write(self._index, memoryview(entry.packed()), self._index_end)
        self._end, self._index_end = offset + len(data), self._index_end + ENTRY_BYTES


def _open_regular(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no regular file")
    return descriptor


def _open(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)


def _lock(descriptor: int) -> bool | None:
    """Whether the lock was free; None where a file system has no locks, and nothing is carried on."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _write(descriptor: int, data: memoryview, offset: int) -> None:
    while len(data):
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
