"""Multi-vector folders, as sentence-transformers reads them: its own, PyLate's, and checkpoints in ColBERT's layout
(Khattab and Zaharia, SIGIR 2020, arXiv 2004.12832; with XMOD: Louis et al., 2024, arXiv 2402.15059)."""

from __future__ import annotations

import gc
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import SpecError
from rag.core.memory import Need, place
from rag.core.optional import need
from retrievers.encoders.kinds import Compute
from retrievers.encoders.library_encoder import library_facts, load_by_library
from retrievers.encoders.sentence_folder import Role, hidden_size, json_object, modules_of, sentence_options
from retrievers.encoders.token_encoder import Asked
from retrievers.encoders.tokenizer import readable

_TEXTS_PER_BATCH = 32
_MODEL_TYPES = ("MultiVectorEncoder", "ColBERT")
_COLBERT = "HF_ColBERT"
_ALSO_READ = {"pylate.models.Dense.Dense": "Dense"}
_PROJECTION = "linear.weight"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


class LibraryTokenEncoder:
    """What counts of a text, its marker, its length and whether queries are filled up with mask tokens: the folder says it.
    Code that a folder brings along is never run."""

    reads: ClassVar[str] = "a multi-vector folder"

    def __init__(self, folder: Path, *, asked: Asked) -> None:
        need("sentence_transformers", by=f"the token encoder in '{folder}'", extra="encoders")
        if asked.dtype == "bfloat16":
            raise SpecError(f"model folder '{folder}': a multi-vector folder runs in float32. Leave dtype at auto.")
        if asked.language is not None:
            _require_language(folder, asked.language)
        self._folder, self._language = folder, asked.language
        self._lock = threading.RLock()

    @staticmethod
    def refuses(folder: Path) -> str | None:
        """Why this is no multi-vector folder.

        Raises:
            SpecError: it is one, and has no projection, or modules that are code of its own.
        """
        kind = sentence_options(folder).get("model_type")
        if kind in _MODEL_TYPES:
            projections = [path for name, path in modules_of(folder, also=_ALSO_READ) if name == "Dense"]
            if kind == "ColBERT" and not projections:
                raise _no_projection(folder)
            for path in projections:
                if not any((path / name).is_file() for name in _WEIGHTS):
                    raise _no_projection(folder, f"'{path.relative_to(folder)}' has no {_WEIGHTS[0]}")
            return None
        if _COLBERT in (json_object(folder / "config.json").get("architectures") or ()):
            if _PROJECTION not in _shapes(folder):
                raise _no_projection(folder)
            return None
        return f"it says neither that it is a {' or '.join(_MODEL_TYPES)}, nor {_COLBERT}."

    @property
    def compute(self) -> Compute:
        """Always float32."""
        return "float32"

    @cached_property
    def dim(self) -> int:
        """Numbers per vector, as the projection's file says; the width of the last layer where there is none."""
        if not (self._folder / "modules.json").is_file():
            return int(_shapes(self._folder)[_PROJECTION][0])
        modules = modules_of(self._folder, also=_ALSO_READ)
        dense = [path for name, path in modules if name == "Dense"]
        if dense:
            return int(json_object(dense[-1] / "config.json", required=True)["out_features"])
        return hidden_size(modules[0][1])

    def facts(self) -> Mapping[str, Any]:
        """Every setting in the folder by its digest, and the version of the library."""
        return {
            **library_facts(self._folder, suffixes=(".json", ".metadata")),
            "dim": self.dim,
        }

    def read(self, texts: Sequence[str], role: Role) -> list[tuple[list[int], NDArray[np.float32]]]:
        made: list[tuple[list[int], NDArray[np.float32]]] = []
        with self._lock:
            encode = self._model.encode_query if role == "query" else self._model.encode_document
            for start in range(0, len(texts), _TEXTS_PER_BATCH):
                some = [readable(text) for text in texts[start : start + _TEXTS_PER_BATCH]]
                given = encode(some, output_value=None, show_progress_bar=False)
                made += [self._counted(text, one) for text, one in zip(some, given, strict=True)]
        return made

    def _counted(self, text: str, given: Mapping[str, Any]) -> tuple[list[int], NDArray[np.float32]]:
        if not text.strip():  # markers and masks alone would be found in every document
            return [], np.zeros((0, self.dim), dtype=np.float32)
        counts = given["attention_mask"].bool()
        vectors = given["token_embeddings"][counts].float().cpu().numpy()
        return given["input_ids"][counts].tolist(), vectors

    def names(self, ids: Sequence[int]) -> list[str]:
        named: list[str] = self._model.tokenizer.convert_ids_to_tokens([int(id_) for id_ in ids])
        return named

    def memory(self) -> list[Need]:
        """Weights in float32; what a batch takes is not known beforehand."""
        from rag.models.sizes import count_parameters
        from retrievers.encoders.transformer import device

        size = count_parameters(self._folder) * 4
        return [Need(what="token encoder in float32", n_bytes=size, where=place(device()))]

    def release(self) -> None:
        with self._lock:
            loaded = self.__dict__.pop("_model", None) is not None
        if loaded:
            gc.collect()

    @cached_property
    def _model(self) -> Any:
        model = load_by_library(self._folder, "MultiVectorEncoder")
        if self._language is not None:
            model[0].model.set_default_language(self._language)
        return model


def _require_language(folder: Path, language: str) -> None:
    """Return if the folder has an adapter for the language.

    Raises:
        SpecError: it has none at all, or others.
    """
    languages = json_object(folder / "config.json").get("languages") or ()
    if not languages:
        raise SpecError(f"model folder '{folder}' has no adapters for languages. Leave language out.")
    if language not in languages:
        raise SpecError(
            f"model folder '{folder}' has no adapter for language '{language}'. It has {', '.join(map(str, languages))}."
        )


def _shapes(folder: Path) -> dict[str, list[int]]:
    """Shapes of the tensors that a checkpoint's own file holds, by name; nothing is loaded.

    Raises:
        SpecError: there is no such file, or it cannot be read.
    """
    from rag.models.sizes import tensor_shapes

    file = folder / "model.safetensors"
    if not file.is_file():
        raise SpecError(
            f"model folder '{folder}' has no model.safetensors. Convert its weights, or choose another model."
        )
    try:
        return tensor_shapes(file)
    except ValueError as cause:
        raise SpecError(f"'{file}' cannot be read as safetensors: {cause}") from cause


def _no_projection(folder: Path, missing: str = f"no {_PROJECTION}, and no Dense module") -> SpecError:
    return SpecError(
        f"model folder '{folder}' is a multi-vector model without its projection: {missing}. Its vectors would not be those "
        "that it was trained for. Fetch the whole model, or choose another."
    )
