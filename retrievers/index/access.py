"""Who may read which row of an index: the labels of its documents, each written once, and the label of every row.

    access.jsonl   a label a line; its access is null where nobody may read, as a label is missing or cannot be understood
    access.npy     int32 [n], the line of each row's label

There are no such files where documents carry no labels, so such an index is what it was before. What a label means says
`rag.core.access.may_read`; here the same is asked of all labels at once.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import blake2b
from operator import and_
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.access import Access, Asker, read_access
from rag.core.errors import IndexProblem
from retrievers.legs.protocol import ReadableRows
from retrievers.stores.arrays import load_array

LABELS, CODES = "access.jsonl", "access.npy"

KEPT_BYTES = 64 * 2**20
"""Of the rows of those who asked last."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """`access`: None lets nobody in. `given`: by a file of labels, which the next build keeps; else the document says it."""

    access: Access | None = None
    given: bool = False


class AccessTable:
    """The labels of an index. Safe to use from any thread.

    Args:
        labels: the distinct ones.
        codes: int32 [n], the label of each row.
    """

    def __init__(self, labels: Iterable[Label], codes: NDArray[np.int32]) -> None:
        self.labels, self.codes = tuple(labels), codes
        open_ = [label.access or Access() for label in self.labels]  # one without readers
        self._public = np.array([access.public for access in open_], dtype=np.bool_)
        self._denies = np.array([bool(access.deny_users) for access in open_], dtype=np.bool_)
        self._of_tenant = _inverted((access.tenant,) for access in open_)
        self._of_user = _inverted((access.owner, *access.users) for access in open_)
        self._of_group = _inverted(access.groups for access in open_)
        self._of_denied = _inverted(access.deny_users for access in open_)
        self._kept: OrderedDict[tuple[Asker, ...], ReadableRows] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, labels: Iterable[Label], codes: Sequence[int]) -> AccessTable:
        """The same from plain numbers."""
        return cls(labels, np.array(codes, dtype=np.int32))

    @classmethod
    def read(cls, labels: Path, codes: Path) -> AccessTable:
        """What `write` wrote.

        Raises:
            IndexProblem: the files are not what it writes.
        """
        try:
            read = [_label(json.loads(line)) for line in labels.read_text(encoding="utf-8").splitlines()]
        except (ValueError, KeyError, TypeError, RecursionError) as cause:
            raise IndexProblem(f"'{labels}' holds a line that is no label: {cause}. Build the index again") from cause
        rows = load_array(codes)
        if rows.dtype != np.int32 or rows.ndim != 1 or (len(rows) and not 0 <= rows.min() <= rows.max() < len(read)):
            raise IndexProblem(f"'{codes}' does not name the lines of '{labels.name}'. Build the index again")
        return cls(read, rows)

    def write(self, folder: Path) -> None:
        """Write both files."""
        lines = [{"access": label.access and label.access.as_dict(), "given": label.given} for label in self.labels]
        (folder / LABELS).write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
        np.save(folder / CODES, self.codes)

    def same_as(self, other: AccessTable | None) -> bool:
        """Whether every row has the label that it has there."""
        return other is not None and self.labels == other.labels and np.array_equal(self.codes, other.codes)

    def readable(self, *askers: Asker) -> ReadableRows:
        """The rows that all of these may read. Those who asked last are kept, 64 MiB of them."""
        with self._lock:
            if askers in self._kept:
                self._kept.move_to_end(askers)
                return self._kept[askers]
        allowed = reduce(and_, map(self.allowed, askers))
        mask = allowed[self.codes]
        mask.setflags(write=False)
        readable = ReadableRows(blake2b(np.packbits(allowed).tobytes(), digest_size=16).digest(), mask)
        with self._lock:
            self._kept[askers] = readable
            while len(self._kept) > max(1, KEPT_BYTES // max(1, len(mask))):
                self._kept.popitem(last=False)
        return readable

    def allowed(self, asker: Asker) -> Mask:
        """bool [labels]: those that let somebody in."""
        named, same_tenant = np.zeros((2, len(self.labels)), dtype=np.bool_)
        if asker.tenant:
            same_tenant[self._of_tenant.get(asker.tenant, [])] = True
            named[self._of_user.get(asker.user, [])] = True
            for group in asker.groups:
                named[self._of_group.get(group, [])] = True
        allowed: Mask = self._public | (same_tenant & named)
        if asker.user:
            allowed[self._of_denied.get(asker.user, [])] = False
        else:
            allowed &= ~self._denies
        return allowed


def _inverted(names: Iterable[Iterable[str]]) -> dict[str, list[int]]:
    """Name -> the labels that have it. The empty name is nobody's."""
    codes: dict[str, list[int]] = {}
    for code, of_label in enumerate(names):
        for name in set(of_label) - {""}:
            codes.setdefault(name, []).append(code)
    return codes


def _label(line: Mapping[str, Any]) -> Label:
    access = line["access"]
    return Label(access=None if access is None else read_access(access), given=bool(line["given"]))
