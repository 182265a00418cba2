"""Filters over metadata mean on a server what they mean in plain Python, whatever is in documents and questions."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from plugins.servers.tests.conftest import Addresses
from rag.errors import SpecError
from rag.filters import Filter, matches, parse_where
from ragline_servers import fields
from ragline_servers.address import ServerAddress
from ragline_servers.fields import SPANS, WORDS, Keys
from ragline_servers.store import CollectionStore, Form, Point, connect
from tests.rag.random_filters import filters, random_metadata

KEYS = ("a", "b", 'c"] == 1 or row >= 0 or meta["')
N = 60


@pytest.fixture(scope="module")
def kept() -> list[dict[str, Any]]:
    source = random.Random(1)
    return [random_metadata(source, KEYS) for _ in range(N)]


@pytest.fixture(scope="module")
def filled(addresses: Addresses, kept: list[dict[str, Any]]) -> Iterator[tuple[CollectionStore, Keys]]:
    store = connect(ServerAddress.parse(addresses("filled")), create=True)
    keys = Keys.read(Keys.of(kept).written())
    store.create("filled", Form(fields={WORDS: "words", SPANS: "numbers"}, dense={"v": 2}))
    vector = {"v": np.ones(2, np.float32)}
    store.put(
        "filled",
        [Point(id=row, fields=keys.fields(each, doc_id=str(row)), dense=vector) for row, each in enumerate(kept)],
    )
    store.finish("filled")
    yield store, keys
    store.close()


@settings(max_examples=150)
@given(tree=filters(KEYS))
def test_a_server_finds_what_the_filter_means(
    filled: tuple[CollectionStore, Keys], kept: list[Mapping[str, Any]], tree: Filter
) -> None:
    store, keys = filled
    found = [record.id for record in store.find("filled", keys.filter(tree))]
    assert found == [row for row, each in enumerate(kept) if matches(tree, each)]


def test_an_unknown_key_is_named() -> None:
    keys = Keys.of([{"language": "de"}])
    with pytest.raises(SpecError, match=r"no document has metadata 'langage'.*language"):
        keys.filter(parse_where({"langage": "de"}))


def test_a_key_of_too_many_values_is_refused_by_the_operator_that_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "MOST_VALUES", 3)
    keys = Keys.of([{"name": str(n)} for n in range(5)])
    assert keys.filter(parse_where({"name": "4"})) is not None
    with pytest.raises(SpecError, match=r"cannot ask 'prefix' of 'name'.*It can ask eq, in"):
        keys.filter(parse_where({"name": {"prefix": "4"}}))


def test_a_document_of_too_many_values_is_named() -> None:
    metadata = {"tags": [str(n) for n in range(5000)]}
    with pytest.raises(
        SpecError, match=r"document 'd1' has 5,001 values in its metadata.*keep this index in a directory"
    ):
        Keys.of([metadata]).fields(metadata, doc_id="d1")


def test_a_document_of_numbers_under_too_many_keys_is_named() -> None:
    metadata = {f"k{n}": n for n in range(600)}
    with pytest.raises(SpecError, match=r"document 'd1' has numbers or dates under too many keys.*1,200 bounds"):
        Keys.of([metadata]).fields(metadata, doc_id="d1")


def test_a_table_of_before_asks_texts_that_are_numbers_by_their_values() -> None:
    """They were sent as words alone."""
    now = Keys.of([{"year": 2019, "amount": "250"}, {"year": 2020, "amount": "7"}])
    rows = [row[:3] for row in json.loads(now.written())]
    before = Keys.read(json.dumps(rows).encode())
    assert before.filter(parse_where("year > 2019")) == now.filter(parse_where("year > 2019"))
    assert before.filter(parse_where("amount > 100")) == Keys.of([{"year": 1, "amount": "250"}]).filter(
        parse_where('amount = "250"')
    )
    assert "spans" in str(now.filter(parse_where("amount > 100")))
