"""What a search is narrowed to that no metadata answers: the index knows which rows pass.

Such a part stands beside the rest of a filter, never under `or` or `not`: who may read something does not depend on what
is asked. It has no text and no data form, so nobody can write one into a request.
"""

from __future__ import annotations

from dataclasses import dataclass

from rag.core.access import Asker
from rag.core.errors import SpecError
from rag.core.filters.nodes import AllOf, AnyOf, Filter, Not
from rag.core.filters.reading import Where, both, parse_where
from rag.core.filters.structured import all_of
from rag.core.versions import Versions, VersionsData, read_versions


class Scope(Filter):
    """Base of these parts."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ReadableBy(Scope):
    """Passes what somebody may read. An index whose documents carry no labels lets everything through."""

    asker: Asker


@dataclass(frozen=True, slots=True)
class NewestOf(Scope):
    """Passes what nothing replaces that passes all other parts."""

    versions: Versions


@dataclass(frozen=True, slots=True)
class Parted:
    """A filter in its parts. `askers`: all of them have to be let in. `where`: what metadata answers."""

    askers: tuple[Asker, ...]
    newest: tuple[Versions, ...]
    where: Filter | None


def asked_by(asker: Asker | None, where: Where | None = None) -> Filter | None:
    """A filter that passes what `where` does and the asker may read; without an asker, `where` itself.

    >>> asked_by(None) is None, asked_by(Asker(user="ann")) == ReadableBy(Asker(user="ann"))
    (True, True)
    """
    return both(where, None if asker is None else ReadableBy(asker))


def newest_of(versions: VersionsData, where: Where | None = None) -> Filter | None:
    """A filter that passes what `where` does, and of that the newest versions; with "all", `where` itself.

    Raises:
        SpecError: the versions or the filter cannot be understood.
    """
    read = read_versions(versions)
    return both(where, None if read is None else NewestOf(read))


def parted(where: Where | None) -> Parted:
    """A filter taken apart.

    Raises:
        SpecError: it cannot be understood, or such a part stands under `or` or `not`.
    """
    tree = parse_where(where)
    scopes, rest = list[Scope](), list[Filter]()
    for part in () if tree is None else _beside(tree):
        if isinstance(part, Scope):
            scopes.append(part)
        else:
            _require_none(part)
            rest.append(part)
    askers = dict.fromkeys(scope.asker for scope in scopes if isinstance(scope, ReadableBy))
    newest = dict.fromkeys(scope.versions for scope in scopes if isinstance(scope, NewestOf))
    return Parted(askers=tuple(askers), newest=tuple(newest), where=all_of(rest) if rest else None)


def added(where: Where | None, *, to: Where | None) -> list[Filter]:
    """The parts on metadata that a filter has, and the one that it was made of has not."""
    before, after = ([] if tree is None else _beside(tree) for tree in (parted(to).where, parted(where).where))
    return [part for part in after if part not in before]


def scope_of(where: Where | None) -> Filter | None:
    """What is left of a filter without its part on metadata."""
    tree = parse_where(where)
    scopes = [] if tree is None else [part for part in _beside(tree) if isinstance(part, Scope)]
    return all_of(scopes) if scopes else None


def readers_of(where: Where | None) -> Filter | None:
    """What is left of a filter without all but who asks."""
    if where is None:
        return None
    askers = parted(where).askers
    return all_of([ReadableBy(asker) for asker in askers]) if askers else None


def _beside(tree: Filter) -> list[Filter]:
    """The parts that all have to hold."""
    return [each for part in tree.parts for each in _beside(part)] if isinstance(tree, AllOf) else [tree]


def _require_none(part: Filter) -> None:
    if isinstance(part, Scope):
        raise SpecError("where: who may read, and which version is the newest, cannot stand under `or` or `not`")
    for each in (part.part,) if isinstance(part, Not) else part.parts if isinstance(part, AllOf | AnyOf) else ():
        _require_none(each)
