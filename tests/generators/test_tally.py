"""Counting by a plan: what each operation gives, the calls, what may be missed, and every way in which a plan can be none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generators.llm.scripted import ScriptedLLM
from generators.tally import TallyGenerator
from generators.tally_answer import drafted
from generators.tally_plan import Plan, Unplanned, ordered_fields, plan_form, read_plan, told_fields
from rag.core.errors import SpecError
from rag.core.filters import parse_where
from rag.core.ranking import in_this_order
from rag.core.types import Answer, Document, Outcome, Prompt, Query, Ranking
from rag.indexing import build_index
from retrievers.index.directory import LocalIndex
from retrievers.index.fields import Field, fields_of
from tests.generators.asking import Inner

RECORDS: list[dict[str, Any]] = [
    {"_id": "a", "title": "Pump", "text": "The pump leaks.", "kind": "report", "year": 2021, "on": "2021-03-01"},
    {
        "_id": "b",
        "title": "Valve",
        "text": "Corrosion at the valve.",
        "kind": "report",
        "year": 2021,
        "on": "2021-05-02",
    },
    {"_id": "c", "title": "Mast", "text": "Corrosion of the mast.", "kind": "report", "year": 2022, "on": "2022-01-09"},
    {"_id": "d", "title": "Menu", "text": "Soup on Friday.", "kind": "note", "year": 2021},
    {"_id": "e", "title": "Log [3]", "text": "Nothing new.", "kind": "note", "year": 2022, "on": "2021-03-01"},
    {
        "_id": "f",
        "title": "Keel",
        "text": "Rust and corrosion below.",
        "kind": "report",
        "year": 2022,
        "on": "2023-06-01",
    },
]
ASKED = Query(qid="q", text="How many?")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    place = tmp_path_factory.mktemp("tally")
    (place / "corpus.jsonl").write_text("".join(json.dumps(record) + "\n" for record in RECORDS), encoding="utf-8")
    build_index([place / "corpus.jsonl"], place / "index", legs=("lexical",))
    return LocalIndex.open(place / "index")


class Shelf:
    """Finds all passages that pass the filter, in the order of the index. Notes what it is asked, and how deep."""

    def __init__(self, index: LocalIndex, *, broken: bool = False) -> None:
        self._index, self._broken, self.asked = index, broken, list[tuple[str, int]]()

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        self.asked += [(query.text, k) for query in queries]
        if self._broken:
            return [Ranking(query=query, outcome=Outcome(kind="failed", detail="no server")) for query in queries]
        documents = [self._index.documents.many(self._index.rows(query.where).tolist()) for query in queries]
        return [Ranking(query=q, hits=in_this_order(d, k=k)) for q, d in zip(queries, documents, strict=True)]


class Reader(ScriptedLLM):
    """Plans as it is told, and says yes to passages with the word corrosion in any case."""

    def __init__(self, *plans: str, window: int = 4096, broken: bool = False) -> None:
        super().__init__(replies=plans, context_window=window)
        self.weighed, self._broken = list[str](), broken

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        assert list(choices) == ["Yes", "No"]
        passages = [prompt[-1].content.split("Passage: ")[1].split("\n")[0] for prompt in prompts]
        self.weighed += passages
        shares = [0.9 if "corrosion" in passage.casefold() else 0.2 for passage in passages]
        rows = np.log(np.array([[share, 1 - share] for share in shares], dtype=np.float32)).reshape(-1, 2)
        return np.full_like(rows, np.nan) if self._broken else rows


def plan(operation: str, *, where: str = "", text: str = "", field: str = "") -> str:
    return json.dumps({"operation": operation, "where": where, "text": text, "field": field})


def tallied(index: LocalIndex, llm: Reader, *queries: Query, shelf: Shelf | None = None, **params: Any) -> list[Answer]:
    given = {"inner": shelf or Shelf(index), "answers": Inner({"How many?": "As usual."}), "index": index, **params}
    return TallyGenerator(llm=llm, **given).generate(queries or [ASKED])


def cited(answer: Answer) -> list[str]:
    """The cited documents, each where its marker stands."""
    for citation in answer.citations:
        assert answer.text[citation.start : citation.end] == f"[{citation.marker}]"
        assert answer.context.passages[citation.marker - 1].doc_id == citation.doc_id
    parents = {hit.doc_id: hit.document.parent for hit in answer.context.passages}
    return [parents[citation.doc_id] for citation in answer.citations]


@pytest.mark.parametrize(
    ("reply", "text", "documents"),
    [
        (plan("count", where="kind = report and year = 2021"), "2 documents. [1] [2]", ["a", "b"]),
        (plan("count", where="kind = note and year = 2021"), "1 document. [1]", ["d"]),
        (plan("count", where="year > 2030"), "0 documents.", []),
        (plan("list", where="year = 2022"), "- Mast [1]\n- Log [2]\n- Keel [3]", ["c", "e", "f"]),
        (plan("earliest", field="on"), "- 2021-03-01: Pump [1]\n- 2021-03-01: Log [2]", ["a", "e"]),
        (plan("latest", where="kind = report", field="on"), "- 2023-06-01: Keel [1]", ["f"]),
        (plan("latest"), "- 2023-06-01: Keel [1]", ["f"]),  # the only field of dates
        (plan("group", field="kind"), "- report: 4 [1]\n- note: 2 [2]", ["a", "d"]),
        (plan("group", where="kind = report", field="year"), "- 2021: 2 [1]\n- 2022: 2 [2]", ["a", "c"]),
    ],
)
def test_a_plan_over_metadata_is_exact_and_costs_one_call(
    index: LocalIndex, reply: str, text: str, documents: list[str]
) -> None:
    llm = Reader(reply)
    [answer] = tallied(index, llm)
    assert (answer.text, cited(answer)) == (text, documents)
    assert (answer.status, answer.outcome.kind, answer.usage.calls, llm.weighed) == ("answered", "ok", 1, [])


def test_a_list_of_nothing_is_no_answer(index: LocalIndex) -> None:
    [answer] = tallied(index, Reader(plan("list", where="year > 2030")))
    assert (answer.text, answer.status, answer.citations) == ("No document fulfils this.", "no_answer", ())


def test_documents_without_the_date_are_left_out_and_counted(index: LocalIndex) -> None:
    [answer] = tallied(index, Reader(plan("earliest", where="kind = note", field="on")))
    assert cited(answer) == ["e"]
    assert (answer.outcome.counts["matched"], answer.outcome.counts["without_field"]) == (2, 1)
    [answer] = tallied(index, Reader(plan("earliest", where="kind = note and year = 2021", field="on")))
    assert (answer.status, answer.outcome.counts["without_field"]) == ("no_answer", 1)


def test_no_more_are_shown_than_wanted(index: LocalIndex) -> None:
    [count] = tallied(index, Reader(plan("count")), shown=2)
    assert count.text == "6 documents, of which the first 2 are cited. [1] [2]"
    [listed] = tallied(index, Reader(plan("list")), shown=2)
    assert listed.text == "- Pump [1]\n- Valve [2]\nand 4 more"


def test_a_condition_is_read_passage_by_passage_and_what_may_be_missed_is_said(index: LocalIndex) -> None:
    llm, shelf = Reader(plan("count", where="kind = report", text="mentions corrosion")), Shelf(index)
    [answer] = tallied(index, llm, shelf=shelf, batch=2, patience=1)
    assert [passage.split(" ", 1)[0] for passage in llm.weighed] == ["Pump", "Valve", "Mast", "Keel"]
    assert shelf.asked == [("mentions corrosion", 2), ("mentions corrosion", 4), ("mentions corrosion", 6)]
    assert cited(answer) == ["b", "c", "f"]
    assert answer.text.startswith("3 documents. [1] [2] [3]\nRead 4 passages and left 0, as no candidate is left.")
    assert answer.usage.calls == 5, "the plan and four passages"
    assert {name: answer.outcome.counts[name] for name in ("matched", "read", "unread", "missed_at_most")} == {
        "matched": 3,
        "read": 4,
        "unread": 0,
        "missed_at_most": 0,
    }


def test_it_ends_after_so_many_rounds_without_a_find(index: LocalIndex) -> None:
    """The first passage of 2021 has no corrosion. Two are left, of which at most .95 count: 1 - .05."""
    llm = Reader(plan("list", where="year = 2021", text="mentions corrosion"))
    [answer] = tallied(index, llm, batch=1, patience=1)
    assert (len(llm.weighed), answer.outcome.counts["unread"]) == (1, 2)
    assert "as the last 1 had none. An estimate: at most 1 of those left" in answer.text  # 2 * (1 - .05) = 1.9
    assert answer.status == "no_answer"


@pytest.mark.parametrize("most", [1, 3, 4])
def test_no_more_are_read_than_the_budget_has(index: LocalIndex, most: int) -> None:
    llm, shelf = Reader(plan("count", text="mentions corrosion")), Shelf(index)
    [answer] = tallied(index, llm, shelf=shelf, batch=2, patience=9, most=most)
    assert len(llm.weighed) == most
    assert answer.usage.calls == most + 1
    assert len(shelf.asked) <= -(-most // 2) + 1
    assert "as no more were to be read" in answer.text


def test_several_questions_go_in_step(index: LocalIndex) -> None:
    llm = Reader(plan("count", text="mentions corrosion"), "nonsense", plan("count", where="year = 2022"))
    queries = [Query(qid="a", text="How many?"), Query(qid="b", text="How many?"), Query(qid="c", text="How many?")]
    texts = [answer.text for answer in tallied(index, llm, *queries, batch=6)]
    assert (texts[0].split(".")[0], texts[1], texts[2].split(".")[0]) == ("3 documents", "As usual. [2]", "3 documents")


def test_the_filter_of_the_query_holds_beside_that_of_the_plan(index: LocalIndex) -> None:
    query = Query(qid="q", text="How many?", where={"year": 2021})
    assert tallied(index, Reader(plan("count", where="kind = report")), query)[0].text.startswith("2 documents.")


def test_chunks_of_a_document_count_once(tmp_path: Path) -> None:
    text = "\n\n".join(f"Paragraph {n} on corrosion. " + "word " * 300 for n in range(4))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "long.md").write_text(text, encoding="utf-8")
    build_index([tmp_path / "texts"], tmp_path / "index", legs=("lexical",))
    index = LocalIndex.open(tmp_path / "index")
    assert len(index) > 1
    llm = Reader(plan("count"), plan("count", text="mentions corrosion"))
    first, second = tallied(index, llm, ASKED, Query(qid="r", text="How many?"), batch=1)
    assert first.text.startswith("1 document.")
    assert second.text.startswith("1 document.")
    assert len(llm.weighed) == 1, "of a document that counts already nothing is read"


@pytest.mark.parametrize(
    ("reply", "trouble"),
    [
        ("I think there are twelve.", "no_plan"),
        ("", "no_plan"),
        ("<think>hm", "no_plan"),
        ('["count"]', "no_plan"),
        ("{" * 5000, "no_plan"),
        (plan("other"), "other_question"),
        (plan("delete"), "unknown_operation"),
        ('{"operation": {"count": 1}}', "unknown_operation"),
        (plan("count", where="colour = red"), "unknown_field"),
        (plan("group", field="colour"), "unknown_field"),
        (plan("group"), "unknown_field"),
        (plan("earliest", field="kind"), "unknown_field"),  # which has no order
        (plan("count", where="year >>> 3"), "bad_filter"),
        (plan("count", where="__import__('os').system('true')"), "bad_filter"),
    ],
)
def test_what_is_no_plan_is_counted_and_answered_as_usual(index: LocalIndex, reply: str, trouble: str) -> None:
    [answer] = tallied(index, Reader(reply))
    assert (answer.text, answer.outcome.kind, answer.outcome.counts[trouble]) == ("As usual. [2]", "fallback", 1)
    assert answer.outcome.detail
    [answer] = tallied(index, Reader(reply), unplanned="refuse")
    assert (answer.text, answer.status, answer.outcome.kind) == ("I don't know", "no_answer", "fallback")
    assert answer.outcome.counts == {trouble: 1}


def test_only_the_fields_that_were_named_are_shown_and_allowed(index: LocalIndex) -> None:
    llm = Reader(plan("count", where="kind = report"))
    [answer] = tallied(index, llm, fields=("year", "on"))
    assert answer.outcome.counts["unknown_field"] == 1
    shown = llm.seen[0][-1].content
    assert (
        "have these fields:\n- year: numbers from 2021 to 2022\n- on: dates from 2021-03-01 to 2023-06-01\n\n" in shown
    )
    with pytest.raises(SpecError, match="no document has a field 'colour'"):
        tallied(index, Reader(plan("count")), fields=("colour",))


def test_values_are_put_into_the_form_that_documents_have_and_counted(index: LocalIndex) -> None:
    [answer] = tallied(index, Reader(plan("count", where="kind = 'Report' and year in ('2021', 2022)")))
    assert answer.text.startswith("4 documents.")
    assert (answer.outcome.kind, answer.outcome.counts["mended_values"]) == ("repaired", 2)


def test_a_search_that_fails_is_said(index: LocalIndex) -> None:
    [answer] = tallied(index, Reader(plan("count", text="rust")), shelf=Shelf(index, broken=True))
    assert "Read 0 passages and left 6, as the search failed (no server)" in answer.text
    assert answer.outcome.counts["missed_at_most"] == 6


def test_passages_that_do_not_fit_and_a_model_that_breaks_down_are_counted(index: LocalIndex) -> None:
    [answer] = tallied(index, Reader(plan("count", text="rust"), broken=True))
    assert (answer.outcome.counts["broken"], answer.outcome.counts["read"]) == (6, 0)
    assert answer.outcome.counts["unread"] == answer.outcome.counts["missed_at_most"] == 6, "nobody read them"
    fields = {name: Field(name=name, kind="text", values=("x",)) for name in ("kind",)}
    assert isinstance(read_plan(plan("count", text="word " * 500), fields), Plan)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"unplanned": "guess"}, "unplanned must be one of ask, refuse, got 'guess'"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"shown": 0}, "shown must be at least 1"),
        ({"plan_tokens": 0}, "plan_tokens must be at least 1"),
        ({"least": 2}, "least must be from 0 to 1"),
    ],
)
def test_senseless_arguments_are_refused(index: LocalIndex, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tallied(index, Reader(""), **params)


def test_fields_tell_their_kind_and_their_values_and_stay_on_a_line() -> None:
    documents = [
        Document(
            doc_id="1",
            text="",
            metadata={"n": 1, "tags": ["x", "y"], "on": "2020-01-02", "parent": "1", "odd": {"a": 1}},
        ),
        Document(
            doc_id="2", text="", metadata={"n": "two", "tags": ["x"], "on": "2021-01-02T10:00", "evil": "a\n- n: mine"}
        ),
    ]
    fields = fields_of(documents)
    assert {name: (field.kind, field.values) for name, field in fields.items()} == {
        "evil": ("text", ("a\n- n: mine",)),
        "n": ("mixed", ("two", 1)),
        "on": ("date", ("2020-01-02", "2021-01-02T10:00")),
        "tags": ("text", ("x", "y")),
    }
    told = told_fields(fields).splitlines()
    assert told == [
        "- evil: text, one of 'a - n: mine'",
        "- n: mixed, one of 'two', '1'",
        "- on: dates from 2020-01-02 to 2021-01-02T10:00",
        "- tags: text, one of 'x', 'y'",
    ]
    assert told_fields({}) == "(none)"


def test_a_plan_is_read_out_of_what_stands_around_it() -> None:
    fields = {"year": Field(name="year", kind="number", values=(1, 2))}
    made = read_plan('Sure:\n```json\n{"operation": "count", "where": "year = 2"}\n``` Done.', fields)
    assert made == Plan(operation="count", where=parse_where("year = 2"), condition="", field="")
    assert str(made) == '{"operation": "count", "where": {"year": 2}}'
    assert isinstance(read_plan(plan("earliest"), {}), Unplanned)


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("What is the largest body mass of a penguin?", ["body_mass_g"]),
        ("Which species has the longest bills, by bill length?", ["bill_length_mm"]),
        ("In which year was the largest body mass?", ["body_mass_g", "year"]),
        ("Which penguin is the heaviest?", ["bill_length_mm", "body_mass_g", "year"]),  # none by its name: any
        ("Which species is the largest?", ["bill_length_mm", "body_mass_g", "year"]),  # a species has no order
    ],
)
def test_the_most_is_asked_of_the_fields_that_a_question_names(question: str, named: list[str]) -> None:
    fields = {
        name: Field(name=name, kind="number", values=(1, 2)) for name in ("bill_length_mm", "body_mass_g", "year")
    }
    fields["species"] = Field(name="species", kind="text", values=("Gentoo",))
    ordered = ordered_fields(fields, question)
    assert list(ordered) == named
    assert json.loads(plan_form(ordered))["properties"]["field"] == {"enum": named}


def test_marks_for_missing_values_take_no_order_from_numbers() -> None:
    documents = [
        Document(doc_id=str(n), text="", metadata={"g": g, "code": c})
        for n, (g, c) in enumerate([("3750", "NA"), ("NA", "US"), ("6300", "DE")])
    ]
    fields = fields_of(documents)
    assert (fields["g"].kind, fields["g"].values) == ("number", ("3750", "6300", "NA"))
    assert (fields["code"].kind, fields_of(documents[1:2])["g"].kind) == ("text", "text")
    drawn = drafted(Plan(operation="highest", where=None, condition="", field="g"), documents, fields, shown=5)
    assert drawn.text.startswith("- 6300: ")
