"""What holds of every leg, however it is built: filters, explanations, maps, stopped builds, updates, odd queries and texts."""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.core.errors import SpecError
from rag.core.filters import Filter, matches
from rag.core.protocols import ExplainsHits
from rag.core.types import Query, Ranking
from rag.indexing import IndexReport, build_index, remove_from_index
from rag.indexing.languages import in_language
from retrievers.index.directory import LocalIndex
from retrievers.legs import LEGS
from retrievers.legs.protocol import MADE_BY, Job, Opening
from tests.explained import require_sums
from tests.rag.random_filters import filters, random_metadata
from tests.retrievers.tiny_encoders import WORDS
from tests.small_legs import BLOCK, SmallModels, Way, answers, named_ways, small_blocks, usual_settings, ways
from tests.stopped import kill, killed
from tests.threads import one_thread

N_DOCS = 40
KEYS = ("a", "b", "c")
QUERY = "paid leave of a lost laptop frame"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """A sum that two threads share may be rounded otherwise, and files are compared here to the byte."""
    with one_thread():
        yield


@pytest.fixture(scope="module", params=[*ways(), *named_ways()], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    made: Way = request.param
    if made.name == "colbert":
        pytest.importorskip("sentence_transformers")
    return made


def write(folder: Path, texts: Mapping[str, str], metadata: Mapping[str, Mapping[str, Any]] | None = None) -> Path:
    """A corpus of records."""
    folder.mkdir(exist_ok=True)
    known = metadata or {}
    records = [{"_id": doc_id, "text": text, **known.get(doc_id, {})} for doc_id, text in texts.items()]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder / "corpus.jsonl"


def random_texts(n: int) -> dict[str, str]:
    source = random.Random(7)
    return {f"d{number:02d}": " ".join(source.choices(WORDS, k=9)) for number in range(n)}


def built(way: Way, models: SmallModels, corpus: Path, place: Path, **more: Any) -> IndexReport:
    return build_index([corpus], place, settings=way.settings(models), legs=(way.leg,), **more)


def ranked(retriever: Any, where: Any = None, *, text: str = QUERY, k: int = N_DOCS) -> list[tuple[str, float]]:
    [ranking] = retriever.retrieve([Query(qid="q", text=text, where=where)], k=k)
    return [(hit.doc_id, hit.score) for hit in ranking.hits]


# --- filters, explanations, maps: one index of each way ---


@pytest.fixture(scope="module")
def kept() -> dict[str, dict[str, Any]]:
    """Metadata by doc_id."""
    source = random.Random(1)
    return {f"d{number:02d}": random_metadata(source, KEYS) for number in range(N_DOCS)}


@pytest.fixture(scope="module")
def index(
    way: Way, kept: Mapping[str, Any], small_models: SmallModels, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalIndex]:
    folder = tmp_path_factory.mktemp("every")
    built(way, small_models, write(folder, random_texts(N_DOCS), kept), folder / "index")
    with LocalIndex.open(folder / "index") as opened:
        yield opened


@pytest.fixture(scope="module")
def retrievers(way: Way, index: LocalIndex) -> dict[str, Any]:
    return way.retrievers(index)


@pytest.fixture(scope="module")
def unfiltered(retrievers: Mapping[str, Any]) -> dict[str, list[tuple[str, float]]]:
    return {name: ranked(retriever) for name, retriever in retrievers.items()}


def test_something_searches_it_and_finds_much(
    retrievers: Mapping[str, Any], unfiltered: Mapping[str, list[tuple[str, float]]]
) -> None:
    """So that what follows is about something."""
    assert retrievers
    assert all(len(found) > N_DOCS // 2 for found in unfiltered.values())


@settings(max_examples=40)
@given(tree=filters(KEYS))
def test_a_filter_is_a_filter_in_python(
    retrievers: Mapping[str, Any],
    unfiltered: Mapping[str, list[tuple[str, float]]],
    kept: Mapping[str, dict[str, Any]],
    tree: Filter,
) -> None:
    for name, retriever in retrievers.items():
        hits = ranked(retriever, tree)
        expected = [(doc_id, score) for doc_id, score in unfiltered[name] if matches(tree, kept[doc_id])]
        assert [doc_id for doc_id, _ in hits] == [doc_id for doc_id, _ in expected], name
        assert [score for _, score in hits] == pytest.approx([score for _, score in expected], abs=1e-5), name


def test_an_unknown_key_is_named(retrievers: Mapping[str, Any]) -> None:
    for retriever in retrievers.values():
        with pytest.raises(SpecError, match="no document has metadata 'colour'"):
            ranked(retriever, "not exists(colour)")


@settings(max_examples=15)
@given(words=st.lists(st.sampled_from([*WORDS, "zebra", "电"]), min_size=1, max_size=12))
def test_parts_of_a_hit_sum_to_its_score(way: Way, retrievers: Mapping[str, Any], words: Sequence[str]) -> None:
    query = Query(qid="q", text=" ".join(words))
    for retriever in retrievers.values():
        if isinstance(retriever, ExplainsHits):
            [ranking] = retriever.retrieve([query], k=5)  # type: ignore[attr-defined]
            parts = retriever.explain_hits(query, ranking.hits)
            # Tokens are compared in whole numbers, each up to a hundredth beside the truth; two may be special ones.
            rounding = 0.01 * (2 + len(query.text)) if way.own_kind == "late_interaction" else 1e-5
            require_sums(ranking.hits, parts, within=rounding)
            assert retriever.explain_hits(query, ()) == []


def test_mapped_files_answer_as_files_that_are_read_into_memory(
    way: Way, index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped = opened_anew(way, index.path)
    memmap, read_index = np.memmap, faiss.read_index
    own = f"{os.sep}{way.leg}{os.sep}"
    n_mapped = 0

    def loaded(file: Any, **more: Any) -> Any:
        nonlocal n_mapped
        n_mapped += own in str(file)
        return np.array(memmap(file, **more))

    def read(file: str, flags: int = 0) -> Any:
        nonlocal n_mapped
        n_mapped += flags == faiss.IO_FLAG_MMAP_IFC and own in file
        return read_index(file)

    monkeypatch.setattr(np, "memmap", loaded)
    monkeypatch.setattr(faiss, "read_index", read)
    assert opened_anew(way, index.path) == mapped
    says_so = any(need.mapped for need in index.kind(way.leg).memory(index.facts(way.leg), 1))
    assert bool(n_mapped) == says_so


def opened_anew(way: Way, place: Path) -> dict[str, list[list[tuple[str, float]]]]:
    """What each retriever finds in an index that nobody has open. Few queries, which no encoder has loaded torch for."""
    queries = [Query(qid=str(number), text=text) for number, text in enumerate((QUERY, "wheel safety", "the days"))]
    with LocalIndex.open(place) as opened:
        found = answers(way.retrievers(opened), queries, k=9)
    return {name: list(map(pairs, rankings)) for name, rankings in found.items()}


# --- builds ---


class Stopped(BaseException):
    """What Ctrl-C looks like to a build."""


class StopAt:
    """A progress that ends the build at its nth step."""

    def __init__(self, step: int) -> None:
        self.left = step

    def __call__(self, step: str, done: int, total: int) -> None:
        self.left -= 1
        if not self.left:
            raise Stopped


@pytest.fixture
def computed() -> Iterator[list[tuple[str, int]]]:
    """Leg and number of texts that its model was given, call by call; builds keep what they have every `BLOCK` texts."""
    with small_blocks() as calls:
        yield calls


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write(tmp_path / "texts", random_texts(3 * BLOCK))


def files(place: Path) -> dict[str, Any]:
    """Size and digest of every file of an index, and what it says of its legs."""
    with LocalIndex.open(place) as opened:
        opened.verify()
        return {**opened.manifest.files, "legs": opened.manifest.legs}


def test_a_build_that_is_stopped_at_every_step_ends_as_one_that_was_not(
    way: Way, small_models: SmallModels, corpus: Path, tmp_path: Path, computed: list[tuple[str, int]]
) -> None:
    built(way, small_models, corpus, tmp_path / "whole")
    at_once = list(computed)
    computed.clear()
    for step in itertools.count(1):
        try:
            built(way, small_models, corpus, tmp_path / "stopped", progress=StopAt(step))
        except Stopped:
            continue
        break
    assert step > 2
    assert computed == at_once, "each text once"
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")


def test_a_killed_process_loses_a_block_at_most_of_one_leg(
    small_models: SmallModels, corpus: Path, tmp_path: Path, computed: list[tuple[str, int]]
) -> None:
    """Killed once the last leg that asks a model has its first block: what the legs before it computed is not computed again."""
    made_of, legs = usual_settings(small_models), LEGS.shipped
    build_index([corpus], tmp_path / "whole", settings=made_of, legs=legs)
    at_once, last = list(computed), computed[-1][0]

    def die(step: str, done: int, total: int) -> None:
        if list((tmp_path / "killed" / "work" / last).glob("*.block")):
            kill()

    assert killed(lambda: build_index([corpus], tmp_path / "killed", settings=made_of, legs=legs, progress=die))
    computed.clear()
    build_index([corpus], tmp_path / "killed", settings=made_of, legs=legs)
    assert computed == [call for call in at_once if call[0] == last][1:] == [(last, BLOCK)] * 2
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


LEARNS = ("late_interaction",)
"""Legs that learn from their corpus how to keep it, and go on with that while it is about as large: scores are alike, and
a token that neither corpus has many of may be kept more exactly by one."""


def test_an_update_answers_as_a_build_from_nothing(
    way: Way, small_models: SmallModels, corpus: Path, tmp_path: Path, computed: list[tuple[str, int]]
) -> None:
    built(way, small_models, corpus, tmp_path / "index")
    asks_a_model = bool(computed)
    texts = random_texts(3 * BLOCK)
    texts |= {"d03": "the ride of a lost wheel", "new1": "note of safety", "new2": "paid days of the bicycle"}
    del texts["d05"]
    computed.clear()
    write(corpus.parent, texts)
    report = built(way, small_models, corpus, tmp_path / "index")
    assert computed == ([(way.leg, 3)] if asks_a_model else [])
    assert report.n_units == len(texts)
    same_answers(way, small_models, corpus, tmp_path)
    del texts["d07"]
    computed.clear()
    remove_from_index(["d07"], tmp_path / "index")
    assert not computed
    write(corpus.parent, texts)
    same_answers(way, small_models, corpus, tmp_path)


def same_answers(way: Way, models: SmallModels, corpus: Path, place: Path) -> None:
    """Hold `place / "index"` beside one of the corpus as it is now."""
    fresh = place / f"fresh-{sum(1 for _ in place.iterdir())}"
    built(way, models, corpus, fresh)
    queries = [Query(qid=text, text=text) for text in (QUERY, "the ride", "note of safety", "paid days of the bicycle")]
    with LocalIndex.open(place / "index") as updated, LocalIndex.open(fresh) as rebuilt:
        assert [each.doc_id for each in updated.documents] == [each.doc_id for each in rebuilt.documents]
        all_answers = [answers(way.retrievers(each), queries, k=len(each)) for each in (updated, rebuilt)]
    for name, rankings in all_answers[0].items():
        for one, other in zip(rankings, all_answers[1][name], strict=True):
            scores = [{hit.doc_id: hit.score for hit in ranking.hits} for ranking in (one, other)]
            assert scores[0].keys() == scores[1].keys()
            if way.own_kind in LEARNS:
                apart = [abs(score - scores[1][doc_id]) for doc_id, score in scores[0].items()]
                assert np.mean(apart) < 0.01 * np.mean([*scores[1].values()])
            else:
                assert scores[0] == pytest.approx(scores[1], rel=1e-4, abs=1e-4)


# --- odd queries and texts ---

BLANK = ("", " \n\t")
ODD = ("\u200b", "zyzzyva", "...", "\x00", "\udc80 ride", "ключ 钥匙 مفتاح κλειδί key", "the " * 65_536)


def test_odd_queries_are_answered_or_empty_and_spoil_no_other(way: Way, retrievers: Mapping[str, Any]) -> None:
    queries = [Query(qid=str(place), text=text) for place, text in enumerate((*BLANK, *ODD, QUERY))]
    for name, retriever in retrievers.items():
        together = retriever.retrieve(queries, k=5)
        assert [ranking.qid for ranking in together] == [query.qid for query in queries]
        for query, ranking in zip(queries, together, strict=True):
            scores = [hit.score for hit in ranking.hits]
            assert len(scores) <= 5
            assert scores == sorted(scores, reverse=True)
            assert np.isfinite(scores).all()
            [alone] = retriever.retrieve([query], k=5)
            assert dict(pairs(alone)) == pytest.approx(dict(pairs(ranking)), abs=1e-4), name
        assert together[-1].hits
        for blank in together[: len(BLANK)]:
            assert (blank.hits, blank.outcome.kind) == ((), "empty")
            assert blank.outcome.detail
        assert retriever.retrieve([], k=5) == []


def pairs(ranking: Ranking) -> list[tuple[str, float]]:
    return [(hit.doc_id, hit.score) for hit in ranking.hits]


TEXTS = {
    "long": "the " * 65_536 + "wheel",
    "scripts": "ключ 钥匙 مفتاح κλειδί key",
    "signs": "...",
    "surrogate": "\udc80 lost laptop",
    "nul": "\x00 paid leave",
    "plain": "paid leave of thirty days",
}


def test_odd_documents_are_indexed_and_the_others_found(way: Way, small_models: SmallModels, tmp_path: Path) -> None:
    corpus = write(tmp_path, {**TEXTS, "empty": ""})
    cut = built(way, small_models, corpus, tmp_path / "cut")
    assert cut.n_documents == len(TEXTS) < cut.n_units
    settings = way.settings(small_models).judging_documents()
    report = build_index([corpus], tmp_path / "index", settings=settings, legs=(way.leg,))
    assert report.n_units == len(TEXTS)
    assert any("empty records left out: 1, first in line 7" in str(problem) for problem in report.problems)
    with LocalIndex.open(tmp_path / "index") as opened:
        assert opened.documents[0].text.endswith("wheel"), "nothing of it is lost"
        for name, retriever in way.retrievers(opened).items():
            found = dict(ranked(retriever, text="paid leave of thirty days", k=9))
            assert "plain" in found, name
            assert np.isfinite(list(found.values())).all(), name


def test_a_leg_of_texts_without_a_word_is_built_and_finds_nothing_of_them(
    way: Way, small_models: SmallModels, tmp_path: Path
) -> None:
    """Ingestion gives no empty text. A transform may."""
    kind = way.settings(small_models).kind(way.leg)
    maker = kind.maker(in_language(way.settings(small_models), "en"))
    for texts in (["", " "], ["", "a lost laptop", " \n"]):
        folder, work = (tmp_path / f"{part}{len(texts)}" for part in ("leg", "work"))
        folder.mkdir()
        job = Job(
            texts=texts,
            languages=[""] * len(texts),
            folder=folder,
            work=work,
            before=None,
            progress=lambda step, done, total: None,
        )
        facts = {**maker.build(job).facts, MADE_BY: maker.describe()}
        leg = kind.open(Opening.of(folder, json.loads(json.dumps(facts)), lambda where: None))
        leg.release()
