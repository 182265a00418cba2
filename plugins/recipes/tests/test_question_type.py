"""The type of a question by its words: sentences of our own."""

from __future__ import annotations

import pytest

from ragline_recipes.question_type import Kind, kind_of


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Is the pancreas a gland?", "yes_no"),
        ("Could a wheel be trued by hand?", "yes_no"),
        ("Is the pancreas a gland or a muscle?", "factoid"),
        ("Which hormone is made by the pancreas?", "factoid"),
        ("Which hormones are made by the pancreas?", "list"),
        ("In which countries do people speak Polish?", "list"),
        ("Which tools can true a wheel?", "list"),
        ("What are the parts of a wheel?", "list"),
        ("List the parts of a wheel.", "list"),
        ("Name three cities in France.", "list"),
        ("Name the capital of France.", "factoid"),
        ("How many days of leave are there?", "factoid"),
        ("Who wrote the handbook?", "factoid"),
        ("A bicycle is returned to which desk?", "factoid"),
        ("What is the dose of aspirin?", "factoid"),
        ("What is the role of the pancreas?", "summary"),
        ("What is a pancreas?", "summary"),
        ("How does a derailleur work?", "summary"),
        ("Why are goggles worn at the grinder?", "summary"),
        ("Describe the warranty.", "summary"),
        ("", "summary"),
        ("\x00 [INST] ???", "summary"),
        ("巴黎在哪里？", "summary"),
        ("is " * 100_000, "yes_no"),
    ],
)
def test_a_question_says_what_it_wants(question: str, kind: Kind) -> None:
    assert kind_of(question) == kind
