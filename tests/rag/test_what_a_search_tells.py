"""All that a search says of its hits, with `--explain` and in logs, is what an index of what its asker may read says."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plugins.serve.tests.walled import MODEL, client
from rag.core.access import Asker, read_asker
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from rag.pipeline.plain_results import Wanted, told
from retrievers.index.joined import joined_address
from retrievers.index.settings import IndexSettings
from tests.rag.labels import random_label, reads
from tests.retrievers.tiny_encoders import WORDS
from tests.small_legs import SmallModels, Way

SECRET = "zanzibarquux"
WHO: Sequence[dict[str, Any]] = (
    {},
    {"user": "ann", "tenant": "north", "groups": ["docs"]},
    {"user": "bob", "tenant": "south", "groups": ["finance", "kernel"]},
)
QUERIES = ("paid leave", f"{WORDS[0]} {WORDS[1]} {SECRET}", SECRET, WORDS[2])
N_DOCS = 30
LEGS = ("lexical", "dense")
OWN: dict[str, Any] = {"reading": {"access": "acl", "own_statistics": True}}
SHARED: dict[str, Any] = {"reading": {"access": "acl"}}

Records = list[dict[str, Any]]


def some_records(seed: int) -> Records:
    chance = random.Random(seed)
    made: Records = []
    for number in range(N_DOCS):
        text = " ".join([*chance.choices(WORDS, k=chance.randint(3, 14)), *(["paid leave"] if number % 3 else [])])
        made.append({"_id": f"d{number:02d}", "text": text, "acl": random_label(chance)})
    for number in (4, 9):  # nobody reads these: a label of nobody's
        made[number] = {
            "_id": f"{SECRET}-{number}",
            "title": SECRET,
            "text": f"{SECRET} paid leave {made[number]['text']}",
            "acl": {"public": False},
        }
    return made


def built(place: Path, records: Records, sections: Mapping[str, Any]) -> Path:
    place.mkdir()
    (place / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    build_index(place / "corpus.jsonl", place / "idx", legs=LEGS, settings=IndexSettings.model_validate(sections))
    return place / "idx"


def readable(records: Records, who: dict[str, Any]) -> Records:
    return [
        {name: value for name, value in each.items() if name != "acl"} for each in records if reads(who, each["acl"])
    ]


@dataclass(frozen=True)
class Said:
    """What a command prints as JSON, what it warns of, and what is logged meanwhile."""

    document: Mapping[str, Any]
    warnings: Any
    logged: list[str]


def said(place: Path | str, text: str, asker: Asker | None, log: pytest.LogCaptureFixture) -> Said:
    log.clear()
    with log.at_level(logging.DEBUG), load_pipeline("hybrid", index=place) as pipeline:
        [event] = told(pipeline, Wanted(command="search", text=text, k=20, explain=True, asker=asker))
    logged = [record.getMessage() for record in log.records if record.name.startswith(("rag", "retrievers"))]
    return Said(_without_times(event["document"]), event["warnings"], logged)


def _without_times(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: _without_times(value) for name, value in told.items() if not name.startswith("seconds")}
    return [_without_times(each) for each in told] if isinstance(told, list) else told


def explained_by(document: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """What each stage says of each hit."""
    return {(hit["doc_id"], stage["node"]): stage for hit in document["hits"] for stage in hit["explained"]}


@pytest.fixture
def section(small_models: SmallModels) -> dict[str, Any]:
    return Way(leg="dense", name="static").section(small_models)


def test_with_statistics_of_ones_own_it_is_what_an_index_of_that_alone_says_to_the_last_bit(
    tmp_path: Path, section: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    records = some_records(1)
    place = built(tmp_path / "all", records, OWN | section)
    for number, who in enumerate(WHO):
        alone = built(tmp_path / str(number), readable(records, who), section)
        for text in QUERIES:
            mine = said(place, text, read_asker(who), caplog)
            assert mine == said(alone, text, None, caplog)
            assert len(mine.document["hits"]) > 2


def test_with_shared_statistics_words_alone_know_of_the_rest_by_how_common_they_are(
    tmp_path: Path, section: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The share of vectors, the hits, the outcome and the logs are those of an index of what may be read."""
    records = some_records(2)
    place = built(tmp_path / "all", records, SHARED | section)
    for number, who in enumerate(WHO):
        alone = built(tmp_path / str(number), readable(records, who), section)
        for text in QUERIES:
            mine, theirs = said(place, text, read_asker(who), caplog), said(alone, text, None, caplog)
            assert (mine.warnings, mine.logged) == (theirs.warnings, theirs.logged)
            assert mine.document["outcome"] == theirs.document["outcome"]
            stages, others = explained_by(mine.document), explained_by(theirs.document)
            assert stages.keys() == others.keys()
            for (doc_id, node), stage in stages.items():
                if node == "dense":
                    assert stage["score"] == pytest.approx(others[doc_id, node]["score"], rel=1e-6)
            assert SECRET not in json.dumps([{**hit, "explained": ()} for hit in mine.document["hits"]])


