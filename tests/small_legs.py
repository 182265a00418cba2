"""Every leg that an index can have, on tiny random models: each way to build it, and each way to search it.

Legs and retrievers are read from their tables. A leg that is added tomorrow is built by its defaults and tested as all others
are; one whose default model is not on every machine gets a line in `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.core.plugins import shipped
from rag.core.powers import POWERS
from rag.core.types import Query, Ranking
from retrievers import RETRIEVERS
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.index.settings import IndexSettings, leg_kind
from retrievers.index_protocol import Index
from retrievers.legs import LEGS
from retrievers.stores.computed import Columns, Computed
from tests.generators.llm.conftest import save_random_model
from tests.other_server import OtherServer
from tests.retrievers.tiny_encoders import sentence_modules, tiny_bert, tiny_colbert, tiny_static
from tests.tiny_models import tiny_masked_model

Section = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallModels:
    """Folders of random weights, and the address of a server that encodes with `sentences`."""

    sentences: Path
    static: Path
    masked: Path
    colbert: Path
    decoder: Path
    url: str


@contextmanager
def small_models(folder: Path) -> Iterator[SmallModels]:
    """All of them, written into `folder`; the server runs as long as the block."""
    sentences = sentence_modules(tiny_bert(folder / "sentences"), {"pooling_mode_mean_tokens": True})
    encoder = SentenceEncoder(model=str(sentences), compute="float32")
    encoder.encode(["a b c"] * 9, role="document")  # loads torch: few texts are encoded without it, otherwise rounded

    def embedded(body: Mapping[str, Any]) -> Any:
        vectors = encoder.encode(body["input"], role="document").tolist()
        return {"data": [{"index": place, "embedding": vector} for place, vector in enumerate(vectors)]}

    with OtherServer(v1__embeddings=embedded).running() as address:
        yield SmallModels(
            sentences=sentences,
            static=tiny_static(folder / "static"),
            masked=tiny_masked_model(folder / "masked"),
            colbert=tiny_colbert(folder / "colbert"),
            decoder=save_random_model(folder / "decoder"),
            url=f"{address}/v1",
        )


SECTIONS: Mapping[str, Mapping[str, Callable[[SmallModels], Section]]] = {
    "lexical": {
        "lucene": lambda models: {},
        "bm25+": lambda models: {"variant": "bm25+"},
        "okapi": lambda models: {"variant": "okapi"},
    },
    "dense": {
        "local": lambda models: {"encoder": str(models.sentences), "compute": "float32"},
        "int8": lambda models: {"encoder": str(models.sentences), "compute": "float32", "storage": "int8"},
        "static": lambda models: {"encoder": str(models.static)},
        "served": lambda models: {"encoder": {"url": models.url, "model": "tiny"}},
    },
    "promptreps": {"decoder": lambda models: {"model": str(models.decoder), "dtype": "float32"}},
    "sparse": {
        "weighed": lambda models: {"model": str(models.masked), "dtype": "float32"},
        "words": lambda models: {"model": str(models.masked), "dtype": "float32", "documents": "words"},
    },
    "late_interaction": {
        "plain": lambda models: {"model": str(models.sentences), "dtype": "float32", "bits": 8},
        "colbert": lambda models: {"model": str(models.colbert), "bits": 8},
    },
}
"""Leg -> what each way to build it is called -> its part of the settings. The first is the usual one."""

SEARCHES: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "promptreps": ({"form": "dense"}, {"form": "sparse"}),
    "sparse": ({}, {"query": "words"}),
}
"""Retriever -> parameters of each way to search that ranks a document by that document alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A leg, and how it is built. `kind`: of a leg that has a name of its own."""

    leg: str
    name: str
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.leg}, {self.name}"

    @property
    def own_kind(self) -> str:
        """The leg of the table."""
        return self.kind or self.leg

    def settings(self, models: SmallModels) -> IndexSettings:
        """Those of an index with this leg."""
        return IndexSettings.model_validate(self.section(models))

    def section(self, models: SmallModels) -> Section:
        """The leg's part of the settings, by its name; nothing where it is built by its defaults."""
        made = SECTIONS.get(self.own_kind, {}).get(self.name)
        said = {} if made is None else made(models)
        if self.kind:
            return {"legs": {self.leg: {"kind": self.kind, **said}}}
        return {leg_kind(self.leg).section: said} if said else {}

    def retrievers(self, index: Index) -> dict[str, Any]:
        """All that search this leg, each way, by what it is called in messages."""
        found = {}
        for name in RETRIEVERS:
            kind = RETRIEVERS.get(name)
            if POWERS["search a leg"].kept_by(kind) and kind.leg == self.own_kind:
                named = {"leg": self.leg} if self.kind else {}
                found |= {f"{name} {said}": kind(index=index, **said, **named) for said in SEARCHES.get(name, ({},))}
        return found


def ways() -> list[Way]:
    """Each leg of the table, and those of installed packages that have a line in `SECTIONS`, each way."""
    own = [leg for leg in LEGS.names() if leg not in shipped(LEGS.stage)]
    named = [leg for leg in SECTIONS if leg in shipped(LEGS.stage)]
    return [Way(leg=leg, name=name) for leg in (*own, *named) for name in SECTIONS.get(leg, ("by default",))]


def named_ways() -> list[Way]:
    """Legs with names of their own, of each kind whose retriever can be told which to search."""
    able = ("lexical", "dense", "sparse", "late_interaction")
    return [Way(leg=f"other_{kind}", kind=kind, name=next(iter(SECTIONS[kind]))) for kind in able]


def usual_settings(models: SmallModels) -> IndexSettings:
    """Of an index with all legs, each built the usual way."""
    first = {way.leg: way for way in reversed(ways())}
    sections: Section = {}
    for way in first.values():
        sections |= way.section(models)
    return IndexSettings.model_validate(sections)


def answers(retrievers: Mapping[str, Any], queries: Sequence[Query], *, k: int) -> dict[str, list[Ranking]]:
    """What each of them finds."""
    return {name: retriever.retrieve(queries, k=k) for name, retriever in retrievers.items()}


BLOCK = 16


@contextmanager
def small_blocks() -> Iterator[list[tuple[str, int]]]:
    """Builds keep what they compute every `BLOCK` texts, whatever they would do. Gives leg and number of texts, call by call.

    Blocks larger than four texts, because fewer are encoded without torch, which rounds otherwise.
    """
    calls: list[tuple[str, int]] = []
    complete = Computed.complete

    def counted(
        self: Computed, texts: Sequence[str], compute: Callable[[list[str]], Columns], *, block: int, **more: Any
    ) -> tuple[list[bytes], int]:
        def noted(chosen: list[str]) -> Columns:
            calls.append((self._folder.name, len(chosen)))
            return compute(chosen)

        return complete(self, texts, noted, block=min(block, BLOCK), **more)

    Computed.complete = counted  # type: ignore[method-assign]
    try:
        yield calls
    finally:
        Computed.complete = complete  # type: ignore[method-assign]
