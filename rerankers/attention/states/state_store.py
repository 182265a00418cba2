"""Document states kept between queries, so that a document is read by the model once.

A state is what the model makes of one document's text alone: keys [n_pairs, n_tokens, head_size], and its prior where
there is one. It depends on the weights, the texts before the document, truncation, the pairs that are kept, what the
prior is made of, and how numbers are stored. All of that is the store's identity; states of another identity lie in
another folder, and their digests do not fit here.

The store knows nothing of models. It finds what it has, says what it has not, and never gives out a state whose bytes
are not those that were put in.
"""

from __future__ import annotations

import array
import hashlib
import json
import logging
import math
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from torch import Tensor

from rerankers.attention.states.folder import StateFolder
from rerankers.attention.states.layout import State, StateKind, StateLayout
from rerankers.attention.states.segments import ENTRY_BYTES

logger = logging.getLogger(__name__)

_FORMAT = 2
_SPARE_BYTES = 256 << 20
"""Memory used at most in place of a folder that cannot be written to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """What a store did since it was opened, and what it holds now.

    Attributes:
        hits, misses: documents asked for that were there, and that were not.
        kept: documents that it can find.
        bytes: taken on disk by all identities in the folder, and in memory.
        damaged: records found with other bytes than were written; none of them was used.
        evicted: documents removed by this store to stay within the budget.
        disabled: why nothing more is written to the folder; None where it is, or there is none.
        seconds_saved: of encoding, by what was found; None where nothing was encoded to tell the speed from.
    """

    hits: int
    misses: int
    kept: int
    bytes: int
    damaged: int
    evicted: int
    disabled: str | None
    seconds_saved: float | None = None


def document_digest(ids: Sequence[int]) -> bytes:
    """sha256 of a document's token ids, under which its state is found."""
    return hashlib.sha256(array.array("q", ids)).digest()


