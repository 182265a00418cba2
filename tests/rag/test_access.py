"""Who asks, labels, and the rule; and who asks as a part of a filter."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.core.access import NOBODY, Access, Asker, asker_given, asker_of_text, may_read, read_access, read_asker
from rag.core.errors import IndexProblem, SpecError
from rag.core.filters import AllOf, AnyOf, Not, ReadableBy, asked_by, both, parse_where, parted, scope_of
from retrievers.index.access import CODES, LABELS, AccessTable, Label
from tests.rag.labels import askers, labels, reads

ANN = Asker(user="ann", tenant="north")


@settings(max_examples=300)
@given(asker=askers, marks=st.lists(labels, min_size=1, max_size=8))
def test_one_label_and_all_at_once_give_what_the_rule_says(asker: dict[str, Any], marks: list[dict[str, Any]]) -> None:
    expected = [reads(asker, mark) for mark in marks]
    who, read = read_asker(asker), [read_access(mark) for mark in marks]
    assert [may_read(who, access) for access in read] == expected
    table = AccessTable.of([Label(access=access) for access in read], range(len(read)))
    assert table.readable(who).rows.tolist() == expected


def test_a_label_that_nobody_has_lets_nobody_in() -> None:
    assert not may_read(ANN, Access())
    assert not may_read(Asker(user="", tenant=""), Access(tenant="", owner=""))
    assert not AccessTable.of([Label(), Label(access=Access())], [0, 1, 0]).readable(ANN).rows.any()


def test_a_denial_beats_owning_and_publicity_and_also_binds_who_gives_no_name() -> None:
    label = Access(public=True, owner="ann", tenant="north", deny_users=("ann",))
    assert not may_read(ANN, label)
    assert not may_read(NOBODY, label)
    assert may_read(Asker(user="bob"), label)


@pytest.mark.parametrize(
    ("label", "why"),
    [
        (None, "no object but NoneType"),
        ("public", "no object but str"),
        ([], "no object but list"),
        ({"public": "yes"}, "public is true or false"),
        ({"public": 1}, "public is true or false"),
        ({"public": True, "deny_groups": ["finance"]}, "a field 'deny_groups'"),
        ({"tenant": 3}, "tenant is a text"),
        ({"groups": "finance"}, "groups is a list"),
        ({"users": ["ann", 3]}, "users is a list"),
        ({"public": True, "deny_users": {"ann": True}}, "deny_users is a list"),
    ],
)
def test_a_label_of_wrong_types_is_refused_and_says_why(label: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_access(label)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ([], "an object with user, tenant and groups, not list"),
        ({"user": 3}, "user is a text"),
        ({"user": "a\nb"}, "printable"),
        ({"user": "\u202eann"}, "printable"),
        ({"user": "a" * 201}, "at most 200"),
        ({"groups": "finance"}, "list of names, not str"),
        ({"groups": [["finance"]]}, "a group is a text|unhashable"),
        ({"groups": ["g"] * 1001}, "at most 1,000 groups"),
        ({"name": "ann"}, "no field 'name'"),
    ],
)
def test_an_asker_that_is_none_is_refused(data: Any, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        read_asker(data)


def test_an_asker_comes_as_json_or_as_a_file(tmp_path: Path) -> None:
    text = json.dumps({"user": "ann", "tenant": "north", "groups": ["b", "a", "a"]})
    (tmp_path / "ann.json").write_text("\ufeff" + text, encoding="utf-8")
    wanted = Asker(user="ann", tenant="north", groups=("a", "b"))
    assert asker_given(text, place="--as") == asker_given(str(tmp_path / "ann.json"), place="--as") == wanted
    assert read_asker(wanted.as_dict()) == wanted
    for given_ in ("nowhere.json", "{", "[" * 100_000, str(tmp_path)):
        with pytest.raises(SpecError, match="--as"):
            asker_given(given_, place="--as")
    with pytest.raises(SpecError, match="not JSON"):
        asker_of_text("[" * 100_000)


def test_who_asks_stands_beside_a_filter_and_is_taken_out_again() -> None:
    where = parse_where("year >= 2020 or lang = de")
    tree = both(asked_by(ANN, where), "kind = note")
    assert parted(tree).askers == (ANN,)
    assert parted(tree).where == both(where, "kind = note")
    assert scope_of(tree) == ReadableBy(ANN)
    assert parted(both(tree, ReadableBy(Asker(user="bob")))).askers == (ANN, Asker(user="bob"))
    assert parted(None).askers == ()
    assert scope_of(where) is None


@pytest.mark.parametrize(
    "tree", [Not(ReadableBy(ANN)), AnyOf((ReadableBy(ANN), parse_where("a = 1"))), Not(AllOf((ReadableBy(ANN),)))]
)
def test_who_asks_cannot_stand_under_or_and_not(tree: Any) -> None:
    with pytest.raises(SpecError, match="cannot stand under"):
        parted(tree)


def test_no_request_can_say_who_asks_in_its_filter() -> None:
    for said in ({"ReadableBy": "ann"}, {"access": {"readable_by": "ann"}}, "access readable_by ann"):
        try:
            tree = parse_where(said)
        except SpecError:
            continue
        assert parted(tree).askers == ()


_hostile = st.text(st.characters(), max_size=8) | st.sampled_from(["a\u2028b", "\ud800", 'q"\n', "../x", "\x00"])


@given(names=st.lists(_hostile, min_size=4, max_size=4))
def test_labels_of_any_text_are_written_and_read_again(names: list[str]) -> None:
    tenant, owner, *users = names
    labels = [Label(access=read_access({"tenant": tenant, "owner": owner, "users": users}), given=True), Label()]
    table = AccessTable.of(labels, [0, 1, 0])
    with TemporaryDirectory() as folder:
        table.write(Path(folder))
        assert AccessTable.read(Path(folder) / LABELS, Path(folder) / CODES).same_as(table)


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        ("nonsense\n", [0]),
        ('{"access": {}}\n', [0]),
        ('{"access": 3, "given": false}\n', [0]),
        ("", [0]),
        ("null\n", [0]),
    ],
)
def test_files_that_are_no_labels_are_damage(tmp_path: Path, lines: str, codes: list[int]) -> None:
    (tmp_path / LABELS).write_text(lines)
    np.save(tmp_path / CODES, np.array(codes, dtype=np.int32))
    with pytest.raises(IndexProblem, match="Build the index again"):
        AccessTable.read(tmp_path / LABELS, tmp_path / CODES)


def test_those_who_asked_last_are_kept_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrievers.index.access.KEPT_BYTES", 30)
    table = AccessTable.of([Label(access=Access(public=True))], [0] * 10)
    masks = [table.readable(Asker(user=f"u{n}")) for n in range(5)]
    assert table.readable(Asker(user="u4")) is masks[4]
    assert table.readable(Asker(user="u0")) is not masks[0]
    with pytest.raises(ValueError, match="read-only"):
        masks[0].rows[0] = False
