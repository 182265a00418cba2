"""Chance sequences of changes, merges, stops and kills: what is left answers as one build of the same documents, to the bit."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from rag.core.protocols import ExplainsHits
from rag.core.types import Query
from rag.indexing import add_documents, merge_index, remove_documents, update_documents
from retrievers.index import generations
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.stores.computed import Computed
from tests.retrievers.tiny_encoders import WORDS
from tests.small_legs import SmallModels, Way
from tests.stopped import kill, killed
from tests.threads import one_thread

LEGS = ("lexical", "dense", "promptreps", "sparse")
WAYS = [Way(leg="lexical", name="lucene"), Way(leg="dense", name="static")]
WAYS += [Way(leg="promptreps", name="decoder"), Way(leg="sparse", name="weighed")]
QUERIES = [
    Query(qid="1", text="paid leave of a lost laptop frame"),
    Query(qid="2", text="wheel safety the days the ride"),
]
SOME = Query(qid="3", text="the lost wheel", where={"even": True})

Documents = dict[str, dict[str, Any]]
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)
steps = st.integers(1, 60) | st.integers(1, 8)


class Stopped(Exception):
    """What an error in the middle of a write looks like."""


@pytest.fixture(scope="module", autouse=True)
def _alone() -> Iterator[None]:
    """A text is computed alone: beside others it may be rounded otherwise, and scores are compared to the bit."""
    complete = Computed.complete

    def one_by_one(self: Computed, *given: Any, block: int, **more: Any) -> Any:
        return complete(self, *given, block=1, **more)

    Computed.complete = one_by_one  # type: ignore[method-assign]
    with one_thread():
        yield
    Computed.complete = complete  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def first(small_models: SmallModels, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Documents, IndexSettings]:
    """An index, what is in it, and its settings."""
    chance = random.Random(7)
    documents = {f"d{n:02d}": record(" ".join(chance.choices(WORDS, k=9)), n) for n in range(12)}
    sections: dict[str, Any] = {}
    for way in WAYS:
        sections |= way.section(small_models)
    made_of = IndexSettings.model_validate(sections)
    place = tmp_path_factory.mktemp("first") / "index"
    add_documents(as_records(documents), place, settings=made_of, legs=LEGS)
    return place, documents, made_of


def record(text: str, n: int) -> dict[str, Any]:
    return {"text": text, "n": n, "even": n % 2 == 0}


def as_records(documents: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": doc_id, **each} for doc_id, each in documents.items()]


def answers(index: LocalIndex) -> dict[str, Any]:
    """All that an index says of what it holds."""
    said: dict[str, Any] = {"documents": list(index.documents), "odd": index.rows({"even": False}).tolist()}
    said["groups"] = [index.near_duplicates().group(row) for row in range(len(index))]
    leg = index.leg("lexical")
    said["frequencies"] = {word: (word in leg, leg.document_frequency(word)) for word in (*WORDS, "plum")}
    for way in WAYS:
        for name, retriever in way.retrievers(index).items():
            for k in (3, len(index)):
                rankings = retriever.retrieve([*QUERIES, SOME], k=k)
                said[f"{name} {k}"] = [[(hit.doc_id, hit.score) for hit in ranking.hits] for ranking in rankings]
            if isinstance(retriever, ExplainsHits):
                said[f"why {name}"] = retriever.explain_hits(QUERIES[0], rankings[0].hits)
    return said


class Changes(RuleBasedStateMachine):
    """`documents`: what the index should hold, in the order of its rows."""

    first: tuple[Path, Documents, IndexSettings]
    place: Path
    numbers = count()
    kills: ClassVar = Counter[str]()
    """How often each change was killed."""

    def __init__(self) -> None:
        super().__init__()
        source, documents, self.made_of = self.first
        self.folder = self.place / str(next(self.numbers))
        shutil.copytree(source, self.folder / "index")
        self.home = self.folder / "index"
        self.documents, self.n = dict(documents), 100
        self.readers: list[tuple[LocalIndex, Documents]] = []

    def teardown(self) -> None:
        for reader, _ in self.readers:
            reader.close()
        shutil.rmtree(self.folder)

    # --- changes ---

    def added(self, new: list[str]) -> Documents:
        documents = {f"d{n}": record(text, n) for n, text in enumerate(new, start=self.n)}
        self.n += len(new)
        return documents

    @rule(new=st.lists(texts, min_size=1, max_size=3))
    def add(self, new: list[str]) -> None:
        documents = self.added(new)
        add_documents(as_records(documents), self.home)
        self.documents |= documents

    @rule(data=st.data(), text=texts)
    def update(self, data: st.DataObject, text: str) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.documents)), min_size=1, max_size=3, unique=True))
        changed = {doc_id: self.documents[doc_id] | {"text": text} for doc_id in chosen}
        update_documents(as_records(changed), self.home)
        self.documents = {name: each for name, each in self.documents.items() if name not in changed} | changed

    @precondition(lambda self: len(self.documents) > 4)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.documents)), min_size=1, max_size=3, unique=True))
        remove_documents(self.home, ids=chosen)
        self.documents = {name: each for name, each in self.documents.items() if name not in chosen}

    @rule(n=st.integers(0, 11))
    def remove_by_filter(self, n: int) -> None:
        """Some numbers are met by two documents, most by one or none."""
        left = {name: each for name, each in self.documents.items() if each["n"] % 12 != n or each["n"] < 12}
        gone = [each["n"] for name, each in self.documents.items() if name not in left]
        if gone and left:
            remove_documents(self.home, where={"n": gone})
            self.documents = left

    @rule()
    def merge(self) -> None:
        merge_index(self.home)

    @precondition(lambda self: len(self.readers) < 2)
    @rule()
    def open_a_reader(self) -> None:
        self.readers.append((LocalIndex.open(self.home), dict(self.documents)))

    # --- stops ---

    def tried(self, change: Callable[[], Any], then: Documents) -> None:
        """A change that was stopped is there whole, or not at all."""
        change()
        with LocalIndex.open(self.home) as index:
            held = [(document.doc_id, document.text) for document in index.documents]
        before, after = ([(name, each["text"]) for name, each in some.items()] for some in (self.documents, then))
        assert held in (before, after)
        self.documents = then if held == after else self.documents

    @rule(new=st.lists(texts, min_size=1, max_size=2), step=steps)
    def stop_an_add(self, new: list[str], step: int) -> None:
        documents = self.added(new)

        def stopped() -> None:
            with failing(step, Stopped), suppress(Stopped):
                add_documents(as_records(documents), self.home)

        self.tried(stopped, self.documents | documents)

    @rule(new=st.lists(texts, min_size=1, max_size=2), step=steps)
    def kill_an_add(self, new: list[str], step: int) -> None:
        documents = self.added(new)
        self.killed("add", step, lambda: add_documents(as_records(documents), self.home), self.documents | documents)

    @rule(data=st.data(), text=texts, step=steps)
    def kill_an_update(self, data: st.DataObject, text: str, step: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.documents)))
        changed = {name: self.documents[name] | {"text": text}}
        left = {each: document for each, document in self.documents.items() if each != name}
        self.killed("update", step, lambda: update_documents(as_records(changed), self.home), left | changed)

    @precondition(lambda self: len(self.documents) > 4)
    @rule(data=st.data(), step=steps)
    def kill_a_removal(self, data: st.DataObject, step: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.documents)))
        left = {each: document for each, document in self.documents.items() if each != name}
        self.killed("remove", step, lambda: remove_documents(self.home, ids=[name]), left)

    @rule(step=steps)
    def kill_a_merge(self, step: int) -> None:
        self.killed("merge", step, lambda: merge_index(self.home), self.documents)

    def killed(self, name: str, step: int, change: Callable[[], Any], then: Documents) -> None:
        self.tried(lambda: self.kills.update({name: int(killed_at(step, change))}), then)

    # --- what holds ---

    @invariant()
    def it_answers_as_one_build(self) -> None:
        rebuilt = self.folder / "rebuilt"
        shutil.rmtree(rebuilt, ignore_errors=True)
        add_documents(as_records(self.documents), rebuilt, settings=self.made_of, legs=LEGS)
        with LocalIndex.open(self.home) as index, LocalIndex.open(rebuilt) as other:
            index.verify()
            mine, theirs = answers(index), answers(other)
        for name, said in theirs.items():
            assert mine[name] == said, name

    @invariant()
    def readers_stay_where_they_are(self) -> None:
        for reader, documents in self.readers:
            assert [document.doc_id for document in reader.documents] == [*documents]
            reader.leg("lexical").search([{"wheel": 1.0}], k=3)

    @rule()
    def no_part_is_left_that_nothing_lists(self) -> None:
        """What a kill left goes with the next write."""
        last = [*self.documents][-1]
        update_documents(as_records({last: self.documents[last]}), self.home)
        listed = {name for each in generations.generations(self.home) for name in generations.parts_of(each) or ()}
        there = self.home / "parts"
        assert {entry.name for entry in there.iterdir()} == listed if there.exists() else not listed


class failing:  # noqa: N801 - reads as a sentence
    """The nth file that is brought to the disk, or renamed, is where it stops."""

    def __init__(self, step: int, how: type[Exception] | None) -> None:
        self.left, self.how = step, how

    def __enter__(self) -> None:
        self.sync, self.replace = generations._sync, os.replace
        generations._sync = self.stop(self.sync)
        os.replace = self.stop(self.replace)  # type: ignore[assignment]

    def stop(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*given: Any) -> Any:
            self.left -= 1
            if self.left == 0 and self.how:
                raise self.how
            if self.left == 0:
                kill()
            return real(*given)

        return step

    def __exit__(self, *error: object) -> None:
        generations._sync, os.replace = self.sync, self.replace


def killed_at(step: int, change: Callable[[], Any]) -> bool:
    """In a process of its own, which is killed when it brings its nth file to the disk; or finishes, if that is sooner."""

    def stopped() -> None:
        with failing(step, None), suppress(Exception):
            change()

    return killed(stopped)


def test_changes_by_chance(
    first: tuple[Path, Documents, IndexSettings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """RAGLINE_CHAIN_EXAMPLES asks for more sequences; `--junitxml=FILE -o junit_family=legacy` says how many
    changes were killed."""
    monkeypatch.setattr(Changes, "first", first, raising=False)
    monkeypatch.setattr(Changes, "place", tmp_path, raising=False)
    run_state_machine_as_test(
        Changes,
        settings=settings(
            max_examples=int(os.environ.get("RAGLINE_CHAIN_EXAMPLES", "2")),
            stateful_step_count=10,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # to make a failing sequence shorter takes minutes
        ),
    )
    record_property("killed", dict(Changes.kills))
