"""Filters: what they are written as, what they mean, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.digests import data_sha256 as sha256_of
from rag.core.errors import SpecError
from rag.core.filters import (
    OPERATORS,
    REQUEST,
    Condition,
    Filter,
    Operator,
    as_mapping,
    both,
    conditions,
    fold,
    matches,
    parse_where,
)
from rag.core.types import Document, Query
from rag.core.yaml_source import parse_yaml
from rag.pipeline.identity import question_key
from retrievers.index.documents import Documents
from retrievers.index.filters import MetadataFilter
from retrievers.index.writer import DocumentsWriter
from tests.cpu_time import least_cpu_s
from tests.rag.random_filters import filters, metadata, passes, written


def where(text: Any) -> Filter:
    read = parse_where(text)
    assert read is not None
    return read


# --- one meaning, three forms ---


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("lang = de", {"lang": "de"}),
        ("lang=de", {"lang": "de"}),
        ("lang == 'de'", {"lang": "de"}),
        ("source=handbook/leave.md", {"source": "handbook/leave.md"}),
        ("n = 3 and m = -1.5e3", {"n": 3, "m": -1500.0}),
        ("a = true and b = null and c = 007", {"a": True, "b": None, "c": "007"}),
        ('title = "paid \\"leave\\""', {"title": 'paid "leave"'}),
        (r"path = 'C:\temp'", {"path": "C:\\temp"}),
        ("lang in (de, 'en', 3)", {"lang": ["de", "en", 3]}),
        ("lang in ()", {"lang": []}),
        ("lang != de", {"not": {"lang": "de"}}),
        ("lang not in (de)", {"not": {"lang": ["de"]}}),
        ("year >= 2020 and year < 2024", {"year": {"gte": 2020, "lt": 2024}}),
        ("day > 2024-03-05", {"day": {"gt": "2024-03-05"}}),
        ("path prefix docs/", {"path": {"prefix": "docs/"}}),
        ('path ~ "docs/*"', {"path": {"glob": "docs/*"}}),
        ("exists(year)", {"year": {"exists": True}}),
        ("not exists(year)", {"year": {"exists": False}}),
        ("not exists(year)", {"not": {"year": {"exists": True}}}),
        ("a = 1 or b = 2 and c = 3", {"or": [{"a": 1}, {"b": 2, "c": 3}]}),
        ("(a = 1 or b = 2) and not (c = 3)", {"or": [{"a": 1}, {"b": 2}], "not": {"c": 3}}),
        ("a = 1 AND (b = 2 Or b = 3)", {"and": [{"a": 1}, {"or": [{"b": 2}, {"b": 3}]}]}),
        ('"or" = x and "not" > 3', {"or": "x", '"not"': {"gt": 3}}),
        ("'and' = 1", {"and": 1}),
        ("größe >= 3", {"größe": {"gte": 3}}),
    ],
)
def test_text_and_data_say_the_same(text: str, data: dict[str, Any]) -> None:
    assert where(text) == where(data)
    assert hash(where(text)) == hash(where(data))
    assert where(as_mapping(where(text))) == where(text)


@given(filters())
def test_a_filter_survives_data_and_text(tree: Filter) -> None:
    assert where(json.loads(json.dumps(as_mapping(tree)))) == tree
    assert where(written(tree)) == tree


def test_the_example_of_the_guide() -> None:
    tree = where('lang = "de" and (year >= 2020 or not exists(year)) and path ~ "docs/*"')
    assert as_mapping(tree) == {
        "lang": "de",
        "or": [{"year": {"gte": 2020}}, {"not": {"year": {"exists": True}}}],
        "path": {"glob": "docs/*"},
    }
    assert matches(tree, {"lang": ["en", "de"], "path": "docs/a/b.md"})
    assert not matches(tree, {"lang": "de", "year": 2019, "path": "docs/a/b.md"})


def test_nothing_and_an_empty_mapping_let_all_through() -> None:
    assert parse_where(None) is parse_where({}) is both(None, {}) is None


def test_two_filters_are_joined_by_and() -> None:
    assert both("a = 1", None) == both(None, {"a": 1}) == where("a = 1")
    assert both("a = 1 or b = 2", {"c": 3}) == where("(a = 1 or b = 2) and c = 3")


def test_filters_that_mean_different_things_are_different() -> None:
    ones = [1, "1", True, 1.5, None, {"a": 1}]
    trees = [where({"n": {"eq": value}}) for value in ones] + [where({"n": {"in": [value]}}) for value in ones]
    assert len(set(trees)) == len(trees)
    assert where({"n": 1}) == where({"n": 1.0})
    assert len({where({"n": 1}), where({"n": 1.0})}) == 1


def test_a_date_is_its_text() -> None:
    assert where({"day": date(2024, 3, 5)}) == where({"day": "2024-03-05"})
    assert where({"day": {"gte": datetime(2024, 3, 5, 14)}}) == where("day >= 2024-03-05T14:00:00")
    assert parse_yaml("day: {gte: 2024-03-05}", name="x").data == {"day": {"gte": "2024-03-05"}}


# --- what they mean ---

DOCUMENTS: dict[str, dict[str, Any]] = {
    "plain": {"year": 2021, "lang": "de", "day": "2024-03-05", "path": "docs/a.md", "page": 3},
    "lists": {"year": [2019, 2025], "lang": ["de", "en"], "day": ["2023-01-01", "2025-01-01"], "page": None},
    "texts": {"year": "2021", "lang": "fr", "day": "5 March 2024", "path": "src/docs/a.md", "page": "3"},
    "times": {"year": True, "lang": "DE", "day": "2024-03-05T14:00", "path": "docs/b/c.md"},
    "empty": {"year": [], "lang": [], "day": []},
    "missing": {},
}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        # equality: case and kind count; of a list some member
        ("lang = de", "plain lists"),
        ("year = 2021.0", "plain"),
        ("year = '2021'", "texts"),
        ("year = true", "times"),
        ("year = 1", ""),
        ("page = null", "lists"),
        # not: exactly the others, also those without the key
        ("lang != de", "texts times empty missing"),
        ("not (lang = de or lang = fr)", "times empty missing"),
        ("not not lang = de", "plain lists"),
        # exists: a value that is not null
        ("exists(year)", "plain lists texts times"),
        ("exists(page)", "plain texts"),
        ("not exists(page)", "lists times empty missing"),
        ("exists(year) and not year = 2021", "lists texts times"),
        # ranges: numbers with numbers, each condition looks for a member of its own
        ("year >= 2020", "plain lists texts"),
        ("year >= 2020 and year < 2024", "plain lists texts"),
        ("not year >= 2020", "times empty missing"),
        ("year > 2021", "lists"),
        ("year <= 2021", "plain lists texts"),
        # dates: with dates, by the day unless both have a time
        ("day >= 2024-03-05", "plain lists times"),
        ("day > 2024-03-05", "lists"),
        ("day <= 2024-03-05", "plain lists times"),
        ("day >= 2024-03-05T15:00", "plain lists"),
        ("day >= 2024-03-05T15:00+01:00", "plain lists times"),
        ("day < 2024-03-05T14:00:00.000001", "lists times"),
        ("day > 2024", ""),
        # text: prefix and form, case counts, a star also takes "/"
        ("path prefix docs/", "plain times"),
        ("path ~ 'docs/*'", "plain times"),
        ("path ~ '*docs/?.md'", "plain texts"),
        ("path ~ docs", ""),
        ("page ~ '*'", "texts"),
        ("lang ~ '*'", "plain lists texts times"),
    ],
)
def test_what_a_filter_means(text: str, names: str, tmp_path: Path) -> None:
    tree = where(text)
    assert [name for name, each in DOCUMENTS.items() if matches(tree, each)] == names.split()
    mask = masks_of(list(DOCUMENTS.values()), tmp_path).mask(tree)
    assert mask is not None
    assert [name for name, lets in zip(DOCUMENTS, mask, strict=True) if lets] == names.split()


@pytest.mark.parametrize(
    ("pattern", "fits", "other"),
    [
        ("*", ["", "a\nb"], []),
        ("", [""], ["a"]),
        ("a*b", ["ab", "a-b", "abb"], ["abc", "cab", "a"]),
        ("*ab*ab*", ["abab", "xabxabx"], ["ab", "aba"]),
        ("a?c", ["abc", "a?c"], ["ac", "abbc"]),
        (r"a\*c", ["a*c"], ["abc"]),
        (r"a\\*", ["a\\", "a\\b"], ["a"]),
        ("[ab].(c)+", ["[ab].(c)+"], ["a.c"]),
        ("*?", ["a", "ab"], [""]),
        ("x*yy", ["xyyy", "xyy"], ["xy"]),
    ],
)
def test_globs(pattern: str, fits: list[str], other: list[str]) -> None:
    glob = OPERATORS["glob"](pattern)
    assert [text for text in fits + other if glob.holds(text)] == fits


def test_no_pattern_makes_a_glob_slow() -> None:
    def match() -> None:
        for pattern in ("*a" * 127 + "b", "*?a" * 80 + "b", "a*" * 127 + "b", "*" * 255 + "b", "*" + "?" * 250 + "b"):
            assert not OPERATORS["glob"](pattern).holds("a" * 100_000)

    assert least_cpu_s(match, enough=2) <= 2


def masks_of(metadata: Iterable[dict[str, Any]], folder: Path) -> MetadataFilter:
    with DocumentsWriter(folder) as writer:
        for row, each in enumerate(metadata):
            writer.add(Document(doc_id=str(row), text="", metadata=each))
    return MetadataFilter(Documents(folder))


@given(st.lists(metadata(), min_size=1, max_size=30), st.lists(filters(), min_size=1, max_size=5))
def test_masks_and_matches_agree_with_a_third_reading(
    tmp_path_factory: pytest.TempPathFactory, kept: list[dict[str, Any]], trees: list[Filter]
) -> None:
    """`passes` is written for this test and shares nothing with either."""
    masks = masks_of(kept, tmp_path_factory.mktemp("filters"))
    known = {key for each in kept for key in each}
    for tree in trees:
        expected = [passes(as_mapping(tree), each) for each in kept]
        assert [matches(tree, each) for each in kept] == expected
        if {condition.key for condition in conditions(tree)} <= known:
            mask = masks.mask(tree)
            assert mask is not None
            assert mask.tolist() == expected
        else:
            with pytest.raises(SpecError, match="no document has metadata"):
                masks.mask(tree)


@pytest.mark.parametrize("text", ["not colour = red", "not exists(colour)", "lang = de or colour > 3", "colour in ()"])
def test_an_unknown_key_is_an_error_wherever_it_stands(text: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no document has metadata 'colour'"):
        masks_of(DOCUMENTS.values(), tmp_path).mask(text)


# --- what is refused ---


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("", 1, "expected a metadata key, got the end"),
        ("  ", 3, "expected a metadata key, got the end"),
        ("lang", 5, "expected an operator, got the end. Known: ="),
        ("lang =", 7, "expected a value, got the end"),
        ("lang = de fr", 11, "expected 'and', 'or' or the end, got 'fr'. Text with blanks"),
        ("lang = and", 8, "expected a value, got 'and'. If 'and' is meant as text, put it in quotes"),
        ("or = 3", 1, "expected a metadata key, got 'or'. If 'or' is meant"),
        ("lang ~= de", 6, "no operator '~='. Did you mean"),
        ("lang contians de", 6, "no operator 'contians'. Known: "),
        ("year gtee 3", 6, "no operator 'gtee'. Did you mean 'gte'"),
        ("year >= soon", 9, "gte takes a number or an ISO date such as 2024-03-05, got 'soon'"),
        ("year >= true", 9, "gte takes a number or an ISO date such as 2024-03-05, got True"),
        ("day < 2024-02-30", 7, "lt takes a number or an ISO date"),
        ("path prefix 3", 13, "prefix takes text, got 3"),
        ("(lang = de", 11, "expected ')', got the end"),
        ("lang = de)", 10, "expected 'and', 'or' or the end, got ')'"),
        ("lang in de", 9, "expected '(', got 'de'"),
        ("lang in (de en)", 13, "expected ',', got 'en'"),
        ("lang in (de,)", 13, "expected a value, got ')'"),
        ("lang not de", 10, "expected 'in' after 'not', got 'de'. 'not' stands before a condition"),
        ("exists year", 8, "expected '(', got 'year'"),
        ("not", 4, "expected a metadata key, got the end"),
        ('lang = "de', 8, "this quote is never closed"),
        ("lang = de && n = 3", 11, "expected 'and', 'or' or the end, got '&&'"),
    ],
)
def test_a_mistake_in_the_text_is_shown_by_its_column(text: str, column: int, problem: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse_where(text)
    first, shown, mark = str(refused.value).split("\n")
    assert first.startswith(f"where, column {column}: {problem}")
    assert shown == f"  {text}"
    assert mark == " " * (column + 1) + "^"


def test_a_long_line_is_shown_around_its_mistake() -> None:
    with pytest.raises(SpecError) as refused:
        parse_where("a = 1 and " * 50 + "b \x1b[31m = 3")
    assert len(str(refused.value)) < 300
    assert "\x1b" not in str(refused.value).split("\n")[1]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"year": {"gtee": 3}}, "where.year: no operator 'gtee'. Did you mean 'gte'"),
        ({"year": {"$gt": 3}}, r"where.year: no operator '\$gt'. Did you mean 'gt'"),
        ({"year": {}}, "where.year: an object here holds operators, and this one is empty"),
        ({"or": [{"a": 1}, {"b": {"gt": "x"}}]}, r"where.or\[1\].b: gt takes a number"),
        ({"or": [{"a": 1}, "b = 2"]}, r"where.or\[1\]: takes a filter"),
        ({"or": [{"a": 1}, {}]}, r"where.or\[1\]: an empty filter lets everything through"),
        ({"not": {}}, "where.not: an empty filter lets everything through"),
        ({"year": [{"gte": 3}]}, "where.year: a list holds values, not objects"),
        ({"year": {"in": 3}}, "where.year: in takes a list of values, got 3"),
        ({"year": {"exists": "yes"}}, "where.year: exists takes true or false, got 'yes'"),
        ({"path": {"glob": "*" * 257}}, "where.path: glob takes patterns of at most 256 characters, got 257"),
        ({"day": {"gt": float("nan")}}, "where.day: gt takes a number"),
        ({3: 1}, "where: a key of a filter is text, got 3"),
        ([{"a": 1}], "where: takes a mapping, text or a filter, got a list"),
    ],
)
def test_a_mistake_in_the_data_is_shown_by_its_place(data: Any, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        parse_where(data)


def nested(data: dict[str, Any], depth: int) -> dict[str, Any]:
    for _ in range(depth):
        data = {"not": data}
    return data


@pytest.mark.parametrize(
    ("hostile", "problem"),
    [
        ("not " * 9 + "a = 1", "nested 8 deep"),
        ("(" * 9 + "a = 1" + ")" * 9, "nested 8 deep"),
        (nested({"a": 1}, 9), "nested 8 deep"),
        (" or ".join(["a = 1"] * 33), "at most 32 conditions"),
        ({str(number): 1 for number in range(33)}, "at most 32 conditions"),
        ({"or": [{"a": 1}] * 33}, "at most 32 conditions"),
        ({"or": [{"a": 1, "b": 1}] * 17}, "at most 32 conditions"),
        ({"a": list(range(257))}, "at most 256 values, got 257"),
        (f"a in ({','.join(['1'] * 257)})", "at most 256 values, got 257"),
        ({"k" * 201: 1}, "at most 200 characters, got 201"),
        ("k" * 201 + "= 1", "at most 200 characters, got 201"),
        ({"a": "x" * 10_001}, "at most 10,000 characters, got 10,001"),
        (" " * 10_001, "at most 10,000 characters, got 10,001"),
    ],
)
def test_a_request_is_bounded(hostile: Any, problem: str) -> None:
    with pytest.raises(SpecError, match=problem) as refused:
        parse_where(hostile, limits=REQUEST)
    assert len(str(refused.value)) < 400


def test_a_program_may_have_long_lists_and_no_depth_without_end() -> None:
    assert matches(where({"n": list(range(100_000))}), {"n": 99_999})
    for hostile in (nested({"a": 1}, 5000), "not " * 5000 + "a = 1", "(" * 5000):
        with pytest.raises(SpecError, match="nested 32 deep"):
            parse_where(hostile)


@given(st.text(st.sampled_from("ab=!<>~^()'\"\\, \n0123é*") | st.characters(), max_size=40))
def test_any_text_is_a_filter_or_a_mistake_that_is_explained(text: str) -> None:
    try:
        tree = parse_where(text, limits=REQUEST)
    except SpecError as error:
        explained = str(error)
    else:
        explained = "where, column "
        assert tree is not None
        assert where(as_mapping(tree)) == tree
    assert explained.startswith("where, column ")


# --- what can be added ---


@dataclass(frozen=True)
class Contains(Operator):
    """Text that has this text in it."""

    name: ClassVar[str] = "contains"
    symbol: ClassVar[str] = "<>"

    value: str

    def holds(self, value: Any) -> bool:
        return isinstance(value, str) and self.value in value


def test_an_operator_is_one_class_and_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(OPERATORS, Contains.name, Contains)

    tree = where({"path": {"contains": "ocs/a"}})
    assert tree == where("path contains 'ocs/a'") == where("path <> ocs/a")
    assert as_mapping(tree) == {"path": {"contains": "ocs/a"}}
    assert [name for name, each in DOCUMENTS.items() if matches(tree, each)] == ["plain", "texts"]
    mask = masks_of(DOCUMENTS.values(), tmp_path).mask(tree)
    assert mask is not None
    assert mask.nonzero()[0].tolist() == [0, 2]


def test_the_code_of_the_guide_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    docs = Path(__file__).parents[2] / "docs"
    text = "".join((docs / page).read_text(encoding="utf-8") for page in ("filters.md", "reference/filters.md"))
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 2
    monkeypatch.setitem(OPERATORS, "contains", Contains)  # and takes back what the guide puts there
    for example in examples:
        exec(compile(example, "filters.md", "exec", dont_inherit=True), {"__name__": "guide"})


def sql(tree: Filter) -> str:
    """A filter in another language."""
    signs = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

    def literal(value: Any) -> str:
        return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else json.dumps(value)

    def condition(node: Condition) -> str:
        name, value = node.operator.name, node.operator.value
        if name == "exists":
            return f"{node.key} IS NOT NULL"
        if name == "in":
            return f"{node.key} IN ({', '.join(map(literal, value))})"
        if name == "prefix":
            return f"{node.key} LIKE {literal(value + '%')}"
        if name == "glob":
            return f"{node.key} LIKE {literal(value.replace('*', '%').replace('?', '_'))}"
        return f"{node.key} {signs[name]} {literal(value)}"

    def joined(word: str) -> Any:
        return lambda parts: f"({f' {word} '.join(parts)})"

    return fold(
        tree, condition=condition, all_of=joined("AND"), any_of=joined("OR"), negation=lambda part: f"NOT {part}"
    )


def test_a_filter_can_be_rendered_into_another_language() -> None:
    assert sql(where("name = O\\'Neil or lang in (de, 3)".replace("O\\'Neil", '"O\'Neil"'))) == (
        "(name = 'O''Neil' OR lang IN ('de', 3))"
    )
    assert sql(where("lang = de and not (year >= 2020 or not exists(year)) and path ~ 'docs/*.m?'")) == (
        "(lang = 'de' AND NOT (year >= 2020 OR NOT year IS NOT NULL) AND path LIKE 'docs/%.m_')"
    )


def test_parts_are_asked_for_one_by_one() -> None:
    seen: list[str] = []

    def holds(node: Condition) -> bool:
        seen.append(node.key)
        return node.key == "a"

    fold(where("a = 1 or b = 2"), condition=holds, all_of=all, any_of=any, negation=lambda part: not part)
    assert seen == ["a"]


# --- identity ---


def old_key(query: Query, filter_: dict[str, Any] | None) -> str:
    return sha256_of([query.qid, query.text, dict(filter_) if filter_ else None, [], "graph", "index"])


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(st.dictionaries(st.sampled_from(["lang", "or", "not", "and"]) | st.text(), SCALARS | st.lists(SCALARS)))
def test_the_key_of_a_question_with_a_plain_filter_is_what_it_was(plain: dict[str, Any]) -> None:
    query = Query(qid="1", text="x", where=plain)
    if any(key.startswith('"') for key in plain):
        return
    assert question_key(query, graph="graph", index="index") == old_key(query, plain)


def test_the_key_of_a_question_goes_by_what_the_filter_says() -> None:
    def key(where: Any) -> str:
        return question_key(Query(qid="1", text="x", where=where), graph="graph", index="index")

    assert key("lang = de") == key({"lang": "de"}) == key(where("lang = 'de'"))
    assert len({key(None), key("n = 1"), key("n = true"), key("n >= 1"), key("not n = 1"), key("n in (1)")}) == 6


def test_conditions_come_from_left_to_right() -> None:
    tree = where("a = 1 and (not b = 2 or c = 3) and a = 4")
    assert [condition.key for condition in conditions(tree)] == ["a", "b", "c", "a"]
