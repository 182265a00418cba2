"""A leg of one's own: one class, one line, and everything that reads the table knows it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from rag.cli import main
from rag.core.errors import IndexMismatch, IndexProblem, SpecError
from rag.core.memory import Need
from rag.core.ranking import ranked
from rag.core.types import Query, Ranking, ScoredDocument, Where
from rag.graph.load import load_spec
from rag.graph.schema import graph_schema
from rag.indexing import build_index, index_key
from rag.pipeline import load_pipeline
from rag.pipeline.memory_plan import plan_memory
from retrievers import RETRIEVERS
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.index_protocol import Index
from retrievers.legs import LEGS
from retrievers.legs.protocol import Built, Facts, Job, LegKind, LegMaker, Mask, Opening, Sections
from retrievers.stores.computed import Computed, Ragged
from retrievers.stores.reuse import RowsByText
from tests.small_legs import ways


class ToySettings(BaseModel):
    """Which words count."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    shortest: int = 3


def hashes(text: str, shortest: int) -> list[int]:
    words = {word.strip(".,?!").lower() for word in text.split()}
    return sorted({sum(map(ord, word)) for word in words if len(word) >= shortest})


class ToyLeg(LegKind):
    """Hashes of a text's words; a score is how many a query shares."""

    name = "toy"
    section = "toy_words"
    settings = ToySettings
    read: ClassVar[list[str]] = []
    """Texts that were hashed, in order."""

    def maker(self, settings: Sections) -> LegMaker:
        return ToyMaker(cast(ToySettings, settings.section("toy_words")).shortest)

    def open(self, opening: Opening) -> OpenToy:
        return OpenToy(opening)

    def memory(self, facts: Facts, n_bytes: int) -> list[Need]:
        return [Need(what="toy words", n_bytes=n_bytes, mapped=True)]

    def model_names(self, facts: Facts) -> list[tuple[str, str | None]]:
        return [("toy-model", None)]

    def health(self, leg: OpenToy) -> list[str]:
        return [f"its toy of {leg.shortest} letters is here"]


class ToyMaker(LegMaker):
    def __init__(self, shortest: int) -> None:
        self.shortest = shortest

    def describe(self) -> dict[str, Any]:
        return {"toy": 1, "shortest": self.shortest}

    def key(self) -> dict[str, Any]:
        return self.describe()

    def build(self, job: Job) -> Built:
        def compute(texts: list[str]) -> dict[str, Ragged]:
            ToyLeg.read += texts
            rows = [hashes(text, self.shortest) for text in texts]
            starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)
            return {"words": Ragged(np.array([word for row in rows for word in row], dtype=np.int64), starts)}

        before = RowsByText(job.before.texts if job.before else ())
        store = Computed(job.work, made_by=self.describe())
        digests, n_read = store.complete(
            job.texts, compute, block=4, known=before.__contains__, step="toy", progress=job.progress
        )
        previous = job.before.leg().words if job.before else []
        words = [
            store[digest]["words"].tolist() if digest in store else previous[before.row(digest)] for digest in digests
        ]
        (job.folder / "words.json").write_text(json.dumps(words))
        return Built(facts={"rows": len(words)}, counts={"n_hashed": n_read})


class OpenToy:
    def __init__(self, opening: Opening) -> None:
        self.words: list[list[int]] = json.loads((opening.folder / "words.json").read_text())
        self.shortest: int = opening.facts["encoder"]["shortest"]
        self.mask: Mask = opening.mask
        self.warm = False

    def warm_up(self) -> None:
        self.warm = True

    def release(self) -> None:
        self.warm = False

    def search(self, text: str, where: Where | None) -> list[tuple[int, float]]:
        mask, wanted = self.mask(where), set(hashes(text, self.shortest))
        scores = [(row, float(len(wanted.intersection(words)))) for row, words in enumerate(self.words)]
        return [(row, score) for row, score in scores if score and (mask is None or mask[row])]


class ToyRetriever:
    """Search by shared words.

    Args:
        index: the index to search.
    """

    leg = "toy"

    def __init__(self, *, index: Index) -> None:
        self.index = index

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        rankings = []
        for query in queries:
            pairs = self.index.leg("toy").search(query.text, query.where)
            documents = self.index.documents.many([row for row, _ in pairs])
            hits = [ScoredDocument(document=d, score=score) for d, (_, score) in zip(documents, pairs, strict=True)]
            rankings.append(Ranking(query=query, hits=ranked(hits, k=k), source="toy"))
        return rankings


