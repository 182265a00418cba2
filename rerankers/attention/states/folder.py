"""Document states in a folder: found, added, and removed when there are too many.

    HOME/<sha256 of an identity>/identity.json   what its states depend on, in clear
    HOME/<sha256 of an identity>/NAME.states     segments, see `rerankers.attention.states.segments`
    HOME/<sha256 of an identity>/NAME.index

The budget is for all identities together: states of weights that nobody uses any more are the first to go.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from rerankers.attention.states.segments import (
    ENTRY_BYTES,
    Entry,
    SegmentFiles,
    SegmentReader,
    SegmentWriter,
    segments_in,
)

_IDENTITY = re.compile(r"[0-9a-f]{64}")
_SEGMENTS = 32
"""Segments that a full store has: what is removed at once is this part of it, and each is one open file."""


class Place(NamedTuple):
    """An entry and the name of its segment."""

    segment: str
    entry: Entry


class StateFolder:
    """States of one identity below `home`, as bytes. Not for several threads at once; for several processes."""

    def __init__(self, home: Path, *, identity: bytes, in_clear: str, bytes_per_token: int, budget: int) -> None:
        """`identity`: a sha256. `in_clear`: what it is of. `budget`: bytes of all segments below `home`."""
        self._home, self._folder = home, home / identity.hex()
        self._identity, self._in_clear = identity, in_clear
        self._bytes_per_token, self._budget = bytes_per_token, budget
        self._segments: dict[str, SegmentReader] = {}
        self._places: dict[bytes, list[Place]] = {}
        self._writer: SegmentWriter | None = None
        self.damaged = 0
        self.evicted = 0  # of all identities

    def find(self, documents: Sequence[bytes]) -> list[Tensor | None]:
        """uint8 bytes of each document's state, shared with the files; None where there is none."""
        for segment in self._segments.values():
            segment.forget_if_cut()
        states = [self._read(document) for document in documents]
        if any(data is None for data in states):
            self._look()
            states = [self._read(documents[i]) if data is None else data for i, data in enumerate(states)]
        return states

    def add(self, document: bytes, data: Tensor) -> None:
        """Keep a state unless it is kept already, here or by another process, or is larger than the budget.

        Raises:
            OSError: it could not be written. What is kept so far can still be found.
        """
        self._look()
        needed = len(data) + ENTRY_BYTES
        if document in self._places or not self._make_room(needed):
            return
        writer = self._writer_for(needed)
        try:
            writer.add(document, data, n_tokens=len(data) // self._bytes_per_token, identity=self._identity)
        except OSError:
            self._stop_writing()
            raise

    def count(self) -> tuple[int, int]:
        """Documents of this identity, and bytes of all."""
        self._look()
        return len(self._places), sum(segment.n_bytes for segment in self._all_segments())

    @property
    def room(self) -> int:
        """Bytes that can be added without losing any of them. Beyond that, a whole segment is removed."""
        return self._budget - self._full

    def _read(self, document: bytes) -> Tensor | None:
        """A state from its newest undamaged place. Damaged and removed places are forgotten."""
        places = self._places.get(document)
        while places:
            segment, entry = self._segments[places[-1].segment], places[-1].entry
            with suppress(OSError):  # removed by another process since it was listed
                data = segment.read(entry)
                if data is not None:
                    segment.note_use()
                    return data
                self.damaged += 1
            places.pop()
        self._places.pop(document, None)
        return None

    def _look(self) -> None:
        """Take in what processes have added and removed since."""
        listed = segments_in(self._folder)
        gone = self._segments.keys() - listed.keys()
        if gone:
            self._forget(gone)
        for name, files in sorted(listed.items(), key=lambda item: (item[1].used_ns, item[0])):
            if name not in self._segments:
                self._segments[name] = SegmentReader(
                    self._folder, name, identity=self._identity, bytes_per_token=self._bytes_per_token
                )
            with suppress(OSError):
                for entry in self._segments[name].new_entries(files.index_bytes):
                    if entry is None:
                        self.damaged += 1
                    else:
                        self._places.setdefault(entry.document, []).append(Place(name, entry))

    def _forget(self, names: set[str]) -> None:
        for name in names:
            del self._segments[name]
        left = {
            document: [place for place in places if place.segment not in names]
            for document, places in self._places.items()
        }
        self._places = {document: places for document, places in left.items() if places}

    def _make_room(self, needed: int) -> bool:
        """Remove the segments used longest ago until `needed` bytes more are within the budget."""
        if needed > self._budget:
            return False
        if self._writer and self._writer.n_bytes + needed > self._full:
            self._stop_writing()
        segments = self._all_segments()
        held = sum(segment.n_bytes for segment in segments)
        for segment in sorted(segments, key=lambda segment: (segment.used_ns, segment.name)):
            if held + needed <= self._budget:
                break
            if segment.remove():
                held -= segment.n_bytes
                self.evicted += segment.n_entries
        return held + needed <= self._budget

    @property
    def _full(self) -> int:
        """The size at which a segment is full."""
        return self._budget // _SEGMENTS

    def _writer_for(self, needed: int) -> SegmentWriter:
        if self._writer and not self._writer.usable:
            self._stop_writing()
        if self._writer is None:
            self._prepare()
            self._writer = self._carried_on(needed) or SegmentWriter.create(self._folder)
        return self._writer

    def _carried_on(self, needed: int) -> SegmentWriter | None:
        """A writer of an unfinished segment, if there is one."""
        for name, files in segments_in(self._folder).items():
            if files.n_bytes + needed <= self._full:
                writer = SegmentWriter.carry_on(self._folder, name)
                if writer:
                    return writer
        return None

    def _stop_writing(self) -> None:
        if self._writer:
            self._writer.close()
        self._writer = None

    def _prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        label = self._folder / "identity.json"
        with suppress(OSError):
            if label.read_bytes() == self._in_clear.encode():
                return
        draft = self._folder / f"{secrets.token_hex(16)}.new"
        draft.write_text(self._in_clear, encoding="utf-8")
        os.replace(draft, label)

    def _all_segments(self) -> list[SegmentFiles]:
        """Of every identity."""
        folders: list[Path] = []
        with suppress(OSError), os.scandir(self._home) as entries:
            folders = [
                self._home / entry.name
                for entry in entries
                if _IDENTITY.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
        return [segment for folder in folders for segment in segments_in(folder).values()]
