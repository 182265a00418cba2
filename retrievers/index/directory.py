"""An opened index: documents, legs and the encoder, each loaded when it is first asked for and only once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from rag.errors import IndexMismatch
from rag.progress import Progress, silent
from rag.types import Where
from retrievers.index.digests import CheckedFiles
from retrievers.index.documents import Documents
from retrievers.index.filters import MetadataFilter
from retrievers.index.generations import Held, hold_current
from retrievers.index.manifest import Manifest, read_manifest
from retrievers.index.matching import missing_leg, require_match
from retrievers.index.settings import IndexSettings, Leg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from retrievers.encoders import SentenceEncoder
    from retrievers.index.lexical import LexicalLeg
    from retrievers.index.vectors import DenseLeg

Part = TypeVar("Part")


class Index:
    """One generation of an index directory, kept as it was opened whatever is built meanwhile.

    Every part is built from the manifest, none from configuration. Safe to share between threads. `close`
    lets a later build remove this generation; what is loaded stays usable.
    """

    def __init__(self, path: Path, held: Held, manifest: Manifest, files: CheckedFiles) -> None:
        self.path, self.manifest = path, manifest
        self._held, self._files = held, files
        self._parts: dict[str, Any] = {}
        self._locks: dict[str, threading.Lock] = {}

    @classmethod
    def open(cls, path: str | Path) -> Index:
        """The current generation of the index directory `path`.

        Raises:
            IndexProblem: absent, damaged or of a newer format.
        """
        path = Path(path)
        held = hold_current(path)
        try:
            manifest = read_manifest(held.folder, name=str(path))
            return cls(path, held, manifest, CheckedFiles(held.folder, manifest.files, name=str(path)))
        except BaseException:
            held.close()
            raise

    def file(self, name: str) -> Path:
        """Where a file of this generation is, once its content is known to be as it was written."""
        return self._checked(name) / name

    @property
    def documents(self) -> Documents:
        """All units, by row."""
        return self._once("documents", lambda: Documents(self._checked("documents.")))

    @property
    def lexical(self) -> LexicalLeg:
        """The lexical leg.

        Raises:
            IndexMismatch: the index has none.
        """

        def open_leg() -> LexicalLeg:
            from retrievers.index.lexical import LexicalLeg

            facts = self._facts("lexical")
            return LexicalLeg.open(self._checked("lexical/") / "lexical", facts)

        return self._once("lexical", open_leg)

    @property
    def dense(self) -> DenseLeg:
        """The dense leg.

        Raises:
            IndexMismatch: the index has none.
        """

        def open_leg() -> DenseLeg:
            from retrievers.index.vectors import DenseLeg

            facts = self._facts("dense")
            return DenseLeg.open(self._checked("dense/") / "dense", facts)

        return self._once("dense", open_leg)

    @property
    def encoder(self) -> SentenceEncoder:
        """The encoder that made the dense leg.

        Raises:
            IndexMismatch: the index has no dense leg, or the encoder's files here are not those it was built
            with.
        """

        def make() -> SentenceEncoder:
            from retrievers.encoders import SentenceEncoder

            self._facts("dense")
            return SentenceEncoder.from_description(cast(dict[str, Any], self.manifest.encoder))

        return self._once("encoder", make)

    def mask(self, where: Where | None) -> NDArray[np.bool_] | None:
        """bool [n]: rows that a metadata filter lets through; None for no filter (see `MetadataFilter`)."""
        return self._once("filter", lambda: MetadataFilter(self.documents)).mask(where)

    def check(self, settings: IndexSettings, legs: Sequence[str]) -> None:
        """Return if this index may serve a graph with these `settings` and `legs` (see `require_match`)."""
        require_match(self.manifest, settings, legs, name=str(self.path))

    def verify(self, *, progress: Progress = silent) -> None:
        """Compare every file with its digest, whatever the size of the index.

        Raises:
            IndexProblem: lists all files that differ.
        """
        self._files.verify(progress=progress)

    def close(self) -> None:
        """Let a later build remove this generation. Parts that are not loaded yet may be gone then."""
        self._held.close()

    def __len__(self) -> int:
        return self.manifest.corpus.n_units

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Index '{self.path}': {len(self):,} units, {' and '.join(self.manifest.legs)}>"

    def _facts(self, leg: Leg) -> dict[str, Any]:
        facts = self.manifest.facts(leg)
        if facts is None:
            raise IndexMismatch(f"index '{self.path}': {missing_leg(self.manifest, leg)}")
        return dict(facts)

    def _checked(self, prefix: str) -> Path:
        self._files.require(prefix)
        return self._held.folder

    def _once(self, name: str, make: Callable[[], Part]) -> Part:
        with self._locks.setdefault(name, threading.Lock()):
            if name not in self._parts:
                self._parts[name] = make()
            return cast(Part, self._parts[name])
