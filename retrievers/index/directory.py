"""An opened index: documents, legs and the encoder, each loaded when it is first asked for and only once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from rag.core.errors import IndexMismatch
from rag.core.memory import Need
from rag.core.progress import Progress, silent
from rag.core.types import Where
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
    from retrievers.promptreps_encoder import PromptRepsEncoder, Representations

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

    @property
    def promptreps(self) -> Representations:
        """Representations of all units, by row; memory-mapped.

        Raises:
            IndexMismatch: the index has none.
        """

        def open_leg() -> Representations:
            from retrievers.index.promptreps import open_leg

            facts = self._facts("promptreps")
            return open_leg(self._checked("promptreps/") / "promptreps", facts)

        return self._once("promptreps", open_leg)

    @property
    def promptreps_encoder(self) -> PromptRepsEncoder:
        """What made the promptreps leg.

        Raises:
            IndexMismatch: the index has no such leg, or model or prompt here are not those it was built with.
        """

        def make() -> PromptRepsEncoder:
            from retrievers.promptreps_encoder import PromptRepsEncoder

            return PromptRepsEncoder.from_description(self._facts("promptreps")["encoder"])

        return self._once("promptreps_encoder", make)

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

    def memory(self, legs: Sequence[str]) -> list[Need]:
        """What searching these legs takes. Loads nothing.

        Raises:
            MissingModel: the encoder is not here yet.
        """
        needs = [self._mapped("documents", "documents.")]
        if self.manifest.lexical is not None and "lexical" in legs:
            # a Python string and its entry in a dictionary
            terms = 200 * int(cast(int, self.manifest.lexical.get("n_terms", 0)))
            needs += [Need(what="vocabulary", n_bytes=terms), self._mapped("postings", "lexical/")]
        if self.manifest.dense is not None and "dense" in legs:
            needs += [self._mapped("vectors", "dense/"), *self._encoder_memory()]
        if self.manifest.promptreps is not None and "promptreps" in legs:
            needs += [self._mapped("representations", "promptreps/"), *self._promptreps_memory()]
        return needs

    def model_names(self, legs: Sequence[str]) -> list[tuple[str, str | None]]:
        """Models that searching these legs loads: name and hub revision."""
        makers = {"dense": self.manifest.encoder, "promptreps": (self.manifest.promptreps or {}).get("encoder")}
        described = [cast(dict[str, Any], makers[leg]) for leg in legs if makers.get(leg)]
        return [(str(each.get("name") or each["model"]), each.get("revision")) for each in described]

    def release(self) -> None:
        """Let go of the encoders' weights; the next query loads them again."""
        for name in ("encoder", "promptreps_encoder"):
            if name in self._parts:
                self._parts[name].release()

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

    def _mapped(self, what: str, prefix: str) -> Need:
        sizes = [facts.size_bytes for name, facts in self.manifest.files.items() if name.startswith(prefix)]
        return Need(what=what, n_bytes=sum(sizes), mapped=True)

    def _encoder_memory(self) -> list[Need]:
        from retrievers.encoders import SentenceEncoder

        said = cast(dict[str, Any], self.manifest.encoder)
        return SentenceEncoder(model=said["name"], revision=said["revision"], compute=said["compute"]).memory()

    def _promptreps_memory(self) -> list[Need]:
        from retrievers.promptreps_encoder import model_of

        return model_of(self._facts("promptreps")["encoder"]).memory()

    def _checked(self, prefix: str) -> Path:
        self._files.require(prefix)
        return self._held.folder

    def _once(self, name: str, make: Callable[[], Part]) -> Part:
        with self._locks.setdefault(name, threading.Lock()):
            if name not in self._parts:
                self._parts[name] = make()
            return cast(Part, self._parts[name])
