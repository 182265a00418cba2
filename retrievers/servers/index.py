"""An index on a server: a name that points to the collection of its newest generation, and the same legs as in a directory.

NAME                     what readers open: points to the collection below
NAME__0123456789abcdef   points of one generation, a row each; never changed once NAME has pointed there
NAME__..._files          its manifest, vocabulary and sources (`retrievers.servers.parts`)
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from rag.core.filters import Filter, Where, on_a_server
from rag.core.memory import Need
from rag.core.progress import Progress, silent
from retrievers.index import STORES
from retrievers.index.manifest import MANIFEST, read_manifest
from retrievers.index.opened import OpenedIndex
from retrievers.index.settings import leg_kind
from retrievers.legs.protocol import Facts, Leg
from retrievers.servers.address import ServerAddress
from retrievers.servers.documents import LINE, ServerDocuments
from retrievers.servers.fields import Keys
from retrievers.servers.legs import SERVER_LEGS
from retrievers.servers.legs.protocol import ServerLegKind, ServerOpening
from retrievers.servers.parts import Parts
from retrievers.servers.store import CollectionStore
from retrievers.servers.troubles import damaged

if TYPE_CHECKING:
    from retrievers.index.near_duplicates import NearDuplicates
    from retrievers.index_protocol import Index

    _keeps_the_protocol: Callable[[str], Index] = lambda address: ServerIndex.open(address)  # noqa: E731

FILES = "_files"
KEYS = "keys.json"
"""A file beside the points: metadata keys (`retrievers.servers.fields.Keys`)."""


def connect(address: ServerAddress, *, create: bool = False) -> CollectionStore:
    """The server of an address; see `CollectionStore.connect`."""
    store: CollectionStore = STORES.get(address.scheme).connect(address, create=create)
    return store


def require_ours(address: ServerAddress, collection: str | None, collections: Sequence[str]) -> str:
    """The collection that the name of an index points to.

    Raises:
        IndexProblem: there is no such name, it points nowhere, or to what is no index of ours.
    """
    again = f"Build the index: rag index SOURCE --index {address}"
    if collection is None and address.collection in collections:
        raise IndexProblem(
            f"index '{address}': there is a collection of this name, which ragline did not make. Search it with "
            "retrieve.collection in a graph, or choose another name"
        )
    if collection is None:
        raise IndexProblem(f"no index at '{address}': the server has no such name. {again}")
    if collection not in collections or f"{collection}{FILES}" not in collections:
        what = "is not there" if collection not in collections else "ragline did not make, or did not finish"
        raise IndexProblem(f"index '{address}': its name points to collection '{collection}', which {what}. {again}")
    return collection


class ServerIndex(OpenedIndex):
    """One generation of an index on a server, kept as it was opened whatever is built meanwhile.

    A build removes generations but the newest and the one before, so a reader has to open it again before the second
    build that comes. Safe to share between threads.

    Args:
        closes: whether closing the index ends the connection.
    """

    def __init__(self, address: ServerAddress, store: CollectionStore, collection: str, *, closes: bool = True) -> None:
        self._address, self._store, self.collection, self._closes = address, store, collection, closes
        self._files = Parts(store, f"{collection}{FILES}", name=str(address))
        self._folder = Path(tempfile.mkdtemp(prefix="ragline-index-"))
        self._remove_folder = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        super().__init__(read_manifest(self.file(MANIFEST).parent, name=str(address)))
        self.documents = ServerDocuments(
            store, collection, self._files, n=self.manifest.corpus.n_units, name=str(address)
        )

    @classmethod
    def open(cls, address: str | Path) -> Self:
        """The newest generation at an address.

        Raises:
            IndexProblem: the server does not answer, or has no such index; or it is damaged, or of a newer format.
        """
        parsed = ServerAddress.parse(str(address))
        store = connect(parsed)
        try:
            collection = require_ours(parsed, store.target(parsed.collection), store.collections())
            return cls(parsed, store, collection)
        except BaseException:
            store.close()
            raise

    @property
    def name(self) -> str:
        """Its address, which holds no key."""
        return str(self._address)

    @property
    def address(self) -> str:
        """Where any process opens it."""
        return str(self._address)

    @property
    def generation(self) -> str:
        """The collection that is open."""
        return self.collection

    def newest(self) -> str:
        """The collection that whoever opens the address now would get. One question.

        Raises:
            IndexProblem: there is none any more, or the server does not answer.
        """
        newest = self._store.target(self._address.collection)
        if newest is None:
            raise IndexProblem(f"no index at '{self._address}' any more: the server has no such name")
        return newest

    def file(self, name: str) -> Path:
        """A file that is kept beside the points, fetched once, into a folder that goes with this object."""
        path = self._folder / name
        if not path.exists():
            data = self._files.read(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return path

    def near_duplicates(self, where: Where | None = None) -> NearDuplicates:
        """Which units say nearly the same."""
        from retrievers.index.near_duplicates import DUPLICATES, NearDuplicates

        if DUPLICATES not in self._files:
            return NearDuplicates.none()
        return self._once("near-duplicates", lambda: NearDuplicates.read(self.file(DUPLICATES)))

    def rows(self, where: Where | None) -> NDArray[np.int64]:
        """Rows that pass a filter, ascending."""
        fields = self._filter(where)
        if fields is None:
            return np.arange(len(self))
        return np.array([record.id for record in self._store.find(self.collection, fields)], dtype=np.int64)

    def verify(self, *, progress: Progress = silent) -> None:
        """Count the points, and compare every document and file with its digest. Vectors are counted, not compared.

        Raises:
            IndexProblem: something differs.
        """
        import hashlib

        from retrievers.index.documents import LINES

        n, digest = self._store.count(self.collection), hashlib.sha256()
        if n != len(self):
            raise damaged(self.name, f"{n:,} documents, {len(self):,} by its manifest")
        for row, line in self.documents.lines():
            digest.update(line)
            if row % 1000 == 0:
                progress("check", row, n)
        progress("check", n, n)
        if digest.hexdigest() != self.manifest.files[LINES].sha256:
            raise damaged(self.name, "its documents are not as they were written")
        self._files.verify()

    def health(self, leg: str) -> list[str]:
        """Sentences on what a leg needs beside its data, where that is here: its server, and its model."""
        opened = self.leg(leg)
        self._store.get(self.collection, [0], fields=[LINE])
        return [f"the server of '{self.name}' answers", *leg_kind(leg).health(opened)]

    def memory(self, legs: Sequence[str]) -> list[Need]:
        """What searching these legs takes here: models and vocabularies. Documents and vectors are on the server."""
        needs = [need for leg in self.legs if leg in legs for need in leg_kind(leg).memory(self.facts(leg), 0)]
        return [need for need in needs if not need.mapped]

    def close(self) -> None:
        """End the connection. Nothing more can be asked."""
        if self._closes:
            self._store.close()
        self._remove_folder()

    def _open_leg(self, name: str, facts: Facts) -> Leg:
        kind: ServerLegKind = SERVER_LEGS.get(name)()
        return kind.open(
            ServerOpening(
                store=self._store,
                collection=self.collection,
                facts=facts,
                n=len(self),
                filter=self._filter,
                file=self._files.read,
                has=self._files.__contains__,
            )
        )

    def _filter(self, where: Where | None) -> Filter | None:
        """A filter over metadata as one over fields of points."""
        tree = on_a_server(where, name=self.name)
        if tree is None:
            return None
        return self._once("keys", lambda: Keys.read(self._files.read(KEYS))).filter(tree)
