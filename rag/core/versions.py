"""Which documents of an index replace others: where their metadata say it. Knows no index. The guide is docs/filters.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rag.core.errors import SpecError

VersionsData = Mapping[str, Any] | Literal["all", "newest"]
"""Versions as they stand in a graph: all of them, the newest alone, or the newest by the keys that are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Keys of metadata that say what is newer.

    Args:
        replaces: has the id, or ids, of the documents that a document replaces; empty looks at none.
        key: has what all versions of one document have alike; empty looks at none.
        date: has an ISO date; of those with the same `key`, what is later replaces what is earlier.
    Raises:
        SpecError: a key without a date, a date without a key, or nothing at all.
    """

    replaces: str = ""
    key: str = ""
    date: str = ""

    def __post_init__(self) -> None:
        if not all(isinstance(name, str) for name in (self.replaces, self.key, self.date)):
            raise SpecError("versions: replaces, key and date are keys of metadata, as text")
        if bool(self.key) != bool(self.date):
            raise SpecError("versions: key and date stand together: {key: name, date: released}")
        if not self.replaces and not self.key:
            raise SpecError("versions: name replaces, or key and date")


def read_versions(data: VersionsData) -> Versions | None:
    """Versions as a graph says them; None for all.

    Raises:
        SpecError: it is something else.

    >>> read_versions("newest"), read_versions("all")
    (Versions(replaces='replaces', key='', date=''), None)
    """
    if data == "all":
        return None
    if data == "newest":
        return Versions(replaces="replaces")
    if not isinstance(data, Mapping):
        raise SpecError(
            f"versions: takes all, newest, or an object such as {{key: name, date: released}}, got {data!r:.80}"
        )
    if unknown := sorted(str(name)[:40] for name in data.keys() - {"replaces", "key", "date"}):
        raise SpecError(f"versions: no field {unknown[0]!r}; known are replaces, key and date")
    return Versions(**data)
