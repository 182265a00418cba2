"""Kinds of model folders that encoders read. Another one is a class in a file, and an entry in `ENCODERS`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import SpecError
from rag.core.memory import Need
from rag.core.registry import Registry
from retrievers.encoders.sentence_folder import Role

Requested = Literal["auto", "float32", "bfloat16"]
Compute = Literal["float32", "bfloat16"]
Batch = tuple[NDArray[np.intp], NDArray[np.float32]]


class EncoderKind(Protocol):
    """A model folder that gives vectors. It is made without loading weights, and may be called from several threads."""

    reads: ClassVar[str]
    """What folders of this kind are, for messages."""

    def __init__(self, folder: Path, *, requested: Requested) -> None: ...

    @staticmethod
    def refuses(folder: Path) -> str | None:
        """Why this kind does not read the folder; None where it does. Reads JSON alone.

        Raises:
            SpecError: the folder is of this kind, and one of its files is damaged.
        """
        ...

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        ...

    @property
    def compute(self) -> Compute:
        """The data type of the products."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """All that decides a vector beside the weights, as JSON. Loads no weights."""
        ...

    def batches(self, texts: Sequence[str], role: Role) -> Iterator[Batch]:
        """Rows of `texts` and their vectors, float32 [n, dim]. Rows that are left out get zeros."""
        ...

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Where each token of each text begins and ends, in characters; nothing is cut."""
        ...

    def memory(self) -> list[Need]:
        """Weights, and the batches that run side by side. Loads nothing."""
        ...

    def release(self) -> None:
        """Let go of the weights. The next text loads them again."""
        ...


ENCODERS = Registry(
    "encoder",
    {
        "static": "retrievers.encoders.static_encoder:StaticEncoder",
        "plain": "retrievers.encoders.plain_encoder:PlainEncoder",
        "library": "retrievers.encoders.library_encoder:LibraryEncoder",
        "sparse": "retrievers.encoders.library_encoder:SparseLibraryEncoder",
    },
)
"""Asked in this order, those of plug-ins before them: the first that reads a folder is taken."""


def kind_of(folder: Path, *, first: str | None = None) -> tuple[str, type[EncoderKind]]:
    """The name and class of the kind that reads a folder; see `first_that_reads`."""
    name, kind = first_that_reads(folder, ENCODERS, wanted="an encoder", first=first)
    return name, cast(type[EncoderKind], kind)


def first_that_reads(folder: Path, kinds: Registry, *, wanted: str, first: str | None = None) -> tuple[str, type[Any]]:
    """The name and class of the first kind that reads a folder.

    Args:
        kinds: of each, `refuses(folder)` says why it does not read the folder, and None where it does; `reads` is what
            folders of the kind are. Those of plug-ins are asked before ours, which read much.
        wanted: what the folder is to be, for the message.
        first: the kind that is asked before the others: one that made an index goes on reading its folder, whatever comes
            before it in the table by now.
    Raises:
        SpecError: none does; with the reason of each.
    """
    reasons = []
    for name in kinds.in_order(first):
        kind = kinds.get(name)
        reason = kind.refuses(folder)
        if reason is None:
            return name, kind
        reasons.append(f"as {kind.reads}: {reason}")
    raise SpecError(f"model folder '{folder}' cannot be read as {wanted}. {' '.join(reasons)} Choose another model.")