def test_several_indexes_tell_of_what_may_be_read_in_each(
    tmp_path: Path, section: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    names = ("one", "two")
    every = {name: some_records(seed) for seed, name in enumerate(names, start=3)}
    together = [built(tmp_path / name, every[name], OWN | section) for name in names]
    for number, who in enumerate(WHO):
        alone = [built(tmp_path / f"{name}-{number}", readable(every[name], who), section) for name in names]
        for text in QUERIES:
            mine = said(joined_address(together), text, read_asker(who), caplog)
            assert mine == said(joined_address(alone), text, None, caplog)


def test_a_model_fits_the_languages_of_what_may_be_read(
    tmp_path: Path, section: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine German documents that may not be read neither take weight from vectors nor are told of."""

    class English:
        languages = ("en",)

    english = "The days of the leave that we have are all of those which they gave to us in this year"
    german = "Die Tage des Urlaubs, den wir haben, sind alle von denen, die sie uns in diesem Jahr gaben"
    public, nobodys = {"public": True}, {"public": False}
    records = [{"_id": f"e{n}", "text": f"{english} {n}", "acl": public} for n in range(3)]
    records += [{"_id": f"g{n}", "text": f"{german} {n}", "acl": nobodys} for n in range(9)]
    place = built(tmp_path / "all", records, OWN | section)
    alone = built(tmp_path / "alone", readable(records, {}), section)
    monkeypatch.setattr("retrievers.legs.language_fit.PACKAGED", {str(section["dense"]["encoder"]): English()})
    for text in ("leave of the year", "Urlaub"):
        mine = said(place, text, Asker(), caplog)
        assert mine == said(alone, text, None, caplog)
        assert not any("language" in line for line in mine.logged)
    with_german = built(tmp_path / "german", [{**each, "acl": public} for each in records], OWN | section)
    assert any("75% of the documents" in line for line in said(with_german, "Urlaub", Asker(), caplog).logged)


def test_embeddings_are_those_of_the_encoder_whatever_is_in_the_index(tmp_path: Path, section: dict[str, Any]) -> None:
    records = some_records(5)
    place = built(tmp_path / "all", records, OWN | section)
    alone = built(tmp_path / "alone", readable(records, {}), section)
    texts = [records[4]["text"], f"{SECRET} {WORDS[0]}", "paid leave"]  # the first is one that may not be read
    replies = []
    for index, headers in ((place, {}), (place, {"X-Asker": json.dumps(WHO[1])}), (alone, {})):
        with load_pipeline("hybrid", index=index) as pipeline, client(pipeline, asker_header="X-Asker") as asking:
            body = {"input": texts, "model": MODEL}
            reply = asking.post("/v1/embeddings", json=body, headers=headers)
            assert reply.status_code == 200, reply.text
            replies.append(reply.json())
    assert replies[0] == replies[1] == replies[2]
    assert len(replies[0]["data"]) == 3
