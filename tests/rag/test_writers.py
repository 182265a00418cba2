"""Somebody writes what they may read and nothing else, and is told what an index of only that would tell them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.core.access import Access, Asker, may_read, read_access, read_asker
from rag.core.errors import IndexProblem, RagError, SpecError
from rag.indexing import IndexReport, add_documents, build_index, remove_documents, update_documents
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from tests.rag.labels import GROUPS, USERS, askers, labels, reads

ANN = Asker(user="ann", tenant="north", groups=("finance",))
OF_ANN: Mapping[str, Any] = {"tenant": "north", "owner": "ann"}
OF_BOB: Mapping[str, Any] = {"tenant": "north", "owner": "bob"}
PUBLIC: Mapping[str, Any] = {"public": True}
BY_METADATA = IndexSettings.model_validate({"reading": {"access": "acl"}})
IDS = tuple("abcde")

Kept = dict[str, tuple[str, dict[str, Any], Access | None]]


def built(place: Path, label_of: Mapping[str, Any]) -> Path:
    place.mkdir()
    records = [
        {"_id": doc_id, "text": f"paid leave {doc_id}", "n": IDS.index(doc_id) % 2, f"key_{doc_id}": 1, "acl": label}
        for doc_id, label in label_of.items()
    ]
    (place / "corpus.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    build_index(place / "corpus.jsonl", place / "index", legs=("lexical",), settings=BY_METADATA)
    return place / "index"


def kept(place: Path) -> Kept:
    """All that an index holds: text, metadata and label by id."""
    with LocalIndex.open(place) as index:
        assert index.access is not None
        codes = index.access.codes.tolist()
        return {
            document.doc_id: (document.text, {**document.metadata}, index.access.labels[code].access)
            for document, code in zip(index.documents, codes, strict=True)
        }


def tried(place: Path, change: Mapping[str, Any], asker: Asker) -> tuple[Any, tuple[str, ...]]:
    """What somebody is told of a change, without names that are made by chance; and these."""
    try:
        report = _changed(place, asker, **change)
    except RagError as error:
        return f"{type(error).__name__}: {error}".replace(str(place), "INDEX"), ()
    told = {name: value for name, value in vars(report).items() if name not in ("path", "ids")}
    return {**told, "n_ids": len(report.ids)}, report.ids


def _changed(place: Path, asker: Asker, *, do: str, **what: Any) -> IndexReport:
    if do == "remove":
        return remove_documents(place, asker=asker, **what)
    return (add_documents if do == "add" else update_documents)(what["documents"], place, asker=asker)


def as_given(contents: Kept, ids: Sequence[str]) -> Kept:
    """With documents that came under names of chance under their numbers."""
    return {f"new-{ids.index(doc_id)}" if doc_id in ids else doc_id: each for doc_id, each in contents.items()}


some_ids = st.lists(st.sampled_from([*IDS, "nowhere"]), min_size=1, max_size=3, unique=True)
texts = st.fixed_dictionaries({"text": st.just("other words")}, optional={"acl": labels | st.none(), "n": st.just(7)})
changes = st.one_of(
    st.fixed_dictionaries({"do": st.just("add"), "documents": st.lists(texts, min_size=1, max_size=2)}),
    st.fixed_dictionaries(
        {
            "do": st.just("add"),
            "documents": some_ids.map(lambda ids: [{"id": doc_id, "text": "other words"} for doc_id in ids]),
        }
    ),
    st.fixed_dictionaries(
        {
            "do": st.just("update"),
            "documents": st.tuples(some_ids, texts).map(lambda pair: [{"id": doc_id, **pair[1]} for doc_id in pair[0]]),
        }
    ),
    st.fixed_dictionaries({"do": st.just("remove"), "ids": some_ids}),
    st.fixed_dictionaries(
        {
            "do": st.just("remove"),
            "where": st.sampled_from(["n = 1", "n = 5", "nothing = 1", *(f"key_{each} = 1" for each in IDS)]),
        }
    ),
)


@settings(max_examples=40)
@given(acls=st.lists(labels, min_size=5, max_size=5), who=askers, change=changes)
def test_a_change_is_that_of_an_index_of_what_its_writer_may_read_and_leaves_the_rest(
    tmp_path_factory: pytest.TempPathFactory, acls: list[dict[str, Any]], who: dict[str, Any], change: dict[str, Any]
) -> None:
    folder, label_of, asker = tmp_path_factory.mktemp("w"), dict(zip(IDS, acls, strict=True)), read_asker(who)
    readable = {doc_id: label for doc_id, label in label_of.items() if reads(who, label)}
    everything = built(folder / "all", label_of)
    before = kept(everything)
    told, ids = tried(everything, change, asker)
    after = kept(everything)
    hidden = {doc_id: each for doc_id, each in before.items() if doc_id not in readable}
    assert {doc_id: after.get(doc_id) for doc_id in hidden} == hidden
    seen = {doc_id: each for doc_id, each in after.items() if doc_id not in hidden}
    assert all(access is not None and may_read(asker, access) for _, _, access in seen.values())
    if isinstance(told, str):
        assert after == before
    if readable:
        alone = built(folder / "alone", readable)
        told_alone, ids_alone = tried(alone, change, asker)
        assert told == told_alone
        assert as_given(seen, ids) == as_given(kept(alone), ids_alone)


@settings(max_examples=20)
@given(label=labels, who=askers)
def test_a_label_that_somebody_gives_has_no_reader_for_whom_they_do_not_stand(
    tmp_path_factory: pytest.TempPathFactory, label: dict[str, Any], who: dict[str, Any]
) -> None:
    place = built(tmp_path_factory.mktemp("w") / "i", {"a": OF_BOB})
    try:
        [doc_id] = add_documents([{"text": "x", "acl": label}], place, asker=read_asker(who)).ids
    except SpecError:
        return
    assert kept(place)[doc_id][2] == read_access(label)
    mine = {name for name in who.get("groups", []) if name}
    strangers = [
        {"user": user, "tenant": tenant, "groups": sorted({*GROUPS} - mine)}
        for user in USERS
        if not user or user != who.get("user")
        for tenant in ("north", "south")
    ]
    assert reads(who, label)
    assert not any(reads(stranger, label) for stranger in strangers)


@pytest.mark.parametrize(
    ("label", "why"),
    [
        (PUBLIC, "it would be public"),
        (OF_BOB, "'bob' is somebody else"),
        ({**OF_ANN, "users": ["bob"]}, "'bob' is somebody else"),
        ({**OF_ANN, "groups": ["kernel"]}, "not in the group 'kernel'"),
        ({**OF_ANN, "tenant": "south"}, "its writer could not read it"),
        ({**OF_ANN, "deny_users": ["ann"]}, "its writer could not read it"),
        ({**OF_ANN, "deny_groups": ["x"]}, "a field 'deny_groups'"),
        ("public", "no object but str"),
    ],
)
@pytest.mark.parametrize("update", [False, True])
def test_a_label_that_its_writer_may_not_give_is_refused_and_says_why(
    tmp_path: Path, label: Any, why: str, update: bool
) -> None:
    place = built(tmp_path / "w", {"a": OF_ANN, "b": OF_BOB})
    before, given_ = kept(place), [{"text": "x", "acl": label} | ({"id": "a"} if update else {})]
    with pytest.raises(SpecError, match=f"document 1: 'acl' .*{why}.*Nothing was changed"):
        (update_documents if update else add_documents)(given_, place, asker=ANN)
    assert kept(place) == before


def test_what_comes_without_a_label_is_its_writers_own_and_what_is_put_in_a_place_keeps_its_label(
    tmp_path: Path,
) -> None:
    place = built(tmp_path / "w", {"a": PUBLIC, "b": {**OF_BOB, "groups": ["finance"]}, "c": OF_BOB})
    [mine] = add_documents("a text alone", place, asker=ANN).ids
    [ours] = add_documents("another", place, asker=Asker(tenant="north", groups=("finance",))).ids
    update_documents([{"id": "a", "text": "x"}, {"id": "b", "text": "y"}], place, asker=ANN)
    read = {doc_id: access for doc_id, (_, _, access) in kept(place).items()}
    assert read[mine] == Access(tenant="north", owner="ann")
    assert read[ours] == Access(tenant="north", groups=("finance",))
    assert (read["a"], read["b"]) == (Access(public=True), read_access({**OF_BOB, "groups": ["finance"]}))
    narrower = [{"id": "b", "text": "y", "acl": {"tenant": "north", "groups": ["finance"]}}]
    update_documents(narrower, place, asker=ANN)
    assert kept(place)["b"][2] == Access(tenant="north", groups=("finance",))


@pytest.mark.parametrize("who", [Asker(), Asker(user="ann"), Asker(tenant="north")])
def test_who_could_not_read_it_adds_nothing(tmp_path: Path, who: Asker) -> None:
    place = built(tmp_path / "w", {"a": PUBLIC})
    with pytest.raises(SpecError, match="nobody could read it"):
        add_documents("x", place, asker=who)


def test_a_label_from_a_file_is_of_whoever_keeps_the_index(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "a", "text": "x"}\n{"_id": "b", "text": "y"}\n')
    (tmp_path / "labels").write_text(json.dumps({"_id": "a", **OF_ANN, "groups": ["finance"]}) + "\n")
    place = tmp_path / "i"
    build_index(tmp_path / "corpus.jsonl", place, legs=("lexical",), labels=tmp_path / "labels")
    before = kept(place)["a"][2]
    with pytest.raises(SpecError, match="in a file of labels"):
        update_documents([{"id": "a", "text": "z", "access": OF_ANN}], place, asker=ANN)
    update_documents([{"id": "a", "text": "z"}], place, asker=ANN)
    [new] = add_documents("mine", place, asker=ANN).ids
    after = kept(place)
    assert (after["a"][0], after["a"][2], after[new][2]) == ("z", before, read_access(OF_ANN))
    with pytest.raises(IndexProblem, match="no document 'b'"):
        remove_documents(place, ids=["b"], asker=ANN)


def test_who_keeps_the_index_and_an_index_without_labels_know_no_bounds(tmp_path: Path) -> None:
    place = built(tmp_path / "w", {"a": OF_BOB, "b": OF_BOB})
    report = add_documents([{"id": "new", "text": "x", "acl": PUBLIC}], place)
    assert (report.n_documents, report.ids) == (3, ("new",))
    update_documents([{"id": "a", "text": "x", "acl": PUBLIC}], place)
    assert kept(place)["a"][2] == Access(public=True)
    add_documents([{"id": "a", "text": "x"}], tmp_path / "open", legs=("lexical",))
    assert add_documents([{"id": "b", "text": "x"}], tmp_path / "open", asker=ANN).n_documents == 2
    assert remove_documents(tmp_path / "open", ids=["a"], asker=ANN).n_documents == 1


def test_no_field_becomes_a_label_by_being_renamed(tmp_path: Path) -> None:
    """Ingestion puts `_` behind a field of a name that it needs itself."""
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"_id": "a", "text": "x", "page_": PUBLIC}) + "\n")
    place = tmp_path / "i"
    sections = IndexSettings.model_validate({"reading": {"access": "page_"}})
    build_index(tmp_path / "corpus.jsonl", place, legs=("lexical",), settings=sections)
    add_documents([{"text": "y", "page": PUBLIC}], place, asker=ANN)
    update_documents([{"id": "a", "text": "z", "page": OF_BOB}], place, asker=ANN)
    assert {access for _, _, access in kept(place).values()} == {read_access(OF_ANN), Access(public=True)}
