"""What an open generation of an index says by its manifest, and how its pieces are opened, wherever they are."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from rag.core.errors import IndexMismatch
from rag.core.memory import Need
from rag.core.types import Where
from retrievers.index.manifest import MANIFEST, Manifest, read_manifest
from retrievers.index.settings import leg_kind
from retrievers.index_protocol import Sections
from retrievers.legs import LEGS
from retrievers.legs.protocol import KIND, Difference, Facts, Leg, LegKind, explicit_differences

if TYPE_CHECKING:
    from retrievers.index.near_duplicates import NearDuplicates

Opened = TypeVar("Opened")


class OpenedIndex(ABC):
    """A manifest, and what was opened by it: each piece when it is first asked for, and once. Threads may share it.

    Args:
        manifest: None where it is a file as the others are.
    """

    def __init__(self, manifest: Manifest | None = None) -> None:
        self.manifest = manifest or read_manifest(self.file(MANIFEST).parent, name=self.name)
        self._opened: dict[str, Any] = {}
        self._locks: dict[str, threading.Lock] = {}

    @property
    @abstractmethod
    def name(self) -> str: ...

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def open_leg(self, name: str, facts: Facts) -> Leg:
        """A leg with these facts."""

    @abstractmethod
    def file(self, name: str) -> Path:
        """Where a file is that belongs to the index, and to no leg.

        Raises:
            IndexProblem: it is not there, or not as it was written.
        """

    @property
    def identity(self) -> str:
        """See `Manifest.identity`."""
        return self.manifest.identity

    @property
    def legs(self) -> tuple[str, ...]:
        """Names of its legs, in the order of building."""
        return tuple(self.manifest.legs)

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of content that documents hold beside text."""
        return frozenset(self.manifest.corpus.kinds)

    def leg(self, name: str) -> Any:
        """A leg, opened once.

        Raises:
            IndexMismatch: the index has none of this name.
        """
        facts = self.facts(name)
        return self._once(_leg(name), lambda: self.open_leg(name, facts))

    def facts(self, leg: str) -> Mapping[str, Any]:
        """What the leg was built with.

        Raises:
            IndexMismatch: the index has none of this name.
        """
        facts = self.manifest.legs.get(leg)
        if facts is None:
            raise IndexMismatch(f"index '{self.name}': {_missing_leg(self.manifest, leg)}")
        return facts

    def kind(self, leg: str) -> LegKind:
        """What a leg says of itself.

        Raises:
            IndexMismatch: the index has none of this name.
        """
        return leg_kind(leg, self.facts(leg))

    def check(self, settings: Sections, legs: Sequence[str]) -> None:
        """Return if this index may serve a graph with these `settings` and `legs` (see `require_match`)."""
        require_match(self.manifest, settings, legs, name=self.name)

    def model_names(self, legs: Sequence[str]) -> list[tuple[str, str | None]]:
        """Name and revision of the models that queries on these legs need."""
        return [model for leg in self.legs if leg in legs for model in self.kind(leg).model_names(self.facts(leg))]

    def near_duplicates(self, where: Where | None = None) -> NearDuplicates:
        """Which units say nearly the same."""
        from retrievers.index.near_duplicates import DUPLICATES, NearDuplicates

        if DUPLICATES not in self.manifest.files:
            return NearDuplicates.none()
        return self._once("near-duplicates", lambda: NearDuplicates.read(self.file(DUPLICATES)))

    def health(self, leg: str) -> list[str]:
        """Sentences on what a leg needs beside its data, where that is here."""
        return self.kind(leg).health(self.leg(leg))

    def needs(self, legs: Sequence[str], n_bytes: Callable[[str], int]) -> list[Need]:
        """What searching these legs takes. `n_bytes`: of a leg's files, by its name. Loads nothing.

        Raises:
            MissingModel: a model is not here yet.
        """
        known = [leg for leg in self.legs if leg in legs]
        return [need for leg in known for need in self.kind(leg).memory(self.facts(leg), n_bytes(leg))]

    def release(self) -> None:
        """Let go of the legs' weights; the next query loads them again."""
        for name in map(_leg, self.legs):
            if name in self._opened:
                self._opened[name].release()

    def __len__(self) -> int:
        return self.manifest.corpus.n_units

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Index '{self.name}': {len(self):,} units, {' and '.join(self.legs)}>"

    def _once(self, name: str, make: Callable[[], Opened]) -> Opened:
        with self._locks.setdefault(name, threading.Lock()):
            if name not in self._opened:
                self._opened[name] = make()
            return cast(Opened, self._opened[name])


def require_match(manifest: Manifest, settings: Sections, legs: Sequence[str], *, name: str) -> None:
    """Return if the index has all `legs` and was built with every value that `settings` sets explicitly.

    Sections of legs that are not asked for do not count, and two ways to say the same thing are no
    difference: stemmer `porter` and what `auto` came to for the language, two names of one encoder file.

    Raises:
        IndexMismatch: names both sides of every difference.
    """
    built = manifest.settings
    problems = [_missing_leg(manifest, leg) for leg in legs if leg not in manifest.legs]
    differences = [
        each for part in ("reading", "chunking", "transforms") for each in explicit_differences(part, settings, built)
    ]
    for leg in legs:
        differences += _differences_of_leg(leg, settings, manifest)
    differences.sort(key=lambda each: each.path.partition(".")[0])
    problems += [
        f"it was built with {each.path} {_say(each.built)}{each.built_by and f', chosen by {each.built_by}'}; "
        f"the graph asks for {_say(each.wanted)}"
        for each in differences
        if each.wanted not in ("auto", each.built)
    ]
    if problems:
        raise IndexMismatch(
            f"index '{name}' cannot serve this graph: {'; '.join(problems)}. "
            f"Build it again for this graph (rag index --index {name} --graph GRAPH) or change the graph"
        )


def _differences_of_leg(leg: str, settings: Sections, manifest: Manifest) -> Iterable[Difference]:
    """A leg with a name of its own is another one where it is of another kind."""
    if leg in LEGS:
        return leg_kind(leg).differences(settings, manifest.settings, manifest.legs.get(leg, {}))
    if leg not in manifest.legs or not settings.says(leg):
        return ()
    facts, wanted = manifest.legs[leg], dict(settings.section(leg))[KIND]
    if wanted != facts[KIND]:
        return [Difference(f"{leg}.{KIND}", wanted, facts[KIND])]
    return leg_kind(leg, facts).differences(settings, manifest.settings, facts)


def _missing_leg(manifest: Manifest, leg: str) -> str:
    """Why a graph that needs `leg` cannot run, and what to do."""
    graph = leg_kind(leg).graph if leg in LEGS else "GRAPH"
    return (
        f"it has no {leg} leg; built with legs {', '.join(manifest.legs)}; run: rag index --index DIR --graph {graph}"
    )


def _leg(name: str) -> str:
    return f"leg {name}"


def _say(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(f"{part.use} {dict(part.params)}" for part in value) + "]"
    return repr(value)
