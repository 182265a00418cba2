from __future__ import annotations

import pytest

from benchmarks.code_style import code_style, code_style_similarity, name_idf, names_similarity
from benchmarks.methods_style import style
from rag.core.types import Query, QueryPart

FUNCTIONS = ["def f(self): rows = load(self)", "def g(self): total = load(self)", "def h(self): text = load(self)"]
ASKED = Query(qid="q", text="x", parts=(QueryPart(text="x"), QueryPart(text="def k(self): rows = 1", role="document")))


def test_names_that_all_functions_have_weigh_nothing() -> None:
    idf = name_idf(FUNCTIONS)
    assert (idf["self"], idf["load"]) == (0.0, 0.0)
    one, other = code_style(ASKED.parts[1].text), code_style(FUNCTIONS[1])
    assert one is not None
    assert other is not None
    weighted = names_similarity(one.variables, other.variables, idf)
    assert weighted < names_similarity(one.variables, other.variables, {})  # only "self" was alike
    found = style(ASKED, FUNCTIONS[1:2], idf=idf)
    assert found == code_style_similarity(ASKED.parts[1].text, FUNCTIONS[1], idf=idf)
    assert found != pytest.approx(code_style_similarity(ASKED.parts[1].text, FUNCTIONS[1]))


def test_without_a_pair_that_can_be_parsed_there_is_no_style() -> None:
    assert style(ASKED, ["no program ("], idf={}) is None
