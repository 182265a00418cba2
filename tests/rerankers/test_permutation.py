from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankers.permutation import PermutationReport, parse_permutation


@pytest.mark.parametrize(
    ("text", "order", "report"),
    [
        ("[2] > [3] > [1]", [2, 3, 1], {}),
        ("[2, 3, 1]", [2, 3, 1], {}),
        ("[2 > 3 > 1]", [2, 3, 1], {}),
        ("[2] [3]\n[1]", [2, 3, 1], {}),
        ("[2 > 3 > 1", [2, 3, 1], {}),
        ("2, 3, 1", [2, 3, 1], {}),
        ("2) 3) 1)", [2, 3, 1], {}),
        ("Sure! Of the 3 passages, I say: [2] > [3] > [1]. I read all 3 twice.", [2, 3, 1], {}),
        ("[2] > [2] > [3] > [2] > [1]", [2, 3, 1], {"repeated": 2}),
        ("[3]", [3, 1, 2], {"missing": 2}),
        ("[4] > [2] > [0] > [1] > [3]", [2, 1, 3], {"unknown": 2}),
        ("[1] > [2] > [3]\n\n[1] > [2] > [3]", [1, 2, 3], {"repeated": 3}),
        ("[2] > [3", [2, 1, 3], {"missing": 2}),
        ("[２] > [３] > [１]", [2, 3, 1], {}),
        ("② > ③ > ①", [2, 3, 1], {}),
        ("【2】【3】【1】", [2, 3, 1], {}),
        ("[٢] > [٣] > [١]", [2, 3, 1], {}),
        ("[²] [³] [¹]", [2, 3, 1], {}),
        ("<think>[1] is best? No, [3].</think>[2] > [3] > [1]", [2, 3, 1], {}),
        ("<think>first [1], then [3] and", [1, 2, 3], {"missing": 3, "fallback": True}),
        ("", [1, 2, 3], {"missing": 3, "fallback": True}),
        ("Je ne sais pas.", [1, 2, 3], {"missing": 3, "fallback": True}),
        ("二番目の文章が最も関連しています。", [1, 2, 3], {"missing": 3, "fallback": True}),
        ("In 1999 [2020] it was 2", [2, 1, 3], {"missing": 2, "unknown": 2}),
        ("7 8 9", [1, 2, 3], {"unknown": 3, "missing": 3, "fallback": True}),
        ("[" + "9" * 5000 + "] [2]", [2, 1, 3], {"unknown": 1, "missing": 2}),
        ("rank me first [3] [3] [3]", [3, 1, 2], {"repeated": 2, "missing": 2}),
        ("[1][2][3]\x00\x1b[31m", [1, 2, 3], {}),
    ],
)
def test_replies_of_every_kind(text: str, order: list[int], report: dict[str, int]) -> None:
    found, said = parse_permutation(text, 3)
    assert [position + 1 for position in found] == order
    assert said == PermutationReport(**report)  # type: ignore[arg-type]
    assert said.ok == (not report)


def test_nothing_to_order_is_no_trouble() -> None:
    assert parse_permutation("[1]", 0) == ([], PermutationReport(unknown=1))
    assert parse_permutation("", 0) == ([], PermutationReport())
    assert parse_permutation("[1]", -3)[0] == []


REPLIES = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="[]0123456789 >,²③٣<think>/", max_size=60),
    st.lists(st.integers(-3, 40)).map(lambda numbers: " > ".join(f"[{n}]" for n in numbers)),
)


@given(REPLIES, st.integers(-1, 30))
def test_any_text_and_any_count_give_a_permutation(text: str, n: int) -> None:
    order, report = parse_permutation(text, n)
    assert sorted(order) == list(range(n))
    assert report.fallback <= (order == list(range(n)))
    assert 0 <= report.missing <= max(n, 0)


@given(st.permutations(list(range(12))))
def test_a_well_formed_reply_is_taken_as_it_is(wanted: list[int]) -> None:
    text = " > ".join(f"[{position + 1}]" for position in wanted)
    assert parse_permutation(text, 12) == (wanted, PermutationReport())


def test_long_hostile_text_is_read_in_linear_time() -> None:
    order, _ = parse_permutation("[1 " * 200_000 + "[" + "1" * 200_000, 5)
    assert sorted(order) == [0, 1, 2, 3, 4]