class StateStore:
    """States of documents in a folder, or in memory alone. Safe to share between threads, and the folder between
    processes.

    A folder that cannot be written to (full, read-only, a file) is given up with one warning; what it holds is still
    found, and new states are kept in memory instead, 256 MiB of them at most.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        identity: Mapping[str, object],
        n_pairs: int,
        head_size: int,
        kind: StateKind = "bfloat16",
        with_prior: bool = False,
        budget: int,
    ) -> None:
        """Nothing is read or written yet.

        Args:
            folder: made when the first state is kept; None keeps states in memory.
            identity: all that a state depends on, as plain values: str, int, float, bool, None, and lists and
                mappings of them. Shape, kind and format version are added to it.
            n_pairs: (layer, key head) pairs of a state.
            head_size: numbers per pair and token.
            kind: bfloat16, or int8 with a scale per pair and token: half the bytes, and an error of at most 1/254 of
                the largest number in the row.
            with_prior: whether states have a prior.
            budget: bytes kept at most, by all identities in the folder together. Those used longest ago are
                removed first: on disk in parts of a 32nd of the budget, in memory one by one.
        Raises:
            ValueError: a parameter is out of range, or the identity holds something else than plain values.
        """
        if min(n_pairs, head_size, budget) < 1:
            raise ValueError(f"n_pairs, head_size and budget must be at least 1, got {n_pairs}, {head_size}, {budget}")
        if kind not in get_args(StateKind):
            raise ValueError(f"kind must be one of {', '.join(get_args(StateKind))}, got {kind!r}")
        self._layout = StateLayout(n_pairs=n_pairs, head_size=head_size, kind=kind, with_prior=with_prior)
        in_clear = _in_clear(identity, self._layout)
        self._folder = folder
        self._disk = (
            None
            if folder is None
            else StateFolder(
                folder,
                identity=hashlib.sha256(in_clear.encode()).digest(),
                in_clear=in_clear,
                bytes_per_token=self._layout.bytes_per_token,
                budget=budget,
            )
        )
        self._memory = _Memory(budget if folder is None else min(budget, _SPARE_BYTES))
        self._lock = threading.Lock()
        self._disabled: str | None = None
        self._told_of_damage = False
        self._hits = self._misses = 0

    def get(self, digests: Sequence[bytes]) -> list[State | None]:
        """The state of each document, keys bfloat16 or for int8 float32; None where it is not kept or was damaged.

        bfloat16 states share memory with the store: they are to be read, not written to.
        """
        with self._lock:
            stored = [None] * len(digests) if self._disk is None else self._disk.find(digests)
            self._tell_of_damage()
            stored = [self._memory.find(digests[i]) if data is None else data for i, data in enumerate(stored)]
            missing = sum(data is None for data in stored)
            self._hits += len(stored) - missing
            self._misses += missing
        return [None if data is None else self._layout.unpack(data) for data in stored]

    def put(self, states: Iterable[tuple[bytes, State]]) -> list[State]:
        """Keep states under their documents' digests, each as soon as `states` yields it.

        What is kept already is left as it is. A state with a number that is not finite is not kept, so whoever
        computes it meets it again; nor is one that is larger than the budget.

        Returns:
            Each state as `get` gives it back, rounded, whether or not there was room to keep it: what is computed from
            a document must not depend on what else was read. One that is not finite comes back as it is.
        Raises:
            ValueError: a state of another shape, or a digest that is no sha256.
        """
        rounded = []
        for digest, state in states:
            if len(digest) != 32:
                raise ValueError(f"a document's digest must be a sha256 (32 bytes), got {len(digest)} bytes")
            data = self._layout.pack(state)
            rounded.append(state if data is None else self._layout.unpack(data))
            if data is not None:
                with self._lock:
                    self._keep(digest, data)
        return rounded

    @property
    def evicted(self) -> int:
        """Documents removed by this store to stay within the budget. Looks at no file."""
        return self._memory.evicted + (0 if self._disk is None else self._disk.evicted)

    def n_bytes(self, n_tokens: int) -> int:
        """What the state of a document of so many tokens takes of the budget."""
        return n_tokens * self._layout.bytes_per_token + (0 if self._disk is None else ENTRY_BYTES)

    @property
    def room(self) -> int:
        """Bytes of states that can be put one after another, and all be found at the end. Looks at no file."""
        return self._memory.budget if self._disk is None or self._disabled is not None else self._disk.room

    def report(self) -> StoreReport:
        """Counts so far; the folder is looked at again."""
        with self._lock:
            kept, size = (0, 0) if self._disk is None else self._disk.count()
            return StoreReport(
                hits=self._hits,
                misses=self._misses,
                kept=kept + len(self._memory),
                bytes=size + self._memory.n_bytes,
                damaged=0 if self._disk is None else self._disk.damaged,
                evicted=self.evicted,
                disabled=self._disabled,
            )

    def _tell_of_damage(self) -> None:
        """Warn once. One damaged record is reason enough to check the disk, or what else writes to the folder."""
        if self._disk is not None and self._disk.damaged and not self._told_of_damage:
            self._told_of_damage = True
            logger.warning(
                "document states in '%s' are damaged (%d so far); none of them is used, they are computed again",
                self._folder,
                self._disk.damaged,
            )

    def _keep(self, digest: bytes, data: Tensor) -> None:
        if self._disk is None or self._disabled is not None:
            self._memory.add(digest, data)
            return
        try:
            self._disk.add(digest, data)
        except OSError as cause:
            self._disabled = cause.strerror or str(cause)
            logger.warning(
                "document states cannot be written to '%s' (%s); going on in memory. Make room there or choose "
                "another folder.",
                self._folder,
                self._disabled,
            )
            self._memory.add(digest, data)


class Filling:
    """Counts documents that are read ahead into a store, so that reading ends before it pushes out its own.

    Those of equal ids are one state and count once.
    """

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._n_bytes = 0

    def passes(self, store: StateStore, blocks: Sequence[Sequence[int]]) -> bool:
        """Whether the store has too little room for these documents and all before them.

        A document that is in the store already counts too. Other documents in the store do not: they make room.
        """
        for block in blocks:
            digest = document_digest(block)
            if digest not in self._seen:
                self._seen.add(digest)
                self._n_bytes += store.n_bytes(len(block))
        return self._n_bytes > store.room


class _Memory:
    """States in memory, as bytes; the one used longest ago goes first."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._states: OrderedDict[bytes, Tensor] = OrderedDict()
        self.n_bytes = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._states)

    def find(self, digest: bytes) -> Tensor | None:
        data = self._states.get(digest)
        if data is not None:
            self._states.move_to_end(digest)
        return data

    def add(self, digest: bytes, data: Tensor) -> None:
        if digest in self._states or len(data) > self.budget:
            return
        while self.n_bytes + len(data) > self.budget:
            _, oldest = self._states.popitem(last=False)
            self.n_bytes -= len(oldest)
            self.evicted += 1
        self._states[digest] = data
        self.n_bytes += len(data)


def _in_clear(identity: Mapping[str, object], layout: StateLayout) -> str:
    """One text for one identity, whatever the order of its names."""
    whole = {
        "format": _FORMAT,
        "byte_order": sys.byteorder,
        "kind": layout.kind,
        "with_prior": layout.with_prior,
        "n_pairs": layout.n_pairs,
        "head_size": layout.head_size,
        "identity": _plain(identity, "identity"),
    }
    return json.dumps(whole, sort_keys=True, indent=1) + "\n"


def _plain(value: object, where: str) -> object:
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: _plain(each, f"{where}.{name}") for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, f"{where}[{i}]") for i, each in enumerate(value)]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"{where} must be a plain value (text, finite number, bool, None, list, mapping), got {value!r}")
