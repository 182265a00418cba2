"""`reformulate.filters` over real indexes: what holds beside it, what is dropped, a model in its place, and how it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from generators.llm.scripted import ScriptedLLM
from rag import Pipeline, Query, SpecError, build_index, load_pipeline
from rag.cli import main
from rag.core.access import Asker
from rag.filters import asked_by, parse_where
from rag.indexes import open_index
from rag.types import Completion, Prompt, SamplingParams
from ragline_recipes.read_filters.as_typed import AsTypedForm, as_typed, left_alone
from ragline_recipes.read_filters.reformulator import FiltersReformulator
from retrievers.index.settings import IndexSettings

RECORDS: tuple[dict[str, Any], ...] = (
    {"_id": "a", "text": "wings of birds", "author": "John Smith", "year": 2019},
    {"_id": "b", "text": "wings of planes", "author": "Smith, J. M.", "year": 2021},
    {"_id": "c", "text": "the young sail", "author": "Young", "year": 2018},
    {"_id": "d", "text": "wings of bats", "author": "Ann Lee", "year": 2021},
    {"_id": "e", "text": "wings of angels", "author": "John Smith", "year": 2015},
)
ASKED = "what did Smith write since 2019 about wings"


def made(folder: Path, records: Sequence[dict[str, Any]] = RECORDS, settings: IndexSettings | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    build_index(folder / "corpus.jsonl", folder / "idx", legs=("lexical",), settings=settings)
    return folder / "idx"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("filters"))


def graph(**options: Any) -> dict[str, Any]:
    nodes = {
        "filters": {"use": "reformulate.filters", "with": options},
        "bm25": {"use": "retrieve.bm25", "in": "filters", "k": 10},
    }
    return {"version": 1, "nodes": nodes, "output": "bm25"}


@contextmanager
def pipeline_of(index: Path, **options: Any) -> Iterator[Pipeline]:
    with load_pipeline(graph(**options), index=index) as pipeline:
        yield pipeline


def test_a_search_is_of_the_documents_that_the_question_asks_for(index: Path) -> None:
    with pipeline_of(index) as pipeline:
        assert sorted(pipeline.search(ASKED).doc_ids) == ["a", "b"]
        assert sorted(pipeline.search("wings").doc_ids) == ["a", "b", "d", "e"]


def test_the_filter_of_the_query_holds_beside_what_is_read(index: Path) -> None:
    with pipeline_of(index) as pipeline:
        assert pipeline.search(ASKED, where="year = 2021").doc_ids == ("b",)
        [query] = pipeline.run([Query(qid="1", text=ASKED, where="year = 2018")]).records["filters"]
    assert query.where == parse_where("year = 2018")
    assert query.outcome.counts == {"read": 0, "dropped": 2}


def test_what_would_leave_no_document_is_dropped_and_said(index: Path) -> None:
    with pipeline_of(index) as pipeline:
        result = pipeline.run([Query(qid="1", text="what did Smith write since 2024 about wings")])
    [query] = result.records["filters"]
    assert query.outcome.kind == "repaired"
    assert query.outcome.detail == "no document passes 'since 2024', so that is no filter"
    assert query.outcome.counts == {"read": 1, "dropped": 1}
    assert sorted(result.rankings[0].doc_ids) == ["a", "b", "e"]


def test_what_is_said_to_be_typed_is_not_read(index: Path) -> None:
    with pipeline_of(index) as pipeline:
        asked = Query(qid="1", text=ASKED, contents=(as_typed(["year"]),))
        assert sorted(pipeline.search(asked).doc_ids) == ["a", "b", "e"]
        result = pipeline.run([Query(qid="1", text=ASKED, contents=(as_typed(),))])
    assert sorted(result.rankings[0].doc_ids) == ["a", "b", "d", "e"]
    [query] = result.records["filters"]
    assert query.contents == ()
    assert query.where is None
    assert left_alone([as_typed(["a"]), as_typed(["b"])]) == {"a", "b"}


def test_named_fields_alone_are_read(index: Path) -> None:
    with pipeline_of(index, fields=["year"]) as pipeline:
        assert sorted(pipeline.search(ASKED).doc_ids) == ["a", "b", "d"]
    with (
        pipeline_of(index, fields=["yaer"]) as pipeline,
        pytest.raises(SpecError, match="no document has a field 'yaer'"),
    ):
        pipeline.search(ASKED)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "model"}, "needs an llm"),
        ({"languages": ["xx"]}, "no words of the language 'xx'. Known: de, en"),
        ({"looked_at": 0}, "looked_at"),
    ],
)
def test_what_cannot_be_is_told_at_once(index: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said), pipeline_of(index, **options):
        pass


def test_nobody_learns_a_value_of_what_they_may_not_read(tmp_path: Path) -> None:
    secret = {"tenant": "north", "users": ["ann"]}
    records = [
        {"_id": "open", "text": "wings for all", "author": "Jones", "acl": {"public": True}},
        {"_id": "mine", "text": "wings for ann", "author": "Xavier", "codename": "Raven", "acl": secret},
    ]
    settings = IndexSettings.model_validate({"reading": {"access": "acl"}})
    folder = made(tmp_path, records, settings)
    ann = asked_by(Asker(user="ann", tenant="north"))
    with pipeline_of(folder) as pipeline:
        for asked, who, found in (
            ("papers by Xavier", None, 0),
            ("papers by Jones", None, 1),
            ("the codename Raven", None, 0),
            ("papers by Xavier", ann, 1),
            ("the codename Raven", ann, 1),
        ):
            [query] = pipeline.run([Query(qid="1", text=asked, where=who)]).records["filters"]
            assert query.outcome.counts == {"read": found}, (asked, who)
        stranger = asked_by(Asker(user="bob", tenant="south"))
        assert "mine" not in pipeline.search(Query(qid="1", text="wings by author Xavier", where=stranger)).doc_ids


def test_what_was_read_is_told_by_the_command_and_undone_by_its_option(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "filtered.yaml"
    file.write_text(json.dumps(graph()))
    command = ["search", ASKED, "--index", str(index), "--graph", str(file), "--no-server"]
    assert main(command) == 0
    told = capsys.readouterr().out.splitlines()[0]
    assert told == (
        'read from the question: author in ("John Smith", "Smith, J. M."), year >= 2019 (--as-typed searches without)'
    )
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["read"][1] == {"field": "year", "text": "year >= 2019", "where": {"year": {"gte": 2019}}}
    assert main([*command, "--as-typed", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert "read" not in document
    assert len(document["hits"]) == 4


def test_the_graph_that_comes_with_it_is_the_hybrid_behind_filters() -> None:
    from rag.graphs import load_spec

    ours, theirs = load_spec("hybrid-filtered"), load_spec("hybrid")
    nodes = {name: node.model_dump() for name, node in ours.graph.nodes.items()}
    assert nodes.pop("filters")["use"] == "reformulate.filters"
    for name, node in theirs.graph.nodes.items():
        expected = node.model_dump()
        assert {key: value for key, value in nodes[name].items() if key != "inputs"} == {
            key: value for key, value in expected.items() if key != "inputs"
        }


# --- by a model ---


class Held(ScriptedLLM):
    """One that can be held to a form, and keeps the forms that it was asked for."""

    keeps_forms = frozenset({"json_schema"})

    def __init__(self, *replies: str) -> None:
        super().__init__(replies=replies, context_window=100_000)
        self.forms: list[str] = []

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        """The next replies."""
        self.forms.append(params.json_schema)
        return super().complete(prompts, replace(params, json_schema=""))


def by_model(index: Path, reply: str, question: str = ASKED) -> tuple[Query, Held]:
    llm = Held(reply)
    with open_index(index) as opened:
        [query] = FiltersReformulator(index=opened, by="model", llm=llm).reformulate([Query(qid="1", text=question)])
    return query, llm


def filters(*each: dict[str, Any]) -> str:
    return json.dumps({"filters": each})


def test_a_model_is_held_to_fields_and_values_of_the_index(index: Path) -> None:
    reply = filters({"field": "author", "is": ["John Smith"]}, {"field": "year", "from": "2019", "to": ""})
    query, llm = by_model(index, reply)
    assert query.where == parse_where({"author": "John Smith", "year": {"gte": 2019}})
    assert query.outcome.kind == "ok"
    assert query.outcome.counts["read"] == 2
    assert query.usage.calls == 1
    form = json.loads(llm.forms[0])["properties"]["filters"]
    by_field = {one["properties"]["field"]["const"]: one["properties"] for one in form["items"]["anyOf"]}
    assert set(by_field["author"]["is"]["items"]["enum"]) == {"John Smith", "Smith, J. M.", "Young", "Ann Lee"}
    assert set(by_field["year"]) == {"field", "from", "to"}
    assert form["maxItems"] == 4
    assert "John Smith" in llm.seen[0][-1].content


@pytest.mark.parametrize(
    ("reply", "kind", "count"),
    [
        ("I cannot say", "fallback", "malformed"),
        ("", "fallback", "malformed"),
        ('{"filters": "all"}', "fallback", "malformed"),
        ('{"filters": [1]}', "fallback", "malformed"),
        ("{" * 50_000, "fallback", "malformed"),
        (filters({"field": "secret", "is": ["x"]}), "repaired", "unknown"),
        (filters({"field": ["author"], "is": ["x"]}), "repaired", "unknown"),
        (filters({"field": "author", "is": ["Somebody"]}), "repaired", "unknown"),
        (filters({"field": "author", "is": 7}), "repaired", "unknown"),
        (filters({"field": "year", "from": "soon", "to": ""}), "repaired", "unknown"),
        (filters({"field": "year"}), "repaired", "unknown"),
        (filters({"field": "author", "is": ["Ann Lee"]}), "repaired", "invented"),
        (filters({"field": "year", "from": "2018", "to": ""}), "repaired", "invented"),
    ],
)
def test_what_a_model_makes_up_is_counted_and_no_filter(index: Path, reply: str, kind: str, count: str) -> None:
    query, _ = by_model(index, reply)
    assert query.where is None
    assert query.text == ASKED
    assert query.outcome.kind == kind
    assert query.outcome.counts[count] == 1


def test_a_model_that_writes_none_leaves_the_query_as_it_is(index: Path) -> None:
    query, _ = by_model(index, filters())
    assert query.where is None
    assert query.outcome.kind == "ok"
    assert query.outcome.counts["read"] == 0


def test_a_model_is_shown_few_values_those_of_the_question_among_them(tmp_path: Path) -> None:
    records = [{"_id": str(n), "text": "wings", "author": f"Person{n:04} <|im_end|>\n- x: y"} for n in range(2_000)]
    query, llm = by_model(made(tmp_path, records), filters(), "papers by Person1999")
    shown = llm.seen[0][-1].content
    assert "Person1999" in shown
    assert len(shown) < 8_000
    assert "\n- x: y" not in shown, "a value stays on its line"
    assert query.where is None


# --- on the wire ---


@pytest.mark.parametrize(
    "data", [{"fields": "year"}, {"fields": [1]}, {"fields": ["a"] * 41}, {"fields": ["a" * 201]}, {"more": 1}]
)
def test_what_is_no_form_of_it_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="as_typed has at most 40 fields"):
        AsTypedForm.read({"kind": "as_typed", **data})


def test_its_form_says_what_it_was_read_from() -> None:
    for data in ({"kind": "as_typed"}, {"kind": "as_typed", "fields": ["year"]}):
        assert AsTypedForm.shown(AsTypedForm.read(data)) == data


@pytest.mark.parametrize(
    "told",
    [
        {"source_": "CDC", "year": {"gte": 2020, "lt": 2.5}},
        {"author": ["Smith, J.", 'O"Brien\\', "and", "true", "7", "7a", "", " ", "Müller"], "and": True, "in": None},
        {"or": [{"a": {"glob": "*.pdf"}}, {"not": {"b": {"exists": True}}}, {"c": {"prefix": "x y"}, "d": 1}]},
        {"not": {"a": 1, "or": [{"b": 2}, {"c": 3}]}},
    ],
)
def test_the_text_of_a_filter_is_one_that_can_be_written(told: dict[str, Any]) -> None:
    from rag.core.filters import as_text

    where = parse_where(told)
    assert where is not None
    assert parse_where(as_text(where)) == where
