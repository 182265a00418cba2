"""Milvus, as a server or as the library Milvus Lite: the same client speaks to both."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from rag.errors import need
from rag.filters import Filter
from rag.indexes import Sparse
from ragline_servers.address import ServerAddress
from ragline_servers.milvus_filter import milvus_expression
from ragline_servers.store import (
    MOST_HITS,
    MOST_WORDS,
    CollectionServer,
    CollectionStore,
    FieldKind,
    Form,
    Point,
    PointId,
    Record,
)
from ragline_servers.troubles import refused, require_dimension, require_place, require_version, unreachable

PORT = 19530
CLIENT = "pip install './plugins/servers[milvus]' (in a clone of ragline)"
OLDEST = (2, 5)
"""Before that there are no expressions that ask whether a field is there."""

ID = "row"
"""Name of the primary field of our collections."""

_UNUSED = "unused"
"""Every collection of Milvus has a vector; one of ours that needs none has this."""

_WIDTH = 128
"""Neighbours that a search of a graph keeps in view, where no more are asked for."""

_MOST_TEXT, _LONGEST_WORD = 65_535, 64

_NO_ALIAS = (1600, 100)
"""Codes of a server, and of Milvus Lite, that does not know a name."""

_LONGER = 20
"""Times as long may a step take that grows with a collection: loading it, or writing it to the disk."""

_AT_ONCE = 256
"""Points that are read in one answer, all fields with them: at most 15 MB, where a server sends up to 64."""

_NO_PINGS = {"grpc.keepalive_time_ms": 2**31 - 1, "grpc.keepalive_permit_without_calls": False}
"""Milvus Lite is in this process, and ends the connection of a client that asks too often whether it is there."""

T = TypeVar("T")


class MilvusStore(CollectionStore):
    """See `CollectionStore`. Made by `connect`."""

    def __init__(self, client: Any, address: ServerAddress, *, timeout_s: float) -> None:
        self._client, self._address, self._timeout_s = client, address, timeout_s
        self._long_s = _LONGER * timeout_s
        self._known: dict[str, _Columns] = {}
        self._release = weakref.finalize(self, client.close)

    @classmethod
    def connect(cls, address: ServerAddress, *, create: bool = False, timeout_s: float = 30.0) -> Self:
        need("pymilvus", by=f"index '{address}'", line=CLIENT)
        if address.path is not None:
            need("milvus_lite", by=f"index '{address}'", line=CLIENT)
            require_place(address, create=create)
        from pymilvus import MilvusClient

        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs what it raises, with a traceback
        place = str(address.path) if address.path else address.url(PORT)
        more: dict[str, Any] = {"grpc_options": _NO_PINGS} if address.path else {"token": address.key(PORT) or ""}
        try:
            client = MilvusClient(place, timeout=min(timeout_s, 10.0), **more)
            version = str(client.get_server_version())
        except Exception as cause:
            raise unreachable(address, cause) from cause
        store = cls(client, address, timeout_s=timeout_s)
        try:
            require_version(address, "Milvus", version, OLDEST)
        except BaseException:
            store.close()
            raise
        return store

    def collections(self) -> list[str]:
        list_all = partial(self._client.list_collections, timeout=self._timeout_s)
        return [str(name) for name in self._ask("list collections", list_all)]

    def target(self, alias: str) -> str | None:
        from pymilvus.exceptions import MilvusException

        def described() -> Mapping[str, Any]:
            try:
                found: Mapping[str, Any] = self._client.describe_alias(alias, timeout=self._timeout_s)
            except MilvusException as cause:
                if cause.code not in _NO_ALIAS:
                    raise
                return {}
            return found

        return self._ask("look a name up", described).get("collection_name") or None

    def switch(self, alias: str, collection: str) -> None:
        point = self._client.create_alias if self.target(alias) is None else self._client.alter_alias
        self._ask("switch a name", lambda: point(collection, alias, timeout=self._timeout_s))

    def create(self, collection: str, form: Form) -> None:
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(ID, DataType.INT64, is_primary=True)
        indexes = self._client.prepare_index_params()
        words = {"element_type": DataType.VARCHAR, "max_length": _LONGEST_WORD, "max_capacity": MOST_WORDS}
        kinds: dict[FieldKind, tuple[Any, dict[str, Any]]] = {
            "text": (DataType.VARCHAR, {"max_length": _MOST_TEXT}),
            "key": (DataType.VARCHAR, {"max_length": _LONGEST_WORD}),
            "words": (DataType.ARRAY, words),
            "numbers": (DataType.JSON, {}),
        }
        for name, kind in form.fields.items():
            schema.add_field(name, kinds[kind][0], **kinds[kind][1])
            if kind == "key" or (kind == "words" and self._address.path is None):  # the library has none over lists
                indexes.add_index(name, index_type="INVERTED")
        dense = form.dense if form.dense or form.sparse else {_UNUSED: 2}
        for name, dim in dense.items():
            schema.add_field(name, DataType.FLOAT_VECTOR, dim=dim)
            indexes.add_index(name, metric_type="IP", **_structure(form.exact))
        for name in form.sparse:
            schema.add_field(name, DataType.SPARSE_FLOAT_VECTOR)
            indexes.add_index(name, index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
        self._ask("make a collection", partial(self._make, collection, schema, indexes))

    def _make(self, collection: str, schema: Any, indexes: Any) -> None:
        """The client would wait half a second for each index, of which none has anything to do yet; loading waits for all."""
        client, timeout = self._client, self._long_s
        client.create_collection(collection, schema=schema, timeout=timeout)
        client.create_index(collection, indexes, timeout=timeout, sync=False)
        client.load_collection(collection, timeout=timeout)

    def drop(self, collection: str) -> None:
        if collection in self.collections():
            self._known.pop(collection, None)
            self._ask("remove a collection", partial(self._client.drop_collection, collection, timeout=self._timeout_s))

    def put(self, collection: str, points: Sequence[Point]) -> None:
        rows = [
            {
                ID: point.id,
                **point.fields,
                **({} if point.dense or point.sparse else {_UNUSED: [0.0, 1.0]}),
                **point.dense,
                **{name: _weights(sparse) for name, sparse in point.sparse.items()},
            }
            for point in points
        ]
        self._ask("write", lambda: self._client.upsert(collection, rows, timeout=self._timeout_s))

    def finish(self, collection: str) -> None:
        self._ask("write", partial(self._client.flush, collection, timeout=self._long_s))
        self._ask("load a collection", partial(self._client.load_collection, collection, timeout=self._long_s))

    def count(self, collection: str) -> int:
        self._columns(collection)

        def counted() -> list[Mapping[str, Any]]:
            # a server may not have read yet what it was sent; the library has
            asked: dict[str, Any] = {} if self._address.path else {"consistency_level": "Strong"}
            asked["output_fields"] = ["count(*)"]
            found: list[Mapping[str, Any]] = self._client.query(collection, filter="", timeout=self._timeout_s, **asked)
            return found

        return int(self._ask("count", counted)[0]["count(*)"])

    def nearest(
        self,
        collection: str,
        vector: str,
        queries: NDArray[np.float32],
        *,
        k: int,
        where: Filter | None = None,
        fields: Sequence[str] = (),
        exact: bool = True,
    ) -> list[list[Record]]:
        require_dimension(self._address, collection, self._columns(collection).dims, vector, queries)
        structure = self._structure(collection, vector)
        sign = -1.0 if structure.get("metric_type") == "L2" else 1.0
        params = {"params": {"ef": max(_WIDTH, k)}} if str(structure.get("index_type")).startswith("HNSW") else {}
        found = self._search(collection, vector, list(queries), k=k, where=where, fields=fields, params=params)
        return [[replace(record, score=sign * record.score) for record in records] for records in found]

    def heaviest(
        self, collection: str, vector: str, queries: Sequence[Sparse], *, k: int, where: Filter | None = None
    ) -> list[list[Record]]:
        return self._search(collection, vector, list(map(_weights, queries)), k=k, where=where, fields=())

    def get(self, collection: str, ids: Sequence[PointId], *, fields: Sequence[str]) -> list[Record]:
        primary = self._columns(collection).primary
        records = []
        for first in range(0, len(ids), _AT_ONCE):
            block = list(ids[first : first + _AT_ONCE])
            asked = {"ids": block, "output_fields": [primary, *fields], "timeout": self._timeout_s}
            rows = self._ask("read", partial(self._client.query, collection, **asked))
            records += [_record(row[primary], row, fields) for row in rows]
        return records

    def find(self, collection: str, where: Filter | None, *, fields: Sequence[str] = ()) -> Iterator[Record]:
        """In one answer if that holds them, else a range of ids at a time. Milvus gives rows in no order."""
        expression = self._columns(collection).expression(where)
        asked = {"output_fields": [ID, *fields], "timeout": self._timeout_s}
        ask = partial(self._client.query, collection, **asked)
        step = _AT_ONCE if fields else MOST_HITS
        if expression:
            rows = self._ask("read", partial(ask, filter=expression, limit=step))
            if len(rows) < step:
                yield from _by_id(rows, fields)
                return
        for first in range(0, self.count(collection), step):
            within = f"{ID} >= {first} and {ID} < {first + step}"
            told = f"{within} and {expression}" if expression else within
            yield from _by_id(self._ask("read", partial(ask, filter=told, limit=step)), fields)

    def close(self) -> None:
        with suppress(Exception):  # what is left of a connection that broke
            self._release()

    def _search(
        self,
        collection: str,
        vector: str,
        queries: list[Any],
        *,
        k: int,
        where: Filter | None,
        fields: Sequence[str],
        params: Mapping[str, Any] | None = None,
    ) -> list[list[Record]]:
        columns = self._columns(collection)
        asked = {
            "data": queries,
            "anns_field": vector,
            "limit": k,
            "filter": columns.expression(where),
            "output_fields": list(fields),
            "search_params": dict(params or {}),
            "timeout": self._timeout_s,
        }
        batches = self._ask("search", lambda: self._client.search(collection, **asked))
        return [[_hit(hit, fields) for hit in batch] for batch in batches]

    def _structure(self, collection: str, vector: str) -> Mapping[str, Any]:
        """How the vectors are arranged and measured."""
        structures = self._columns(collection).structures
        if vector not in structures:
            names = self._ask("describe", partial(self._client.list_indexes, collection, field_name=vector))
            described = [
                self._ask("describe", partial(self._client.describe_index, collection, name)) for name in names
            ]
            structures[vector] = next(filter(None, described), {})
        return structures[vector]

    def _columns(self, collection: str) -> _Columns:
        """What a collection holds. It is loaded when it is first asked for: a server that was begun anew has none loaded."""
        if collection not in self._known:
            described = self._ask(
                "describe a collection", partial(self._client.describe_collection, collection, timeout=self._timeout_s)
            )
            self._ask("load a collection", partial(self._client.load_collection, collection, timeout=self._long_s))
            self._known[collection] = _Columns(described)
        return self._known[collection]

    def _ask(self, what: str, ask: Callable[[], T]) -> T:
        from grpc import RpcError
        from pymilvus.exceptions import MilvusException

        try:
            return ask()
        except (MilvusException, RpcError, OSError) as cause:
            raise refused(self._address, what, cause) from cause


class Milvus(CollectionServer):
    """See `IndexServer`."""

    store = MilvusStore


class MilvusLite(Milvus):
    """Milvus Lite: a library with its data at a path."""

    embedded = True


class _Columns:
    """What a collection holds: its primary field, lengths of vectors and their structures, and how filters are told."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        from pymilvus import DataType

        fields = described["fields"]
        self.primary = next(str(field["name"]) for field in fields if field.get("is_primary"))
        self._lists = frozenset(field["name"] for field in fields if field["type"] == DataType.ARRAY)
        self._nullable = frozenset(field["name"] for field in fields if field.get("nullable"))
        self._whole = frozenset(field["name"] for field in fields) - self._nullable
        self.structures: dict[str, Mapping[str, Any]] = {}
        self.dims = {
            str(field["name"]): int(field["params"]["dim"])
            for field in fields
            if field["type"] == DataType.FLOAT_VECTOR
        }

    def expression(self, where: Filter | None) -> str:
        """A filter in the language of Milvus; empty for none."""
        return milvus_expression(where, lists=self._lists, nullable=self._nullable, whole=self._whole)


def _structure(exact: bool) -> dict[str, Any]:
    if exact:
        return {"index_type": "FLAT"}
    return {"index_type": "HNSW", "params": {"M": 32, "efConstruction": 200}}


def _weights(sparse: Sparse) -> dict[int, float]:
    return dict(zip(sparse.places.tolist(), sparse.weights.tolist(), strict=True))


def _hit(hit: Any, fields: Sequence[str]) -> Record:
    return _record(hit.id, hit["entity"], fields, score=float(hit["distance"]))


def _by_id(rows: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> Iterator[Record]:
    return (_record(row[ID], row, fields) for row in sorted(rows, key=lambda row: int(row[ID])))


def _record(id_: PointId, row: Mapping[str, Any], fields: Sequence[str], *, score: float = 0.0) -> Record:
    return Record(id=id_, fields={name: _read(row[name]) for name in fields if name in row}, score=score)


def _read(value: Any) -> Any:
    """A sparse vector comes as a dictionary with whole numbers for keys, which no JSON has."""
    if isinstance(value, dict) and value and all(isinstance(place, int) for place in value):
        places = sorted(value)
        return Sparse(np.array(places, np.int64), np.array([value[place] for place in places], np.float32))
    return value
