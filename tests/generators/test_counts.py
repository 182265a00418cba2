"""Counting in answers: what fields decide is worked out, over all that may be read, and other questions are left alone."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from generators.counts import CountsAssembler
from generators.llm.scripted import ScriptedLLM
from rag.core.access import Asker
from rag.core.filters import asked_by
from rag.core.ranking import in_this_order
from rag.core.types import Context, Document, Query, ScoredDocument
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings

ANN = Asker(user="ann", tenant="north")
CITIES, CUSTOMERS = ("Berlin", "Hamburg", "Rome"), ("Meier", "Novak")
PASSAGES = in_this_order([Document(doc_id="leave.md#1", text="Thirty days of leave.")])


def rows() -> list[dict[str, str]]:
    chance = random.Random(3)
    return [
        {
            "order": f"A-{number:03}",
            "date": f"2024-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
            "customer": chance.choice(CUSTOMERS),
            "city": chance.choice(CITIES),
            "amount": f"{chance.randint(5, 2000):,}.{chance.randint(0, 99):02}",
        }
        for number in range(90)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("counts")
    (place / "docs").mkdir()
    lines = [";".join(rows()[0]), *(";".join(row.values()) for row in rows())]
    (place / "docs" / "orders.csv").write_text("\n".join(lines), encoding="utf-8")
    (place / "docs" / "offices.csv").write_text("city,rooms\nBerlin,7\nRome,9\nBerlin,1\n", encoding="utf-8")
    (place / "docs" / "ports.csv").write_text(
        "berth,state\nBethel,AK\nNOME,AK\nHouston,TX\nAlbany,NY\n", encoding="utf-8"
    )
    (place / "docs" / "leave.md").write_text(
        "# Leave\n\nThirty days of leave, in Berlin as in Rome.\n", encoding="utf-8"
    )
    build_index([place / "docs"], place / "index", legs=("lexical",))
    return place


@pytest.fixture(scope="module")
def index(folder: Path) -> Iterator[LocalIndex]:
    with LocalIndex.open(folder / "index") as opened:
        yield opened


def plan(operation: str, *, where: str = "", text: str = "", field: str = "") -> str:
    return json.dumps({"operation": operation, "where": where, "text": text, "field": field})


def counted(
    index: LocalIndex, question: str, reply: str = "", *, found: tuple[ScoredDocument, ...] = PASSAGES, **params: Any
) -> tuple[Context, ScriptedLLM]:
    model = ScriptedLLM(replies=(reply,))
    given = Context(query=Query(qid="q", text=question), passages=found)
    [context] = CountsAssembler(llm=model, index=index, **params).assemble([given])
    return context, model


def test_a_number_is_worked_out_over_all_rows_of_the_table_that_is_named(index: LocalIndex) -> None:
    context, model = counted(index, "How many orders came from Berlin?", plan("count", where="city = 'berlin'"))
    n = sum(row["city"] == "Berlin" for row in rows())
    assert context.settled is not None
    assert context.settled.text.startswith(f"{n} rows, of which the first 5 are cited. [1] [2] [3] [4] [5]\n")
    assert context.settled.text.endswith("Worked out over all rows of docs/orders.csv with city = 'Berlin'.")
    assert [hit.document.metadata["city"] for hit in context.passages] == ["Berlin"] * 5
    assert [each.doc_id for each in context.settled.citations] == [hit.doc_id for hit in context.passages]
    assert context.outcome.counts == {"matched": n, "mended_values": 1}
    assert len(model.seen) == 1
    shown = model.seen[0][-1].content
    assert "- city: text, one of" in shown
    assert "rooms" not in shown  # a field of the other table


@pytest.mark.parametrize(
    ("question", "where", "left"),
    [
        ("How many orders came from Berlin to Milan?", "city = 'Berlin'", "Milan"),
        ("How many orders of Novak came from Berlin?", "city = 'Berlin'", "Novak"),
        ("How many orders of Novak came from Berlin?", "city = 'Berlin' AND customer = 'Novak'", ""),
        ("How many Orders have the City Berlin in May?", "city = 'Berlin'", ""),
        ("Wie viele Bestellungen in orders kamen im letzten Jahr aus Berlin?", "city = 'Berlin'", ""),
    ],
)
def test_a_plan_that_leaves_out_a_name_of_the_question_counts_nothing(
    index: LocalIndex, question: str, where: str, left: str
) -> None:
    context, _ = counted(index, question, plan("count", where=where))
    assert context.settled is not None
    assert (f"it takes reading for '{left}'" in context.settled.text) == bool(left)
    assert context.settled.status == ("no_answer" if left else "answered")


@pytest.mark.parametrize(
    ("question", "code", "n"),
    [
        ("How many ports are in Alaska?", "AK", 2),
        ("How many ports are in New York?", "NY", 1),
        ("How many ports are in Texas?", "AK", None),
        ("How many ports are in Alaska, of Novak?", "AK", None),
    ],
)
def test_a_name_is_told_by_its_code(index: LocalIndex, question: str, code: str, n: int | None) -> None:
    context, _ = counted(index, question, plan("count", where=f"state = '{code}'"))
    assert context.settled is not None
    assert context.settled.text.startswith(f"{n} row" if n else "This asks for a number over all documents")


def test_a_value_is_no_code_where_others_of_its_field_are_words(index: LocalIndex) -> None:
    context, _ = counted(index, "How many ports lie in Northmere?", plan("count", where="berth = 'NOME'"))
    assert context.settled is not None
    assert context.settled.text.startswith("This asks for a number over all documents")


def test_a_sum_adds_decimals_as_decimals(index: LocalIndex) -> None:
    question = "What is the total amount of the orders of Novak?"
    context, _ = counted(index, question, plan("sum", where="customer = 'Novak'", field="amount"))
    cents = sum(int(row["amount"].replace(",", "").replace(".", "")) for row in rows() if row["customer"] == "Novak")
    assert context.settled is not None
    assert context.settled.text.startswith(f"{cents // 100:,}.{cents % 100:02}: amount of ")
    text, _ = counted(index, "What is the sum of customer, of all orders?", plan("sum", field="customer"))
    assert text.outcome.detail == "not all values of 'customer' are numbers"
    assert text.settled is not None
    assert text.settled.status == "no_answer"


@pytest.mark.parametrize("period", ["2024", "2024-06"])
def test_a_date_that_equals_a_year_or_a_month_is_within_it(index: LocalIndex, period: str) -> None:
    context, _ = counted(index, f"How many orders came in {period}?", plan("count", where=f"date = '{period}'"))
    n = sum(row["date"].startswith(period) for row in rows())
    assert context.settled is not None
    assert context.settled.text.startswith(f"{n} rows")
    assert f"date >= '{period}" in context.settled.text
    assert context.outcome.counts == {"matched": n, "mended_values": 1}


def test_a_field_that_equals_the_name_of_the_table_says_no_more_than_which_table(index: LocalIndex) -> None:
    where = "customer = 'Orders' and city = 'Rome'"
    context, _ = counted(index, "How many orders came from Rome?", plan("count", where=where))
    n = sum(row["city"] == "Rome" for row in rows())
    assert context.settled is not None
    assert context.settled.text.startswith(f"{n} rows")
    assert context.settled.text.endswith("over all rows of docs/orders.csv with city = 'Rome'.")
    alone, _ = counted(index, "How many orders are there?", plan("count", where="customer = 'orders'"))
    assert alone.settled is not None
    assert alone.settled.text.startswith("90 rows")


def test_which_asks_for_the_rows_where_the_plan_counts_them(index: LocalIndex) -> None:
    """Seen of a model: the number of rows in the place of the one that is asked for."""
    of_meier = [row for row in rows() if row["customer"] == "Meier" and row["city"] == "Rome"]
    context, _ = counted(
        index, "Which orders of Meier went to Rome?", plan("count", where="customer = 'Meier' and city = 'Rome'")
    )
    assert context.settled is not None
    assert context.outcome.counts["matched"] == len(of_meier) > 5
    assert of_meier[0]["order"] in context.settled.text
    assert f"and {len(of_meier) - 5} more" in context.settled.text
    number, _ = counted(
        index, "How many orders of Meier went to Rome?", plan("count", where="customer = 'Meier' and city = 'Rome'")
    )
    assert number.settled is not None
    assert number.settled.text.startswith(f"{len(of_meier)} rows")


def test_the_last_by_a_field(index: LocalIndex) -> None:
    reply = plan("latest", where="city = 'Rome'", field="date")
    context, _ = counted(index, "What is the latest order from Rome?", reply)
    last = max(row["date"] for row in rows() if row["city"] == "Rome")
    assert context.settled is not None
    assert context.settled.text.startswith(f"- {last}: order: A-")
    assert f"date: {last}; customer: " in context.settled.text


def test_the_most_and_the_mean_are_of_the_table_whose_rows_were_found(index: LocalIndex) -> None:
    amounts = [Decimal(row["amount"].replace(",", "")) for row in rows()]
    found = [Document(doc_id=f"o{n}", text="", metadata={"source": "docs/orders.csv"}) for n in range(3)]
    orders = in_this_order(found)
    context, _ = counted(index, "What did somebody pay at the most?", plan("highest", field="amount"), found=orders)
    assert context.settled is not None
    assert context.settled.text.startswith(f"- {max(amounts):,}: order: ")
    context, _ = counted(index, "Who paid the smallest bill?", plan("lowest", field="amount"), found=orders)
    assert context.settled is not None
    assert context.settled.text.startswith(f"- {min(amounts):,}: order: ")
    context, _ = counted(index, "What does one pay on average?", plan("mean", field="amount"), found=orders)
    assert context.settled is not None
    assert context.settled.text.startswith(f"{sum(amounts) / len(amounts):,.2f}: the mean of amount of 90 rows, ")
    only = plan("mean", where="city = 'Rome' and customer = 'Novak'", field="amount")
    context, _ = counted(index, "What does one pay in Rome on average?", only, found=orders)
    in_rome = [amount for row, amount in zip(rows(), amounts, strict=True) if row["city"] == "Rome"]
    assert context.settled is not None  # nobody asked for Novak
    assert context.settled.text.startswith(
        f"{sum(in_rome) / len(in_rome):,.2f}: the mean of amount of {len(in_rome)} rows"
    )
    context, _ = counted(index, "What does one pay in Oslo on average?", only, found=orders)
    assert (context.settled, context.outcome.detail) == (None, "it takes reading for 'Oslo'")
    text, _ = counted(index, "Who paid the smallest bill?", plan("group", field="city"), found=orders)
    assert (text.settled, text.passages) == (None, orders)
    assert text.outcome.detail == "the most, the least or a mean is asked for, and the plan is group"
    text, _ = counted(index, "What is the average customer?", plan("mean", field="customer"), found=orders)
    assert (text.settled, text.passages) == (None, orders)  # read, as nothing names a number of rows
    other, model = counted(index, "What did somebody pay at the most?", plan("highest", field="amount"))
    assert (other.settled, other.passages, model.seen) == (None, PASSAGES, [])


def test_a_condition_that_names_the_table_alone_is_none(index: LocalIndex) -> None:
    amounts = [Decimal(row["amount"].replace(",", "")) for row in rows()]
    question = "What is the total amount of the orders?"
    context, _ = counted(index, question, plan("sum", where="orders", field="amount"))
    assert context.settled is not None
    assert context.settled.text.startswith(f"{sum(amounts):,.2f}: amount of 90 rows")
    context, _ = counted(index, question, plan("sum", where="all of them", field="amount"))
    assert context.settled is not None
    assert "the model wrote a condition that is none (where, column 5: no operator 'of'" in context.settled.text


def test_a_sum_and_a_number_are_of_the_table_whose_rows_were_found(index: LocalIndex) -> None:
    amounts = [Decimal(row["amount"].replace(",", "")) for row in rows()]
    shared = {"source": "docs/orders.csv", "customer": "Novak of Rome"}
    orders = in_this_order([Document(doc_id=f"o{n}", text="", metadata=shared) for n in range(3)])
    shown = "city in ('Rome', 'Berlin', 'Oslo')"  # values that the model was shown, and nobody asked for
    copied = plan("sum", where=shown, field="amount")
    context, _ = counted(index, "What is the amount altogether?", copied, found=orders)
    assert context.settled is not None
    assert context.settled.text.startswith(f"{sum(amounts):,.2f}: amount of 90 rows")
    assert context.settled.text.endswith("over all rows of docs/orders.csv.")
    question, where = "How many parcels went to Novak of Rome?", "customer = 'Novak' and city = 'Rome'"
    context, _ = counted(index, question, plan("count", where=where), found=orders)
    n = sum((row["customer"], row["city"]) == ("Novak", "Rome") for row in rows())
    assert context.settled is not None
    assert context.settled.text.startswith(f"{n} row")
    other, model = counted(index, question, plan("count", where=where))
    assert (other.settled, model.seen) == (None, [])


@pytest.mark.parametrize("question", ["How many days of leave do I have?", "Who pays for orders from Berlin?", ""])
def test_other_questions_keep_their_passages_and_cost_no_call(index: LocalIndex, question: str) -> None:
    context, model = counted(index, question)
    assert (context.settled, context.passages, context.outcome.counts) == (None, PASSAGES, {})
    assert model.seen == []


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("sixteen", "the reply holds no JSON object"),
        (plan("count", where="colour = red"), "no field 'colour'"),
        (plan("count", text="about rain"), "it takes reading for 'about rain'"),
        (plan("count", where="amount > 500"), "values of 'amount' have no order to compare by"),
    ],
)
def test_where_no_plan_of_fields_is_made_a_number_is_not_guessed(index: LocalIndex, reply: str, why: str) -> None:
    context, _ = counted(index, "How many orders came from Berlin?", reply)
    assert context.settled is not None
    assert context.settled.status == "no_answer"
    assert why in context.settled.text
    assert "cannot be counted" in context.settled.text
    assert context.outcome.counts == {"not_counted": 1}
    listed, _ = counted(index, "List all orders from Berlin.", reply)
    assert (listed.settled, listed.passages, listed.outcome.counts) == (None, PASSAGES, {"not_counted": 1})


def test_the_model_may_say_that_it_is_no_such_question(index: LocalIndex) -> None:
    context, _ = counted(index, "How many orders came from Berlin?", plan("other"))
    assert (context.settled, context.passages, context.outcome.counts) == (None, PASSAGES, {"other_question": 1})


def test_a_follow_up_is_read_as_it_stands_alone(index: LocalIndex) -> None:
    model = ScriptedLLM(replies=(plan("count", where="city = 'Rome'"),))
    query = Query(qid="q", text="x", original="And from Rome?", stand_alone="How many orders came from Rome?")
    [context] = CountsAssembler(llm=model, index=index).assemble([Context(query=query, passages=PASSAGES)])
    assert context.settled is not None
    assert "How many orders came from Rome?" in model.seen[0][-1].content


@pytest.mark.parametrize(("asker", "text"), [(ANN, "2 documents. [1] [2]\n"), (None, "1 document. [1]\n")])
def test_what_may_not_be_read_is_neither_counted_nor_named(tmp_path: Path, asker: Asker | None, text: str) -> None:
    of_ann, of_bob = ({"tenant": "north", "owner": owner} for owner in ("ann", "bob"))
    records = [
        {"_id": "a", "text": "x", "city": "Berlin", "acl": of_ann},
        {"_id": "b", "text": "y", "city": "Berlin", "acl": {"public": True}},
        {"_id": "c", "text": "z", "city": "Berlin", "office": "Wedding", "acl": of_bob},
    ]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    settings = IndexSettings.model_validate({"reading": {"access": "acl"}})
    build_index([tmp_path / "corpus.jsonl"], tmp_path / "index", settings=settings, legs=("lexical",))
    model = ScriptedLLM(replies=(plan("count", where="city = Berlin"),))
    with LocalIndex.open(tmp_path / "index") as index:
        query = Query(qid="q", text="How many documents are from Berlin?", where=asked_by(asker))
        [context] = CountsAssembler(llm=model, index=index).assemble([Context(query=query)])
    assert context.settled is not None
    assert context.settled.text.startswith(text)
    assert "Wedding" not in model.seen[0][-1].content
    assert "office" not in model.seen[0][-1].content


def test_in_a_graph_no_generator_is_asked_and_no_check_made(folder: Path) -> None:
    graph = {
        "version": 1,
        "models": {
            "planner": {"use": "llm.scripted", "with": {"replies": [plan("count", where="city = 'Berlin'")]}},
            "writer": {"use": "llm.scripted", "with": {"replies": ["Thirty days of leave [1]."]}},
        },
        "nodes": {
            "found": {"use": "retrieve.bm25", "in": "query", "k": 3},
            "context": {"use": "assemble.token_budget", "in": "found", "with": {"llm": "writer"}},
            "counted": {"use": "assemble.counts", "in": "context", "with": {"llm": "planner"}},
            "answer": {"use": "generate.cited", "in": "counted", "with": {"llm": "writer"}},
            "checked": {"use": "check.words", "in": "answer"},
        },
        "output": "checked",
    }
    with load_pipeline(graph, index=folder / "index") as pipeline:
        n = sum(row["city"] == "Berlin" for row in rows())
        number, days = pipeline.ask_batch(["How many orders came from Berlin?", "How many days of leave do I have?"])
        assert number.text.startswith(f"{n} rows")
        assert (number.status, number.verdicts, len(number.citations)) == ("answered", (), 5)
        assert days.text == "Thirty days of leave [1]."
        assert [verdict.kind for verdict in days.verdicts] == ["similar"]
        pieces = list(pipeline.stream("How many orders came from Berlin?"))
        assert "".join(piece.text for piece in pieces) == number.text
        assert pieces[-1].answer is not None
        assert pieces[-1].answer.citations == number.citations


@pytest.fixture(scope="module")
def sightings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalIndex]:
    """Three tables that have nothing to do with each other."""
    place = tmp_path_factory.mktemp("sightings")
    (place / "docs").mkdir()
    seen = [("otter", "calm")] * 3 + [("grey seal", "calm")] * 2 + [("grey seal", "fresh")] * 4 + [("eider", "calm")]
    rows_seen = [f"S{number},{species},{sea}" for number, (species, sea) in enumerate(seen)]
    (place / "docs" / "sightings.csv").write_text("\n".join(["id,species,sea", *rows_seen]), encoding="utf-8")
    (place / "docs" / "weather.csv").write_text("day,weather\n2014-01-01,sun\n2014-01-02,rain\n", encoding="utf-8")
    cars = "\n".join(f"{{'_id': 'c{n}', 'text': 'x', 'year': {1970 + n}}}" for n in range(5)).replace("'", '"')
    (place / "docs" / "cars.jsonl").write_text(cars, encoding="utf-8")
    build_index([place / "docs"], place / "index", legs=("lexical",))
    with LocalIndex.open(place / "index") as opened:
        yield opened


OTTERS = "How many sightings of otters are in the table of sightings?"


def test_a_plan_that_leaves_out_a_value_of_the_question_counts_nothing(sightings: LocalIndex) -> None:
    context, model = counted(sightings, OTTERS, plan("count"))
    assert context.settled is not None
    assert context.settled.status == "no_answer"
    assert "it takes reading for 'otters'" in context.settled.text
    assert f"Question: {OTTERS} (species = 'otter')" in model.seen[0][-1].content


@pytest.mark.parametrize("value", ["otter", "otters", "Otters"])
def test_a_value_may_be_in_the_plural_in_the_question_and_in_the_plan(sightings: LocalIndex, value: str) -> None:
    context, _ = counted(sightings, OTTERS, plan("count", where=f"species = '{value}'"))
    assert context.settled is not None
    assert context.settled.text.startswith("3 rows")
    assert "species = 'otter'" in context.settled.text


def test_a_value_of_several_words_is_left_out_where_the_plan_has_none_of_it(sightings: LocalIndex) -> None:
    question = "How many sightings of grey seals in calm sea are there?"
    part, _ = counted(sightings, question, plan("count", where="species = 'grey seal'"))
    assert part.settled is not None
    assert "it takes reading for 'calm'" in part.settled.text
    whole, _ = counted(sightings, question, plan("count", where="species = 'grey seal' and sea = 'calm'"))
    assert whole.settled is not None
    assert whole.settled.text.startswith("2 rows")


def test_a_plan_over_fields_that_no_document_has_together_is_none(sightings: LocalIndex) -> None:
    where = "weather = 'sun' and species = 'otter'"
    context, _ = counted(sightings, "How many documents have the species otter in the sun?", plan("count", where=where))
    assert context.settled is not None
    assert context.settled.status == "no_answer"
    assert "no document has these fields together: weather, species" in context.settled.text
    grouped, _ = counted(
        sightings, "How many documents of the species otter?", plan("group", where="species = 'otter'", field="year")
    )
    assert grouped.outcome.detail == "no document has these fields together: species, year"


def test_nothing_found_by_a_condition_from_nowhere_is_no_number(sightings: LocalIndex) -> None:
    question = "How many sightings of eiders are there in fresh sea?"
    asked = plan("count", where="species = 'eider' and sea = 'fresh'")
    honest, _ = counted(sightings, question, asked)
    assert honest.settled is not None
    assert honest.settled.text.startswith("0 rows.")
    made_up, _ = counted(sightings, question, plan("count", where="species = 'eider' and sea = 'fresh' and id = 'S0'"))
    assert made_up.settled is not None
    assert made_up.settled.status == "no_answer"
    assert "the question says nothing of 'S0'" in made_up.settled.text
    astray, _ = counted(sightings, question, plan("count", where="sea = 'eider' and sea = 'fresh'"))
    assert astray.settled is not None
    assert "another field has the value 'eider'" in astray.settled.text


def test_a_number_that_a_text_states_is_not_counted(sightings: LocalIndex) -> None:
    for question in (
        "How many grey seals did the aerial count of 2014 find?",
        "How many grey seals did the survey of 2014 find?",
    ):
        context, model = counted(sightings, question)
        assert (context.settled, context.passages, model.seen) == (None, PASSAGES, [])


@pytest.fixture(scope="module")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalIndex]:
    """Days as tables of the United States have them, names of fields with capitals, and a city that is called Many."""
    place = tmp_path_factory.mktemp("weather")
    (place / "docs").mkdir()
    days = [f"2014/{month:02}/{day:02},{month}.5" for month in (3, 4) for day in (1, 2, 30)]
    (place / "docs" / "seattle-weather.csv").write_text("\n".join(["date,precipitation", *days]), encoding="utf-8")
    cars = "Name,Cylinders\nbuick,8\nford,8\ndatsun,4\n"
    (place / "docs" / "cars.csv").write_text(cars, encoding="utf-8")
    towns = "town,state\nMany,LA\nMarch,NC\nJuneau,AK\nNome,AK\n"
    (place / "docs" / "towns.csv").write_text(towns, encoding="utf-8")
    build_index([place / "docs"], place / "index", legs=("lexical",))
    with LocalIndex.open(place / "index") as opened:
        yield opened


@pytest.mark.parametrize(
    "where", ["date >= '2014-03-01' and date <= '2014-03-31'", "date = '2014-03'", "date = '2014/03'"]
)
def test_a_table_is_told_by_a_word_of_its_name_and_days_with_slashes_are_days(weather: LocalIndex, where: str) -> None:
    question = "How much precipitation did Seattle have in March 2014 altogether?"
    context, _ = counted(weather, question, plan("sum", where=where, field="precipitation"))
    assert context.settled is not None
    assert context.settled.text.startswith("10.5: precipitation of 3 rows.")
    assert "Worked out over all rows of docs/seattle-weather.csv with date >= '2014-03" in context.settled.text


def test_a_part_of_the_name_of_the_table_is_no_condition(weather: LocalIndex) -> None:
    question = "What is the total precipitation of the seattle weather?"
    context, _ = counted(weather, question, plan("sum", where="date = 'seattle'", field="precipitation"))
    assert context.settled is not None
    assert context.settled.text.startswith("24.0: precipitation of 6 rows")


@pytest.mark.parametrize("where", ["cylinders = eight", "CYLINDERS = 8", "Cylinders = 'acht'"])
def test_fields_in_other_letters_and_numbers_in_words_are_put_right(weather: LocalIndex, where: str) -> None:
    context, _ = counted(weather, "How many cars have eight cylinders?", plan("count", where=where))
    assert context.settled is not None
    assert context.settled.text.startswith("2 rows")


def test_a_town_that_is_called_many_is_not_what_how_many_asks_for(weather: LocalIndex) -> None:
    for question in ("How many files can it show at once?", "How many entries may the guide have?"):
        context, model = counted(weather, question)
        assert (context.settled, model.seen) == (None, [])
    context, _ = counted(weather, "How many towns are in AK?", plan("count", where="state = 'AK'"))
    assert context.settled is not None
    assert context.settled.text.startswith("2 rows")
