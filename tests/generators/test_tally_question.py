"""Which questions are counted: told by their form and by what they name."""

from __future__ import annotations

import pytest

from generators.tally_question import Asked, Known, has_form, read_question
from retrievers.index.fields import Field

ORDERS = ("docs/orders.csv",)


def text(name: str, *values: str) -> Field:
    return Field(name=name, kind="text", values=values)


FOLDER = Known(
    {
        "city": text("city", "Berlin", "Hamburg", "New York"),
        "status": text("status", "open", "paid", "late"),
        "amount": text("amount", *map(str, range(100, 170))),
        "number": text("number", *(f"A-{number:03}" for number in range(290))),
        "date": Field(name="date", kind="date", values=("2024-03-01", "2024-04-01")),
        "source": text("source", "docs/orders.csv", "docs/leave.md"),
    },
    300,
    {"orders": ORDERS, "customers": ("docs/customers.csv",)},
)
NUMBERS = [
    "How many orders came from Berlin?",
    "how many orders do we have",
    "How many late orders are there?",
    "Number of orders from New York?",
    "What's the total number of orders from New York?",
    "Show number of orders from New York",
    "In Berlin, number of late orders?",
    "What is the number of orders from Hamburg that are open?",
    "Count the orders of March 2024.",
    "In Berlin, how many are late?",
    "Orders from Berlin: how many?",
    "What is the total amount of the orders from Berlin?",
    "What do the orders from Hamburg add up to, by amount?",
    "Sum of the amount of all late orders",
    "Wie viele orders kamen aus Berlin?",
    "How many deliveries to Berlin does the table of orders have?",
    "How many things went to Hamburg, by orders.csv?",
    "Combien d'orders viennent de Hamburg ?",
    "¿Cuántos orders hay de Berlin?",
]
OTHERS = [
    "List all orders from Berlin.",
    "Which orders of Hamburg are late?",
    "Show me every late order",
    "What is the latest order from New York?",
    "The first orders of March 2024?",
    "Everything from Berlin that is late, please",
]
OF_PASSAGES = [
    "How many days of leave do I have?",
    "How many days of leave are there in Berlin?",
    "How many people live in Hamburg?",
    "How many euros is the amount of the order from Hamburg?",
    "How many days does a delivery take, by the orders?",
    "How much does a ticket to Berlin cost?",
    "What is the first thing to do in Berlin?",
    "Which city is the capital?",
    "Which way to New York?",
    "When is the latest date to hand in receipts?",
    "Is the door open?",
    "List the steps to reset a password.",
    "What is the total of the travel allowance?",
    "Who was the first person in Berlin?",
    "How many chapters has the book?",
    "How many orders from Berlin can the system open at once?",
    "Which order was the heaviest?",
    "What is the phone number of the orders' desk in Berlin?",
    "order A-017",
    "",
    "how many",
    "¿?",
]


@pytest.mark.parametrize("question", NUMBERS)
def test_a_number_of_documents_is_asked_for(question: str) -> None:
    asked = read_question(question, FOLDER)
    assert asked is not None
    assert asked.number
    assert has_form(question)


@pytest.mark.parametrize("question", OTHERS)
def test_all_of_them_or_an_end_is_asked_for(question: str) -> None:
    asked = read_question(question, FOLDER)
    assert asked is not None
    assert not asked.number
    assert has_form(question)


@pytest.mark.parametrize("question", OF_PASSAGES)
def test_what_one_passage_says_is_no_such_question(question: str) -> None:
    assert read_question(question, FOLDER) is None


@pytest.mark.parametrize("question", [*NUMBERS, *OTHERS])
def test_without_fields_and_tables_nothing_is_counted(question: str) -> None:
    assert read_question(question, Known({"source": text("source", "leave.md")}, 9)) is None


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("How many orders are late?", Asked(ORDERS)),
        ("How many customers are from Berlin?", Asked(("docs/customers.csv",))),
        ("How many customers have orders?", Asked()),  # of two tables
        ("How many rows are from Berlin?", Asked()),
        ("What is the latest order from Berlin?", Asked(ORDERS, number=False, most=True)),
        ("List all late orders.", Asked(ORDERS, number=False)),
    ],
)
def test_a_table_that_is_named_is_the_only_one_that_is_counted(question: str, asked: Asked) -> None:
    assert read_question(question, FOLDER) == asked


ROW = {"source": "docs/orders.csv", "buyer": "Phytec Messtechnik GmbH", "city": "Berlin", "amount": "100"}
ROW["index_text"] = "how many rooms"


@pytest.mark.parametrize(
    ("question", "found", "asked"),
    [
        ("How many address blocks are registered to Phytec Messtechnik GmbH?", [ROW, ROW], Asked(ORDERS)),
        ("How many address blocks are registered to Phytec Messtechnik GmbH?", [ROW, ROW | {"buyer": "Phytec"}], None),
        ("How many euros is the amount of an order of Phytec Messtechnik GmbH?", [ROW, ROW], None),
        ("How many files can Phytec Messtechnik GmbH open?", [ROW, ROW], None),
        ("Who is Phytec Messtechnik GmbH?", [ROW, ROW], None),
        ("How many people live in Berlin?", [ROW, ROW], None),
        ("How many rooms does a flat have?", [ROW, ROW], None),
        ("What was the amount altogether?", [ROW], Asked(ORDERS)),
        ("What was the amount altogether?", [{"source": "docs/leave.md"}, ROW], None),
    ],
)
def test_rows_that_were_found_say_which_table_is_counted(
    question: str, found: list[dict[str, str]], asked: Asked | None
) -> None:
    assert read_question(question, FOLDER, found=found) == asked
    assert read_question(question, FOLDER) is None


def test_a_long_text_is_none_of_these_and_costs_nothing() -> None:
    long = "how many orders from Berlin " * 100_000
    assert not has_form(long)
    assert read_question(long, FOLDER) is None
