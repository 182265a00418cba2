"""Model folders that sentence-transformers reads and we do not: routers, CLIP's text side, static embeddings, SPLADE."""

from __future__ import annotations

import copy
import gc
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rag.core.digests import data_sha256, file_sha256
from rag.core.errors import SpecError
from rag.core.memory import Need, place
from rag.core.optional import need
from rag.core.quiet import no_progress_bar
from retrievers.encoders.kinds import Batch, Compute, Requested
from retrievers.encoders.sentence_folder import Role, module_classes, sentence_options
from retrievers.encoders.tokenizer import readable

if TYPE_CHECKING:
    from retrievers.encoders.tokenizer import TextTokens

_TEXTS_PER_BATCH = 32
_OF_TEXTS = ("text", "message")
"""What sentence-transformers calls a text, and a text in a chat template."""


class LibraryEncoder:
    """One vector per text, as sentence-transformers makes it. Code that a folder brings along is never run."""

    reads: ClassVar[str] = "a folder of sentence-transformers"
    model_type: ClassVar[str] = "SentenceTransformer"

    def __init__(self, folder: Path, *, requested: Requested) -> None:
        need("sentence_transformers", by=f"the encoder in '{folder}'", extra="encoders")
        if requested == "bfloat16":
            raise SpecError(f"model folder '{folder}': this encoder runs in float32. Leave compute at auto.")
        self._folder = folder
        self._lock = threading.RLock()

    @classmethod
    def refuses(cls, folder: Path) -> str | None:
        """Why sentence-transformers gives no vector of this kind for the folder."""
        if not (folder / "modules.json").is_file():
            return "it has no modules.json."
        module_classes(folder)
        kind = sentence_options(folder).get("model_type", "SentenceTransformer")
        return None if kind == cls.model_type else f"it says that it is a {kind}, and this kind reads {cls.model_type}."

    @property
    def compute(self) -> Compute:
        """Always float32: what a module computes in is its own affair."""
        return "float32"

    @cached_property
    def dim(self) -> int:
        """Numbers per vector. Loads the weights where the modules do not say it."""
        with self._lock:
            return int(self._model.get_embedding_dimension() or self._vectors([""], "document").shape[1])

    def facts(self) -> Mapping[str, Any]:
        """The modules, every setting in the folder by its digest, and the version of the library."""
        return {
            "modules": module_classes(self._folder),
            **library_facts(self._folder),
            "dim": self.dim,
            "compute": self.compute,
        }

    def batches(self, texts: Sequence[str], role: Role) -> Iterator[Batch]:
        """The texts in order, some at a time."""
        for start in range(0, len(texts), _TEXTS_PER_BATCH):
            part = list(texts[start : start + _TEXTS_PER_BATCH])
            yield np.arange(start, start + len(part)), self._vectors(part, role)

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """By the tokenizer of the model's first module, or of a router's default route."""
        with self._lock:
            return self._tokens.spans(texts)

    @cached_property
    def _tokens(self) -> TextTokens:
        """A copy: how the library's own cuts and fills up is not to change."""
        from tokenizers import Tokenizer

        from retrievers.encoders.tokenizer import TextTokens, require_fast

        own = self._model.tokenizer  # static embeddings keep the bare one
        if not isinstance(own, Tokenizer):
            require_fast(own, where=self._folder)
            own = own.backend_tokenizer
        return TextTokens(copy.deepcopy(own), max_length=1, lower_case=False, where=self._folder)

    def memory(self) -> list[Need]:
        """Weights in float32; what a batch takes is not known beforehand."""
        from rag.models.sizes import count_parameters
        from retrievers.encoders.transformer import device

        size = count_parameters(self._folder) * 4
        return [Need(what="encoder weights in float32", n_bytes=size, where=place(device()))]

    def release(self) -> None:
        """Let go of the weights."""
        with self._lock:
            self.__dict__.pop("_tokens", None)
            loaded = self.__dict__.pop("_model", None) is not None
        if loaded:
            gc.collect()

    def _vectors(self, texts: list[str], role: Role) -> Any:
        with self._lock:
            encode = self._model.encode_query if role == "query" else self._model.encode_document
            vectors = encode([readable(text) for text in texts], show_progress_bar=False, **self._options)
        return np.asarray(vectors, dtype=np.float32)

    @property
    def _options(self) -> dict[str, Any]:
        return {"convert_to_numpy": True}

    @cached_property
    def _model(self) -> Any:
        return load_by_library(self._folder, self.model_type)


class SparseLibraryEncoder(LibraryEncoder):
    """Weights of all terms of the vocabulary, zeros included: exact, but a vector is as long as the vocabulary."""

    reads: ClassVar[str] = "a sparse folder of sentence-transformers"
    model_type: ClassVar[str] = "SparseEncoder"

    @property
    def _options(self) -> dict[str, Any]:
        return {"convert_to_sparse_tensor": False}


def library_facts(folder: Path, suffixes: Collection[str] = (".json",)) -> dict[str, str]:
    """Every setting in a folder by its digest, and the version of the library that reads them."""
    import sentence_transformers

    settings = sorted(path for path in folder.rglob("*") if path.suffix in suffixes and path.is_file())
    digests = {path.relative_to(folder).as_posix(): file_sha256(path) for path in settings}
    return {
        "settings_sha256": data_sha256(digests),
        "library": f"sentence-transformers {sentence_transformers.__version__}",
    }


def load_by_library(folder: Path, model_type: str) -> Any:
    """A model of sentence-transformers, by the name of its class, which takes every string as a text. Code that the folder
    brings along is never run.

    Raises:
        SpecError: the library cannot load it, or it reads no texts.
    """
    import sentence_transformers

    from retrievers.encoders.transformer import device

    loader = getattr(sentence_transformers, model_type)
    with no_progress_bar():
        try:
            model = loader(str(folder), device=device(), local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError, TypeError) as cause:
            raise SpecError(f"model folder '{folder}': sentence-transformers cannot load it ({cause})") from cause
    _read_texts_alone(model)
    if "text" not in model.modalities:
        raise SpecError(f"model folder '{folder}' reads no texts. Choose another model.")
    return model


def _read_texts_alone(model: Any) -> None:
    """Take the ways for pictures, sound and video out of a model.

    The library opens a string that is the path or the address of a picture, if the model reads pictures: whoever asks a
    question would choose what this process reads and whom it connects to. A model without that way takes it as a text.
    """
    from sentence_transformers.base.modules import Transformer

    for module in model.modules():
        if isinstance(module, Transformer):  # no other module of the library has more than one way
            module.modality_config = {kind: way for kind, way in module.modality_config.items() if kind in _OF_TEXTS}
            module.input_formatter.supported_modalities = list(module.modality_config)
