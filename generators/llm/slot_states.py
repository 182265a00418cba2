"""What a slot of llama.cpp has read: tokens, keys and values of each layer, as a file, and where files are taken and given."""

from __future__ import annotations

import shutil
import struct
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import StageError

_HEAD, _LAYER = struct.Struct("<4sII"), struct.Struct("<iQ")
_MAGIC, _VERSION, _FLOAT16 = b"qsgg", 4, 1

_LIKE = 0.98
"""Least cosine between keys or values of two readers: quantised products differ in the third digit, another layout in the first."""

Rows = NDArray[np.float16]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlotStates:
    """Of each layer float16 [n_tokens, width], keys as rotary positions turned them."""

    ids: Sequence[int]
    keys: Sequence[Rows]
    values: Sequence[Rows]

    def resembles(self, other: SlotStates) -> bool:
        """Whether both are what one model read of the same tokens, but for rounding."""
        ours, theirs = (*self.keys, *self.values), (*other.keys, *other.values)
        return len(ours) == len(theirs) and all(map(_alike, ours, theirs))

    def packed(self, slot: int, n_slots: int) -> bytes:
        """As llama.cpp writes and reads it for a slot of so many: positions from 0 on, values not transposed."""
        n = len(self.ids)
        tokens = np.array([-1, 1, n, *self.ids, 0], dtype="<i4")
        cells = np.stack([np.arange(n), np.ones(n), np.full(n, slot)], axis=1).astype("<i4")
        parts = [_HEAD.pack(_MAGIC, _VERSION, len(tokens)), tokens.tobytes(), _numbers(n_slots, *[0] * slot, n)]
        parts += (cells.tobytes(), _numbers(0, len(self.keys), 0, 0))
        for rows in (*self.keys, *self.values):
            parts += (_LAYER.pack(_FLOAT16, 2 * rows.shape[1]), rows.tobytes())
        return b"".join([*parts, _numbers(*[0] * (n_slots - slot - 1))])

    @classmethod
    def unpacked(cls, data: bytes, slot: int, n_slots: int) -> SlotStates:
        """What `packed` wrote, or llama.cpp.

        Raises:
            ValueError: it is of another form: of another version of llama.cpp, or of a model with other caches.
        """
        try:
            _, _, n_listed = _HEAD.unpack_from(data)
            ids = np.frombuffer(data, "<i4", n_listed, _HEAD.size)[3:-1]
            at = _HEAD.size + 4 * (n_listed + slot + 2) + 12 * len(ids)
            n_layers, rows = struct.unpack_from("<II", data, at)[1], list[Rows]()
            at += 16
            for _ in range(2 * min(n_layers, len(data))):
                width = _LAYER.unpack_from(data, at)[1] // 2
                rows.append(np.frombuffer(data, "<f2", len(ids) * width, at + _LAYER.size).reshape(len(ids), width))
                at += _LAYER.size + rows[-1].nbytes
        except struct.error as cause:
            raise ValueError(str(cause)) from cause
        read = cls(ids=ids.tolist(), keys=rows[:n_layers], values=rows[n_layers:])
        if read.packed(slot, n_slots) != data:
            raise ValueError("llama.cpp keeps what it read in another form")
        return read


def _alike(ours: Rows, theirs: Rows) -> bool:
    """But for the first token, whose numbers are a hundred times as large as those of others in some models."""
    if ours.shape != theirs.shape:
        return False
    one, other = ours[1:].astype(np.float32).ravel(), theirs[1:].astype(np.float32).ravel()
    lengths = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    return float(one @ other) > _LIKE * lengths[0] * lengths[1] and _LIKE * lengths[0] < lengths[1] < lengths[0] / _LIKE


def _numbers(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


class StateDoor:
    """A folder that only this user may enter, with the socket and the files. It goes with this object, or when it is closed."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ragline-"))
        self.socket = self.folder / "llama.sock"
        self.close = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        """Removes the folder: nobody can connect any more."""

    def save(self, slot: int) -> bytes:
        """What a slot has read, as a file of llama.cpp.

        Raises:
            StageError: llama.cpp refuses.
        """
        file = self._file(slot)
        try:
            self._ask(slot, "save", file)
            return file.read_bytes()
        finally:
            file.unlink(missing_ok=True)

    def restore(self, slot: int, states: bytes) -> None:
        """Let a slot have read what a file says. Raises as `save`."""
        file = self._file(slot)
        try:
            file.write_bytes(states)
            self._ask(slot, "restore", file)
        finally:
            file.unlink(missing_ok=True)

    def _file(self, slot: int) -> Path:
        return self.folder / f"{slot}.states"

    def _ask(self, slot: int, action: str, file: Path) -> None:
        from httpx2 import Client, HTTPError, HTTPTransport

        with Client(transport=HTTPTransport(uds=str(self.socket)), base_url="http://llama", timeout=60) as client:
            try:
                reply = client.post(f"/slots/{slot}?action={action}", json={"filename": file.name})
            except HTTPError as cause:
                raise StageError(f"llm.llama_cpp: llama.cpp does not answer on its socket: {cause}") from cause
        if reply.status_code != 200:
            raise StageError(f"llm.llama_cpp: llama.cpp does not {action} what a slot has read: {reply.text[:200]}")
