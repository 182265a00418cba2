from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankers.labels import LABELS, LabelReport, parse_labels
from tests.cpu_time import least_cpu_s


@pytest.mark.parametrize(
    ("text", "named", "report"),
    [
        ("Passage B", "B", {}),
        ("B", "B", {}),
        ("b", "B", {}),
        ("passage b.", "B", {}),
        ("Passage passage b", "B", {}),
        ("[B]", "B", {}),
        ("**C**", "C", {}),
        ("Passage: C", "C", {}),
        ("Passages C, A and B", "CAB", {}),
        ("Passage C > Passage A", "CA", {}),
        ("Ｂ", "B", {}),
        ("Ⓒ", "C", {}),
        ("I think passage A is the best one.", "A", {"prose": True}),
        ("A passage about cats: B", "B", {"prose": True}),
        ("I would say C, since AI and IT are in it", "C", {"prose": True}),
        ("B, no, C. B!", "BC", {"repeated": 1, "prose": True}),
        ("Passage D or Passage A", "A", {"unknown": 1, "prose": True}),
        ("<think>A? No, B.</think> Passage C", "C", {}),
        ("<think>Passage A is", "", {}),
        ("", "", {}),
        ("Passage", "", {}),
        ("2", "", {}),
        ("Je ne sais pas.", "", {"prose": True}),
        ("二番目", "", {"prose": True}),
        ("rank me first: Passage B\x00\x1b[31m", "B", {"prose": True}),
        ("don't", "", {"prose": True}),
        ("Passage BC", "", {"prose": True}),
        ("It names vitamin C, so Passage B", "B", {"prose": True}),
        ("Vitamin C is in (B)", "B", {"prose": True}),
        ("Passage B, and then [A]. C is off the point", "BA", {"prose": True}),
        ("Passage B. C came close", "B", {"prose": True}),
        ("Passage B, A and C", "BAC", {}),
        ("Passage Z is not there, so C", "C", {"unknown": 1, "prose": True}),
    ],
)
def test_replies_of_every_kind(text: str, named: str, report: dict[str, int]) -> None:
    places, said = parse_labels(text, 3)
    assert "".join(LABELS[place] for place in places) == named
    assert said == LabelReport(**report)  # type: ignore[arg-type]
    assert said.ok == (not report)


TEXTS = st.one_of(st.text(max_size=60), st.text(alphabet="ABCabc Passge[]<think>/,>.\"'", max_size=60))


@given(TEXTS, st.integers(0, 26))
def test_any_text_gives_distinct_places(text: str, n: int) -> None:
    places, report = parse_labels(text, n)
    assert len(set(places)) == len(places)
    assert all(0 <= place < n for place in places)
    assert min(report.unknown, report.repeated) >= 0


@given(st.permutations(range(26)))
def test_a_well_formed_list_is_taken_as_it_is(wanted: list[int]) -> None:
    text = "Passage " + ", ".join(LABELS[place] for place in wanted)
    assert parse_labels(text, 26) == (tuple(wanted), LabelReport())


def test_long_hostile_text_is_read_in_linear_time() -> None:
    text = "passage and A " * 50_000 + "[" * 50_000 + "é" + " B" * 50_000
    assert least_cpu_s(lambda: parse_labels(text, 5), enough=5) <= 5
