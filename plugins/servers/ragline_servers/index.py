"""An index on a server: a name that points to the collection of its newest generation, and the same legs as in a directory.

NAME                     what readers open: points to the collection below
NAME__0123456789abcdef   points of one generation, a row each; never changed once NAME has pointed there
NAME__..._files          its manifest, vocabulary and sources (`ragline_servers.parts`)
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rag.errors import IndexProblem
from rag.files import Progress, silent
from rag.filters import Filter
from rag.indexes import AsVectors, OpenedIndex
from rag.types import Need, Where
from ragline_servers.address import ServerAddress
from ragline_servers.documents import LINE, ServerDocuments
from ragline_servers.fields import Keys, of_metadata
from ragline_servers.parts import Parts
from ragline_servers.store import CollectionStore, connect
from ragline_servers.troubles import damaged
from ragline_servers.vectors import LegInCollection

FILES = "_files"
KEYS = "keys.json"
"""A file beside the points: metadata keys (`ragline_servers.fields.Keys`)."""


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
        super().__init__()
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

    def rows(self, where: Where | None) -> NDArray[np.int64]:
        """Rows that pass a filter, ascending."""
        fields = self._filter_of_points(where)
        if fields is None:
            return np.arange(len(self))
        return np.array([record.id for record in self._store.find(self.collection, fields)], dtype=np.int64)

    def verify(self, *, progress: Progress = silent) -> None:
        """Count the points, and compare every document and file with its digest. Vectors are counted, not compared.

        Raises:
            IndexProblem: something differs.
        """
        n, digest = self._store.count(self.collection), hashlib.sha256()
        if n != len(self):
            raise damaged(self.name, f"{n:,} documents, {len(self):,} by its manifest")
        for row, line in self.documents.lines():
            digest.update(line)
            if row % 1000 == 0:
                progress("check", row, n)
        progress("check", n, n)
        if digest.hexdigest() != self.manifest.documents_sha256:
            raise damaged(self.name, "its documents are not as they were written")
        self._files.verify()

    def health(self, leg: str) -> list[str]:
        """Sentences on what a leg needs beside its data, where that is here: its server, and its model."""
        self._store.get(self.collection, [0], fields=[LINE])
        return [f"the server of '{self.name}' answers", *super().health(leg)]

    def memory(self, legs: Sequence[str]) -> list[Need]:
        """What searching these legs takes here: models and vocabularies. Documents and vectors are on the server."""
        return [need for need in self.needs(legs, lambda leg: 0) if not need.mapped]

    def close(self) -> None:
        """End the connection. Nothing more can be asked."""
        if self._closes:
            self._store.close()
        self._remove_folder()

    def open_leg(self, name: str, facts: Mapping[str, Any]) -> Any:
        """A leg over its vectors in the collection."""
        kind = self.kind(name)
        if not isinstance(kind, AsVectors):
            raise damaged(self.name, f"a {name} leg is no leg of a server")
        kept = LegInCollection(
            self._store, self.collection, name, self._files, n=len(self), filter=self._filter_of_points
        )
        return kind.open_elsewhere(kept, facts)

    def _filter_of_points(self, where: Where | None) -> Filter | None:
        """A filter over metadata as one over fields of points."""
        tree = of_metadata(where, name=self.name)
        return None if tree is None else self._keys.filter(tree)

    @cached_property
    def _keys(self) -> Keys:
        return Keys.read(self._files.read(KEYS))
