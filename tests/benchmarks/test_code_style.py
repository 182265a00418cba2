from __future__ import annotations

import ast
import random
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.code_style import (
    Tree,
    code_style,
    code_style_similarity,
    edit_similarity,
    name_idf,
    tree_distance,
)

PROGRAM = "def total(rows):\n    count = len(rows)\n    return sum(rows) / count\n"

Nested = tuple[str, tuple["Nested", ...]]


def test_a_program_is_like_itself_and_less_like_others() -> None:
    assert code_style_similarity(PROGRAM, PROGRAM) == 1.0
    renamed = PROGRAM.replace("rows", "items")
    other = "for x in y:\n    print(x)\n"
    near, far = code_style_similarity(PROGRAM, renamed), code_style_similarity(PROGRAM, other)
    assert near is not None
    assert far is not None
    assert 1.0 > near > far > 0.0
    assert code_style_similarity(renamed, PROGRAM) == pytest.approx(near)


def test_what_is_compared_by_hand() -> None:
    # Variables: rows and row share 3 of 4 letters. Calls: the same. Trees: six nodes, and one leaf more.
    similarity = code_style_similarity("rows = f(1)", "row = f(1, 2)")
    assert code_style("rows = f(1)").tree.labels == ("Name", "Name", "Constant", "Call", "Assign", "Module")  # type: ignore[union-attr]
    assert similarity == pytest.approx((3 / 4 + 1 + (1 - 1 / 7)) / 3)


def test_rare_names_count_more() -> None:
    idf = name_idf(["i = 1", "i = 2", "i = 3; needle = 4", "not python ("])
    assert idf == pytest.approx({"i": 0.0, "needle": 1.0986123})
    plain = code_style_similarity("i = 1\nneedle = 2", "i = 1\nxxxxxx = 2")
    weighted = code_style_similarity("i = 1\nneedle = 2", "i = 1\nxxxxxx = 2", idf=idf)
    assert plain is not None
    assert weighted is not None
    assert weighted < plain


@pytest.mark.parametrize("text", ["def (", "not python (", "\x00", "(" * 5000, "class A { int x; }"])
def test_what_is_no_python_has_no_style(text: str) -> None:
    assert code_style_similarity(PROGRAM, text) is None
    assert code_style_similarity(text, PROGRAM) is None


def test_programs_without_names_or_without_anything_are_compared() -> None:
    assert code_style_similarity("1", "1") == 1.0
    assert code_style_similarity("", "") == 1.0
    assert code_style_similarity("", PROGRAM) == pytest.approx((0 + 0 + 1 / len(list(_nodes(PROGRAM)))) / 3)


def test_doubtful_escapes_are_no_errors() -> None:
    assert code_style_similarity("x = '\\d'", "x = '\\d'") == 1.0


def test_edit_similarity_by_hand() -> None:
    assert edit_similarity("kitten", "sitting") == pytest.approx(1 - 3 / 7)
    assert edit_similarity("", "") == 1.0
    assert edit_similarity("", "abc") == 0.0


def test_the_tree_distance_of_zhang_and_shashas_example() -> None:
    one: Nested = ("f", (("d", (("a", ()), ("c", (("b", ()),)))), ("e", ())))
    other: Nested = ("f", (("c", (("d", (("a", ()), ("b", ()))),)), ("e", ())))
    assert tree_distance(_tree(one), _tree(other)) == 2


@given(st.integers(0, 10_000))
def test_the_tree_distance_is_that_of_the_plain_recursion(seed: int) -> None:
    chance = random.Random(seed)
    one, other = _random(chance, 3), _random(chance, 3)
    assert tree_distance(_tree(one), _tree(other)) == _forest_distance((one,), (other,))


def _nodes(program: str) -> list[ast.AST]:
    return [node for node in ast.walk(ast.parse(program)) if not isinstance(node, ast.expr_context)]


def _random(chance: random.Random, depth: int) -> Nested:
    below = tuple(_random(chance, depth - 1) for _ in range(chance.randint(0, 2) if depth else 0))
    return chance.choice("ab"), below


def _tree(nested: Nested) -> Tree:
    labels: list[str] = []
    leftmost: list[int] = []

    def visit(node: Nested) -> None:
        first = len(labels)
        for child in node[1]:
            visit(child)
        labels.append(node[0])
        leftmost.append(first)

    visit(nested)
    return Tree(labels=tuple(labels), leftmost=tuple(leftmost))


@cache
def _forest_distance(one: tuple[Nested, ...], other: tuple[Nested, ...]) -> int:
    """The definition: take away the rightmost root of either forest, or match both."""
    if not one and not other:
        return 0
    if not one:
        return _forest_distance((), (*other[:-1], *other[-1][1])) + 1
    if not other:
        return _forest_distance((*one[:-1], *one[-1][1]), ()) + 1
    (label, below), (its_label, its_below) = one[-1], other[-1]
    return min(
        _forest_distance((*one[:-1], *below), other) + 1,
        _forest_distance(one, (*other[:-1], *its_below)) + 1,
        _forest_distance(one[:-1], other[:-1]) + _forest_distance(below, its_below) + (label != its_label),
    )
