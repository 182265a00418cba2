"""Qdrant, as a server or as its client's local mode."""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from rag.errors import need
from rag.filters import Filter
from rag.indexes import Sparse
from ragline_servers.address import ServerAddress
from ragline_servers.qdrant_filter import qdrant_filter
from ragline_servers.store import CollectionServer, CollectionStore, Form, Point, PointId, Record
from ragline_servers.troubles import refused, require_dimension, require_place, require_version, unreachable

PORT = 6333
CLIENT = "pip install './plugins/servers[qdrant]' (in a clone of ragline)"
OLDEST = (1, 10)
"""Before that there is no one way to ask dense and sparse vectors."""

_AT_ONCE = 256
"""Points that are read in one answer, all fields with them."""

T = TypeVar("T")


class QdrantStore(CollectionStore):
    """See `CollectionStore`. Made by `connect`. The local mode takes one thread at a time."""

    def __init__(
        self,
        client: Any,
        address: ServerAddress,
        *,
        release: Callable[[], None],
        turn: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._client, self._address = client, address
        self._release = weakref.finalize(self, release)
        self._turn = turn or nullcontext()
        self._forms: dict[str, Any] = {}

    @classmethod
    def connect(cls, address: ServerAddress, *, create: bool = False, timeout_s: float = 30.0) -> Self:
        need("qdrant_client", by=f"index '{address}'", line=CLIENT)
        if address.path is not None:
            require_place(address, create=create)
            client, turn, release = _LOCAL.open(address)
            return cls(client, address, release=release, turn=turn)
        from qdrant_client import QdrantClient

        client = QdrantClient(
            url=address.url(PORT), api_key=address.key(PORT), timeout=round(timeout_s), check_compatibility=False
        )
        try:
            version = str(client.info().version)
        except Exception as cause:
            client.close()
            raise unreachable(address, cause) from cause
        store = cls(client, address, release=client.close)
        try:
            require_version(address, "Qdrant", version, OLDEST)
        except BaseException:
            store.close()
            raise
        return store

    def collections(self) -> list[str]:
        return [each.name for each in self._ask("list collections", self._client.get_collections).collections]

    def target(self, alias: str) -> str | None:
        aliases = self._ask("look a name up", self._client.get_aliases).aliases
        return next((str(each.collection_name) for each in aliases if each.alias_name == alias), None)

    def switch(self, alias: str, collection: str) -> None:
        from qdrant_client import models

        made = models.CreateAliasOperation(
            create_alias=models.CreateAlias(collection_name=collection, alias_name=alias)
        )
        former = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
        steps = [made] if self.target(alias) is None else [former, made]
        self._ask("switch a name", lambda: self._client.update_collection_aliases(steps))

    def create(self, collection: str, form: Form) -> None:
        from qdrant_client import models

        dense = {name: models.VectorParams(size=dim, distance=models.Distance.DOT) for name, dim in form.dense.items()}
        sparse = {name: models.SparseVectorParams() for name in form.sparse}
        create = self._client.create_collection
        made = partial(create, collection, vectors_config=dense, sparse_vectors_config=sparse or None)
        self._ask("make a collection", made)
        for name, kind in form.fields.items():
            if kind in ("key", "words"):
                index = partial(self._client.create_payload_index, collection, name, models.PayloadSchemaType.KEYWORD)
                self._ask("index a field", index)

    def drop(self, collection: str) -> None:
        self._forms.pop(collection, None)
        if collection in self.collections():
            self._ask("remove a collection", lambda: self._client.delete_collection(collection))

    def put(self, collection: str, points: Sequence[Point]) -> None:
        from qdrant_client import models

        records = [
            models.PointStruct(
                id=point.id,
                vector={
                    **{name: vector.tolist() for name, vector in point.dense.items()},
                    **{name: _vector(sparse) for name, sparse in point.sparse.items()},
                },
                payload=dict(point.fields),
            )
            for point in points
        ]
        self._ask("write", lambda: self._client.upsert(collection, records, wait=True))

    def finish(self, collection: str) -> None:
        """Every write was waited for."""

    def count(self, collection: str) -> int:
        return int(self._ask("count", lambda: self._client.count(collection, exact=True)).count)

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
        forms = _named(self._form(collection).vectors)
        dims = {name: int(form.size) for name, form in forms.items()}
        require_dimension(self._address, collection, dims, vector, queries)
        asked = [query.tolist() for query in queries]
        found = self._search(collection, vector, asked, k=k, where=where, fields=fields, exact=exact)
        if forms[vector].distance not in ("Euclid", "Manhattan"):
            return found
        return [[replace(record, score=-record.score) for record in records] for records in found]

    def heaviest(
        self, collection: str, vector: str, queries: Sequence[Sparse], *, k: int, where: Filter | None = None
    ) -> list[list[Record]]:
        asked = [_vector(query) for query in queries]
        return self._search(collection, vector, asked, k=k, where=where, fields=(), exact=True)

    def get(self, collection: str, ids: Sequence[PointId], *, fields: Sequence[str]) -> list[Record]:
        vectors, payload = self._told_apart(collection, fields)
        records: list[Record] = []
        for first in range(0, len(ids), _AT_ONCE):
            block = list(ids[first : first + _AT_ONCE])
            read = partial(self._client.retrieve, collection, block, with_payload=payload, with_vectors=vectors)
            points = self._ask("read", read)
            records += [_record(point) for point in points]
        return records

    def find(self, collection: str, where: Filter | None, *, fields: Sequence[str] = ()) -> Iterator[Record]:
        vectors, payload = self._told_apart(collection, fields)
        read = partial(
            self._client.scroll,
            collection,
            qdrant_filter(where),
            limit=_AT_ONCE,
            with_payload=payload,
            with_vectors=vectors,
        )
        offset = None
        while True:
            points, offset = self._ask("read", partial(read, offset=offset))
            yield from map(_record, points)
            if offset is None:
                return

    def close(self) -> None:
        with suppress(Exception):  # what is left of a connection that broke
            self._release()

    def _search(
        self,
        collection: str,
        vector: str,
        queries: Sequence[Any],
        *,
        k: int,
        where: Filter | None,
        fields: Sequence[str],
        exact: bool,
    ) -> list[list[Record]]:
        from qdrant_client import models

        told = qdrant_filter(where)
        requests = [
            models.QueryRequest(
                query=query,
                using=vector or None,
                limit=k,
                filter=told,
                params=models.SearchParams(exact=exact),
                with_payload=list(fields) if fields else False,
            )
            for query in queries
        ]
        answers = self._ask("search", lambda: self._client.query_batch_points(collection, requests))
        return [[_record(point, score=float(point.score)) for point in answer.points] for answer in answers]

    def _told_apart(self, collection: str, fields: Sequence[str]) -> tuple[list[str] | bool, list[str] | bool]:
        """Which of these are vectors, and which are payload."""
        form = self._form(collection)
        vectors = {*_named(form.vectors), *(form.sparse_vectors or {})}
        payload = [name for name in fields if name not in vectors]
        return [name for name in fields if name in vectors] or False, payload or False

    def _form(self, collection: str) -> Any:
        if collection not in self._forms:
            described = self._ask("describe a collection", lambda: self._client.get_collection(collection))
            self._forms[collection] = described.config.params
        return self._forms[collection]

    def _ask(self, what: str, ask: Callable[[], T]) -> T:
        from qdrant_client.http.exceptions import ApiException

        try:
            with self._turn, warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that local mode is slow, and indexes no fields
                return ask()
        except (ApiException, OSError) as cause:
            raise refused(self._address, what, cause) from cause
        except ValueError as cause:  # what local mode raises where a server would refuse
            if self._address.path is None:
                raise
            raise refused(self._address, what, cause) from cause


class _Local:
    """Clients of local mode, one a folder: it opens a folder once, and an index is opened more than once."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Any, Any, int]] = {}
        self._lock = threading.Lock()

    def open(self, address: ServerAddress) -> tuple[Any, AbstractContextManager[Any], Callable[[], None]]:
        """The client of a folder, whose turn it is, and what lets it go."""
        from qdrant_client import QdrantClient

        place = address.place
        with self._lock:
            client, turn, users = self._open.get(place, (None, threading.RLock(), 0))
            if client is None:
                try:
                    client = QdrantClient(path=place)
                except (OSError, RuntimeError, ValueError) as cause:
                    raise unreachable(address, cause) from cause
            self._open[place] = client, turn, users + 1
        return client, turn, partial(self._let_go, place)

    def _let_go(self, place: str) -> None:
        with self._lock:
            client, turn, users = self._open.pop(place)
            if users > 1:
                self._open[place] = client, turn, users - 1
            else:
                client.close()


_LOCAL = _Local()


class Qdrant(CollectionServer):
    """See `IndexServer`."""

    store = QdrantStore


class QdrantLocal(Qdrant):
    """The local mode of its client: a library with its data at a path."""

    embedded = True


def _named(vectors: Any) -> Mapping[str, Any]:
    """Vectors by name; a collection of one without a name has it under the empty name."""
    if vectors is None:
        return {}
    return vectors if isinstance(vectors, Mapping) else {"": vectors}


def _vector(sparse: Sparse) -> Any:
    from qdrant_client import models

    return models.SparseVector(indices=sparse.places.tolist(), values=sparse.weights.tolist())


def _record(point: Any, *, score: float = 0.0) -> Record:
    vectors = point.vector if isinstance(point.vector, Mapping) else {}
    read = {name: _read(vector) for name, vector in vectors.items()}
    return Record(id=point.id, fields={**(point.payload or {}), **read}, score=score)


def _read(vector: Any) -> Any:
    from qdrant_client import models

    if isinstance(vector, models.SparseVector):
        order = np.argsort(vector.indices)
        return Sparse(np.array(vector.indices, np.int64)[order], np.array(vector.values, np.float32)[order])
    return vector