@pytest.fixture(autouse=True)
def _added(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in (LEGS, RETRIEVERS):
        monkeypatch.setattr(table, "_table", dict(table._table))  # so that what is added here is gone afterwards
    ToyLeg.read.clear()
    LEGS.add("toy", ToyLeg)
    RETRIEVERS.add("toy", ToyRetriever)


TEXTS = ("Frames are brazed by hand.", "Lost keys go to the duty officer.", "A lost laptop is reported at once.")


def corpus(folder: Path, texts: Sequence[str] = TEXTS) -> Path:
    lines = [json.dumps({"_id": f"d{i}", "text": text, "n": i}) for i, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "corpus.jsonl"


def graph(shortest: int | None = None, **more: Any) -> dict[str, Any]:
    section: dict[str, Any] = {} if shortest is None else {"toy_words": {"shortest": shortest}}
    nodes = {"hits": {"use": "retrieve.toy", "k": 3}}
    return {"version": 1, "index": section | more, "nodes": nodes, "output": "hits"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    settings = load_spec(graph(4)).graph.index
    report = build_index([corpus(tmp_path)], tmp_path / "idx", settings=settings, legs=["toy", "lexical"])
    assert (report.legs, report.counts) == (("lexical", "toy"), {"toy": {"n_hashed": 3}})
    assert "toy" in report.seconds
    return tmp_path / "idx"


def test_it_is_built_and_the_manifest_says_so(place: Path) -> None:
    with LocalIndex.open(place) as index:
        assert index.legs == ("lexical", "toy")
        assert index.manifest.legs["toy"] == {"rows": 3, "encoder": {"toy": 1, "shortest": 4}}
        written = json.loads(index.manifest.as_json())
        assert "toy/words.json" in index.manifest.files
        index.verify()
    assert written["settings"]["toy_words"] == {"shortest": 4}
    assert "dense" not in written["settings"]


def test_it_is_searched_through_a_graph_with_filters(place: Path) -> None:
    with load_pipeline(graph(4), index=place) as pipeline:
        pipeline.warm_up()
        assert pipeline.index is not None
        assert pipeline.index.leg("toy").warm
        assert pipeline.search("a lost laptop").doc_ids == ("d2", "d1")
        assert pipeline.search("a lost laptop", where={"n": 1}).doc_ids == ("d1",)
        pipeline.release()
        assert not pipeline.index.leg("toy").warm


def test_another_setting_is_refused_with_both_sides(place: Path) -> None:
    with pytest.raises(IndexMismatch, match=r"built with toy_words.shortest 4; the graph asks for 9"):
        load_pipeline(graph(9), index=place)
    with load_pipeline(graph(), index=place):
        pass  # what a graph does not say is as the index was built
    build_index([place.parent / "corpus.jsonl"], place.parent / "plain", legs=["lexical"])
    with pytest.raises(IndexMismatch, match=r"no toy leg; built with legs lexical; run: rag index --index"):
        load_pipeline(graph(4), index=place.parent / "plain")


def test_only_what_changed_is_computed_again(place: Path) -> None:
    settings = load_spec(graph(4)).graph.index
    ToyLeg.read.clear()
    source = corpus(place.parent, [*TEXTS[:2], "A new one."])
    report = build_index([source], place, settings=settings, legs=["lexical", "toy"])
    assert (ToyLeg.read, report.counts["toy"]) == (["A new one."], {"n_hashed": 1})
    assert build_index([source], place, settings=settings, legs=["lexical", "toy"]).unchanged
    other = load_spec(graph(2)).graph.index
    assert not build_index([source], place, settings=other, legs=["lexical", "toy"]).unchanged
    assert len(ToyLeg.read) == 1 + 3


def test_its_settings_are_checked_where_graphs_are_read() -> None:
    with pytest.raises(SpecError, match=r"index.toy_words.shortest: input should be a valid integer"):
        load_spec({**graph(), "index": {"toy_words": {"shortest": "many"}}})
    with pytest.raises(SpecError, match=r"index.toy_word: unknown key. Did you mean 'toy_words'"):
        load_spec(graph(toy_word={}))
    with pytest.raises(SpecError, match=r"index.toy_words.shortst: unknown key. Did you mean 'shortest'"):
        load_spec({**graph(), "index": {"toy_words": {"shortst": 3}}})


def test_all_problems_of_the_section_come_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        IndexSettings.model_validate({"toy_words": {"shortest": "x"}, "bm25": {"k1": 0}, "chunks": {}})
    assert {each["loc"] for each in caught.value.errors()} == {("toy_words", "shortest"), ("bm25", "k1"), ("chunks",)}


def test_a_graph_that_does_not_name_it_is_what_it_was() -> None:
    plain = {"version": 1, "nodes": {"hits": {"use": "retrieve.bm25", "k": 3}}, "output": "hits"}
    assert "toy_words" not in load_spec(plain).graph.model_dump_json()
    assert "dense" in load_spec(plain).graph.model_dump()["index"]
    again = load_spec(json.loads(load_spec(graph(4)).graph.model_dump_json(by_alias=True))).graph.index
    assert again.section("toy_words") == ToySettings(shortest=4)


def test_it_is_in_the_schema_and_the_memory_plan(place: Path) -> None:
    schema = graph_schema()
    assert schema["$defs"]["IndexSettings"]["properties"]["toy_words"]["$ref"] == "#/$defs/ToySettings"
    with load_pipeline(graph(4), index=place) as pipeline:
        plan = plan_memory(pipeline.graph, index=pipeline.index)
        assert "toy words" in [share.need.what for share in plan.shares]
        assert pipeline.index is not None
        assert pipeline.index.model_names(["toy"]) == [("toy-model", None)]


def test_the_doctor_looks_at_it(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path))  # without models, whose gigabytes it would read
    main(["doctor", "--index", str(place)])
    printed = capsys.readouterr()
    assert "legs lexical, toy, every file as written" in printed.out + printed.err
    assert "its toy of 4 letters is here" in printed.out + printed.err


def test_what_holds_of_every_leg_is_tried_on_it_too(place: Path) -> None:
    [way] = [each for each in ways() if each.leg == "toy"]
    with LocalIndex.open(place) as index:
        assert [type(each) for each in way.retrievers(index).values()] == [ToyRetriever]


def test_the_key_of_an_index_covers_it(place: Path) -> None:
    source = [place.parent / "corpus.jsonl"]
    keys = {index_key(source, settings=load_spec(graph(n)).graph.index, legs=["toy"]) for n in (3, 4)}
    assert len(keys) == 2


def test_without_it_the_index_is_refused_in_words(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LEGS, "_table", {name: kind for name, kind in LEGS._table.items() if name != "toy"})
    with pytest.raises(IndexProblem, match=r"has a leg 'toy', which is not known here.*Load the module that adds it"):
        LocalIndex.open(place)
