"""What a kind of leg says of itself. Shared code reads this, and knows no leg by name. Knows no index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from rag.core.contents import TEXT_ALONE
from rag.core.memory import Need
from rag.core.progress import Progress
from rag.core.types import Where
from retrievers.index_protocol import ContentStore
from retrievers.index_protocol import Sections as Sections
from retrievers.stores.chain_rows import ChainRows
from retrievers.stores.computed import Apply, Compute, in_this_process

if TYPE_CHECKING:
    from retrievers.legs.beside import Beside

KIND = "kind"
"""The fact that says which kind a leg is of, where it has a name of its own: a name of `LEGS`."""

MADE_BY = "encoder"
"""The fact that says what made a leg: `LegMaker.describe` of the time."""

Facts = Mapping[str, Any]
"""What a manifest keeps of a leg, as JSON."""

RECALL = "recall_at_10"
"""The fact that says how much of an exact search is found, where a search is not exact."""

FIT = "fit"
"""The fact that says how well a model reads the texts, 0 to 1, where it says no languages and that was measured."""

READS = "reads"
"""In what describes a maker: the kinds of content that it reads; left out where that is text alone."""

Mask = Callable[[Where | None], NDArray[np.bool_] | None]
"""A filter -> bool [n rows], the rows that may be hits; None for no filter."""


class ReadableRows(NamedTuple):
    """What somebody may read. `labels`: names the set of labels that let them in. `rows`: bool [n rows], not to be changed."""

    labels: bytes
    rows: NDArray[np.bool_]


Readable = Callable[[Where | None], ReadableRows]
"""A filter -> what whoever asks by it may read; what else the filter says does not count."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that a graph asks for and an index has not. `path`: dotted, from the `index:` section.

    `built_by`: what chose it, where settings left it to the build.
    """

    path: str
    wanted: Any
    built: Any
    built_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegRuler:
    """What chunks are measured in, where a leg brings it. `spans`: texts -> start and end of each token.

    `encode`: texts -> float32 [n, dim], for chunks that are cut by meaning; None where nothing here encodes.
    """

    facts: Facts
    spans: Callable[[Sequence[str]], list[list[tuple[int, int]]]]
    encode: Callable[[Sequence[str]], NDArray[np.float32]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The same leg of the index before, by the same maker: what it has need not be computed again.

    `texts`: of its rows, as those of the job. `file`: a file of that index, checked; None where it has none of this name.
    """

    leg: Callable[[], Any]
    texts: Sequence[str]
    file: Callable[[str], Path | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One leg to build.

    `texts`: a row each; where the maker reads more than text, with what it reads beside it (`rag.core.contents.TextWith`).
    `languages`: of each row what its metadata says, an ISO 639 code; empty where it says none. Read when it is asked for.
    `folder`: the leg's own, empty. `work`: kept while the build is not complete, so that a killed one goes on where it
    stopped; other legs have theirs. `apply`: where a model reads blocks of texts, for kinds that are `Encodes`. `beside`: what
    is shown the states of tokens, for makers that are `ReadsForOthers`. `contents`: bytes of what stands beside the texts.
    """

    texts: Sequence[str]
    languages: Sequence[str]
    folder: Path
    work: Path
    before: Before | None
    progress: Progress
    apply: Apply = in_this_process
    beside: Sequence[Beside] = ()
    contents: ContentStore | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a build came to. `counts`: texts by what was done with them. `seconds`: parts to be told apart."""

    facts: dict[str, Any]
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What settings leave to a build. `facts`: what that comes to, as the leg's facts say it. `why`: in words."""

    facts: Mapping[str, str]
    why: str

    def stands_in(self, facts: Facts) -> bool:
        """Whether a leg with these facts is as a build would choose."""
        return all(facts.get(name) == value for name, value in self.facts.items())

    def sentence(self, facts: Facts) -> str:
        """What a leg with these facts is, and why a build chooses that, or what else it would choose."""
        chosen, own = (", ".join(str(each.get(name)) for name in self.facts) for each in (self.facts, facts))
        if self.stands_in(facts):
            return f"{own}: {self.why}"
        return f"{own}, as it was; the next build of the whole takes {chosen}: {self.why}"


@dataclass(frozen=True, slots=True)
class Sparse:
    """A sparse vector: numbers of its places, ascending, and their weights. Weights are above 0; there may be none."""

    places: NDArray[np.integer[Any]]
    weights: NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LegVectors:
    """A leg as vectors, a row each, for whoever keeps those elsewhere.

    `between`: first row, row after the last -> a vector of each, dense or `Sparse`. `dim`: of dense ones. `exact`: whether a
    search looks at all of them. `files`: what searching needs beside them; each is made when it is written.
    """

    between: Callable[[int, int], Sequence[Any]]
    dim: int | None = None
    exact: bool = True
    files: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)


