"""An encoder with modules: a folder that a graph names, in which a text is read by those of its language and of ranking."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rag.errors import SpecError
from rag.files import data_sha256, file_sha256
from rag.types import Need
from ragline_train.around import AroundEncoder
from ragline_train.calibrated import Languages

if TYPE_CHECKING:
    from ragline_train.modular.adapters import Module
    from ragline_train.modular.teaching import Teachable

ROOM = "modular"
"""The folder within an encoder's folder that has what is more: `modular.json`, and the files of each module."""
_RANKING = "ranking"


class ModularEncoder(AroundEncoder):
    """An encoder's folder with `modular/` in it (Litschko et al., COLING 2022, arXiv 2204.02292), as a bi-encoder.

    Each text is read with the module of its language below and that of ranking above, which are added to the weights when it is
    read. A text in a language that has no module is read with ranking alone. `rerank.cosine` reranks by it, and an index may have
    it as its encoder. It runs in float32 on the processor.
    """

    name, file = "modular", f"{ROOM}/modular.json"
    shape = '{"kind": "plain", "languages": ["de", "zh"]}'
    reads: ClassVar[str] = f"an encoder's folder with {file}"

    def __init__(self, folder: Path, *, requested: Literal["auto", "float32", "bfloat16"]) -> None:
        super().__init__(folder, requested=requested)
        self._lock = threading.RLock()

    @classmethod
    def is_whole(cls, said: Mapping[str, Any]) -> bool:
        named = said.get("languages")
        return said.keys() == {"kind", "languages"} and isinstance(named, list) and all(map(_is_code, named))

    @property
    def compute(self) -> Literal["float32", "bfloat16"]:
        """Always float32, in which modules were taught."""
        return "float32"

    def facts(self) -> Mapping[str, Any]:
        """What the encoder says of itself, but for where it is, and a digest of the modules."""
        room = self._folder / ROOM
        digest = data_sha256({path.name: file_sha256(path) for path in sorted(room.iterdir())})
        return {"with_modules": self._of_the_other(), "modules": digest, "dim": self.dim, "compute": self.compute}

    def batches(
        self, texts: Sequence[str], role: Literal["query", "document"]
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        """The texts of one language after those of another."""
        from ragline_train.teaching.recipes.opened import encoded

        places: dict[str | None, list[int]] = defaultdict(list)
        for place, text in enumerate(texts):
            places[self._languages.of(text)].append(place)
        for language, rows in places.items():
            prompt = self._teachable.prompts.get(role, "")
            stack = [self._modules[name] for name in (language, _RANKING) if name in self._modules]
            with self._lock, self._added(*stack):
                vectors = encoded(self._teachable.model, [texts[row] for row in rows], prompt)
            yield np.array(rows), vectors

    def memory(self) -> list[Need]:
        """That of the encoder; its modules are small beside it."""
        return self._encoder.memory()

    def release(self) -> None:
        super().release()
        with self._lock:
            for name in ("_teachable", "_added", "_modules"):
                self.__dict__.pop(name, None)

    @cached_property
    def _languages(self) -> Languages:
        return Languages(self.said(self._folder)["languages"])

    @cached_property
    def _teachable(self) -> Teachable:
        from ragline_train.modular.teaching import Teachable

        return Teachable(str(self._folder))

    @cached_property
    def _added(self) -> Callable[..., AbstractContextManager[None]]:
        of_weights = self._modules[_RANKING].facts()["form"] == "difference"
        return self._teachable.base.added if of_weights else self._teachable.sockets.added

    @cached_property
    def _modules(self) -> dict[str | None, Module]:
        from ragline_train.modular.adapters import read_module

        names = (*self.said(self._folder)["languages"], _RANKING)
        return {name: read_module(self._folder / ROOM / f"{name}.safetensors") for name in names}


def write_folder(encoder: str, out: Path, *, ranking: Module, languages: Mapping[str, Module]) -> None:
    """A copy of an encoder's folder with modules: all differences, or all adapters.

    Args:
        languages: ISO 639 code -> module.
        out: a folder that is not there yet.
    Raises:
        MissingModel: the encoder is not here and cannot be fetched.
        SpecError: `out` is there already; or a module was made of other weights, or is of another form than the others.
    """
    from ragline_train.modular.adapters import write_module
    from ragline_train.modular.differences import require_base
    from ragline_train.modular.teaching import Teachable

    modules = {**languages, _RANKING: ranking}
    if len({module.facts()["form"] for module in modules.values()}) > 1:
        raise SpecError("some modules are differences and others adapters. Name those of one form")
    if not all(map(_is_code, languages)):
        raise SpecError(f"languages are named by codes of two or three letters, as in de, got {', '.join(languages)}")
    digest = Teachable(encoder).base.digest
    for module in modules.values():
        require_base(module.base, digest)
    kind = ModularEncoder.copied(encoder, out)
    (out / ROOM).mkdir()
    for name, module in modules.items():
        write_module(module, out / ROOM / f"{name}.safetensors")
    said = {"kind": kind, "languages": sorted(languages)}
    (out / ModularEncoder.file).write_text(json.dumps(said), encoding="utf-8")


def _is_code(name: object) -> bool:
    return isinstance(name, str) and len(name) in (2, 3) and name.isalpha()