class VectorsElsewhere(Protocol):
    """What was sent of `LegVectors`, where somebody else keeps it. Safe to share between threads.

    Searches give for each query rows, int64, and scores, float64: the k best, and all that tie with the last of them as far as
    that can be told; best first, ties by row ascending. They raise SpecError where a filter cannot be asked there, or k is
    more than is given. A batch is one question.
    """

    def __len__(self) -> int:
        """How many rows."""
        ...

    def nearest(
        self, queries: NDArray[np.float32], *, k: int, where: Where | None, exact: bool
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """By inner product of dense vectors. `exact`: as they were sent."""
        ...

    def heaviest(
        self, queries: Sequence[Sparse], *, k: int, where: Where | None
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """By inner product of sparse ones. A row that shares no place with a query is no hit."""
        ...

    def vectors(self, rows: Sequence[int]) -> Mapping[int, Any]:
        """Row -> its vector, dense as float32 or `Sparse`. One question."""
        ...

    def vector(self, row: int) -> Any:
        """The same of one row. Whoever goes through them one by one asks once for many."""
        ...

    def file(self, name: str) -> bytes:
        """One that was sent.

        Raises:
            IndexProblem: it is not there, or not as it was written.
        """
        ...

    def has_file(self, name: str) -> bool:
        """Whether it was sent: an older ragline sent fewer."""
        ...


class LegMaker(Protocol):
    """A leg to be, under given settings."""

    def describe(self) -> dict[str, Any]:
        """All that decides what is computed of a text; nothing where no model is asked. Loads no weights.

        Raises:
            MissingModel: the model is not here and cannot be fetched.
        """
        return {}

    def same_as(self, before: Facts) -> bool:
        """Whether what described itself so computes the same of a text."""
        from retrievers.encoders.descriptions import differing

        return not differing(before, self.describe())

    def key(self) -> dict[str, Any]:
        """All that decides what the leg will be, for the same texts."""
        ...

    def ruler(self) -> LegRuler | None:
        """What chunks are measured in, if the leg brings it."""
        return None

    def choice(self, facts: Facts) -> Choice | None:
        """What a build chooses for a leg that holds as much as these facts say; None where settings leave nothing to it."""
        return None

    def build(self, job: Job) -> Built:
        """Write the leg.

        Raises:
            OSError: the disk is full.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A leg on disk, every file as it was written.

    `parts`: its folder and facts in each part, mostly one. `rows`: those that are left of the parts; None where that is one
    part, and all of it. `facts`: of the whole. `readable`: given where whoever asks has statistics of their own
    (`KeepsApart`).
    """

    parts: Sequence[tuple[Path, Facts]]
    rows: ChainRows | None = None
    facts: Facts
    mask: Mask
    readable: Readable | None = None

    @classmethod
    def of(cls, folder: Path, facts: Facts, mask: Mask, readable: Readable | None = None) -> Opening:
        """Of one part, and all of it."""
        return cls(parts=[(folder, facts)], facts=facts, mask=mask, readable=readable)

    @property
    def folder(self) -> Path:
        """The leg's own folder, in the first part."""
        return self.parts[0][0]

    @property
    def folders(self) -> list[Path]:
        """The same in each part."""
        return [folder for folder, _ in self.parts]


class Leg(Protocol):
    """An opened leg. What its search takes and gives is between it and its retrievers; it takes filters as they are."""

    def warm_up(self) -> None:
        """Load now what the first query would load."""

    def release(self) -> None:
        """Let go of weights; the next query loads them again."""


class HasLegs(Protocol):
    """An index, to those who only search one leg of it."""

    def leg(self, name: str) -> Any: ...


class LegKind(Protocol):
    """A kind of leg. To add one, derive from this, and put the class into `LEGS`. Made without arguments; holds nothing.

    A leg's own files are those of the folder with its name. An index may have several legs of one kind, of which all but one
    have names of their own (`called`); so a kind says `self.name` and `self.section`, and neither by its letters.
    """

    name: str
    section: str
    """Its part of the `index:` section; no two legs share one."""
    settings: ClassVar[type[BaseModel]]
    """Form of that section. All of it has defaults."""
    also: ClassVar[tuple[str, ...]] = ()
    """Other parts of the `index:` section that the leg reads."""
    joins: ClassVar[bool] = False
    """Whether several indexes can be searched as one: its search gives rows and scores, best first."""
    comes_with: ClassVar[frozenset[str]] = frozenset()
    """Kinds of content that it is for: an index that keeps such has it, whoever builds it."""
    found_by: ClassVar[str] = ""
    share: ClassVar[float] = 1.0
    """The retriever whose list graphs that fuse get then, and its weight, where all others have 1 together."""
    graph: ClassVar[str] = "GRAPH"
    """A built-in graph that an index with this leg can be built for, if there is one."""

    def called(self, name: str) -> Self:
        """The same kind, for a leg of another name. Its part of the section has that name too."""
        other = copy(self)
        other.name = other.section = name
        return other

    def maker(self, settings: Sections) -> LegMaker: ...

    def open(self, opening: Opening) -> Leg:
        """The leg over the rows that are left of its parts; of one part and all of it, as its maker wrote it.

        It answers as one leg of the same texts, to the last bit.

        Raises:
            IndexProblem: a file is damaged, or is not what the facts say.
        """
        ...

    def why_whole(self, facts: Facts) -> str:
        """Why a leg with these facts lies in one part alone; empty where it can lie in several.

        An index with one that cannot is written anew when documents come or go.
        """
        return f"a {self.name} leg is one piece"

    def differences(self, wanted: Sections, built: Sections, facts: Facts) -> Iterator[Difference]:
        """What a graph says of this leg, and the index has otherwise. Two ways to say the same are no difference."""
        yield from explicit_differences(self.section, wanted, built)

    def memory(self, facts: Facts, n_bytes: int) -> list[Need]:
        """What searching takes. `n_bytes`: of the leg's folder. Loads nothing.

        Raises:
            MissingModel: its model is not here yet.
        """
        return [Need(what=f"{self.name} leg", n_bytes=n_bytes, mapped=True)]

    def model_names(self, facts: Facts) -> list[tuple[str, str | None]]:
        """Name and revision of the models that a query needs."""
        return []

    def left_open(self, settings: Sections) -> frozenset[str]:
        """Fields of its section of which settings say nothing: a build takes them from the index before, if that has the leg."""
        return frozenset()

    def by_languages(self, settings: Sections, seen: Mapping[str, int]) -> Mapping[str, Any]:
        """Fields of its section that depend on the languages of the texts, and what they come to. `seen`: code -> texts."""
        return {}

    def wanted_models(self, settings: Sections) -> list[tuple[str, str | None]]:
        """The same for a leg that is still to be built, as its settings name them."""
        return []

    def health(self, leg: Any) -> list[str]:
        """Sentences on what an opened leg needs beside its files, where that is here.

        Raises:
            RagError: it is not.
        """
        return []


@runtime_checkable
class Encodes(Protocol):
    """A kind of leg whose model reads blocks of texts, each by itself, so that other processes can do it."""

    def block_encoder(self, made_by: Facts) -> Compute:
        """What `LegMaker.describe` gave -> what that maker computes of a block of texts. Weights load at the first one.

        Raises:
            IndexMismatch: the model's files here are not those described; names both sides.
            MissingModel: the model is not here and cannot be fetched.
        """
        ...


@runtime_checkable
class ReadsForOthers(Protocol):
    """A maker that has `Job.beside` see what its model reads, where that is read in this process."""

    def reading(self) -> Mapping[str, Any] | None:
        """All that decides the states of a text's tokens; None where they are not shown."""
        ...


@runtime_checkable
class ReadBeside(Protocol):
    """A maker whose leg can be computed of states that somebody else has read."""

    def reading(self) -> Mapping[str, Any] | None:
        """The same of the states that it wants; None where it reads texts itself."""
        ...

    def beside(self, job: Job) -> Beside:
        """What makes its blocks. `job`: its own, which is built later."""
        ...


@runtime_checkable
class KeepsApart(Protocol):
    """A kind of leg that can score for somebody as if there were nothing but what they may read."""

    def why_together(self, settings: Sections) -> str:
        """Why a leg with these settings cannot: what of it depends on all documents. Empty where it can."""
        ...


@runtime_checkable
class Merges(Protocol):
    """A kind of leg that can write what is left of its parts as one leg, without reading a text."""

    def merge(self, opening: Opening, folder: Path) -> dict[str, Any]:
        """Write into `folder`, which is empty, and return the facts.

        Raises:
            IndexProblem: a file is damaged, or is not what the facts say.
            OSError: the disk is full.
        """
        ...


@runtime_checkable
class AsVectors(Protocol):
    """A kind of leg that can be sent as vectors, and searched where they are kept, such as on a server."""

    def why_no_vectors(self, settings: Sections) -> str:
        """Why a leg with these settings cannot, and what to choose; empty where it can."""
        ...

    def as_vectors(self, leg: Any) -> LegVectors:
        """What is sent of an opened leg of a directory."""
        ...

    def open_elsewhere(self, vectors: VectorsElsewhere, facts: Facts) -> Leg:
        """The leg over what was sent. It answers as the one in a directory, up to ties and rounding."""
        ...


@runtime_checkable
class TellsRows(Protocol):
    """A kind of leg whose files show of a row, as they are on disk, what its text can be guessed from."""

    def begins_with(self, leg: Any, rows: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """The numbers of these rows, a row each, as an opened leg of a directory keeps them where it keeps them exactly."""
        ...


def settled(facts: Facts) -> dict[str, Any]:
    """What a leg is, whatever texts it holds: its facts without those that count or measure them."""
    return {
        name: fact for name, fact in facts.items() if not name.startswith("n_") and name not in ("rows", RECALL, FIT)
    }


def leg_reads(facts: Facts) -> frozenset[str]:
    """Kinds of content that what made a leg reads."""
    return maker_reads(facts.get(MADE_BY) or {})


def maker_reads(described: Mapping[str, Any]) -> frozenset[str]:
    """Kinds of content that a maker reads, by its description."""
    return frozenset(described.get(READS, TEXT_ALONE))


def explicit_differences(section: str, wanted: Sections, built: Sections) -> Iterator[Difference]:
    """Each field that a graph sets in this section, and that is not equal."""
    if wanted.says(section):
        yield from differences_of(section, wanted.section(section), built.section(section))


def differences_of(path: str, wanted: Any, built: Any) -> Iterator[Difference]:
    """The same for two values, whatever they hold: fields by name, as a value may be a record of settings again."""
    if not isinstance(wanted, BaseModel):
        if wanted != built:
            yield Difference(path, wanted, built)
        return
    for name in sorted(wanted.model_fields_set):
        yield from differences_of(f"{path}.{name}", dict(wanted)[name], dict(built)[name])
