"""Models of sentence-transformers, opened from a folder that is here, and asked about the questions kept apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.errors import SpecError, need
from rag.files import data_sha256, file_sha256
from rag.indexes import EncoderFolder
from ragline_train.pseudo import Case
from ragline_train.teaching.task import Task, ndcg, texts_of

INSTALL = "pip install './plugins/train[models]' (from a checkout)"
KEPT: dict[str, Any] = {"device": "cpu", "local_files_only": True, "trust_remote_code": False}
"""How a folder is opened: nothing is fetched, and code that it brings along is never run."""


def require_trainer() -> None:
    """Return if models can be taught here.

    Raises:
        MissingDependency: a library is not installed.
    """
    for module in ("sentence_transformers", "datasets", "accelerate"):
        need(module, by="teaching a model", line=INSTALL)


def encoder_folder(name: str) -> EncoderFolder:
    """The folder of an encoder that says how it pools.

    Raises:
        MissingModel: it is not here and cannot be fetched.
        SpecError: it says nothing of pooling, or asks for what this library does not have.
    """
    folder = EncoderFolder.of(name)
    if not folder.how.pooling_is_declared:
        raise SpecError(
            f"model folder '{folder.path}' does not say how token vectors become one (it has no modules.json), so it is no"
            " encoder to begin with. Name a folder of sentence-transformers"
        )
    return folder


def weights_digest(folder: Path) -> str:
    """sha256 over a folder's weights, by name."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".safetensors", ".bin"))
    return data_sha256({str(path.relative_to(folder)): file_sha256(path) for path in files})


class Cut:
    """A model that is taught on the first tokens of each text, and asked and written as it is used: by its own limit.

    Questions kept apart that saw no more of a passage than what teaches would tell nothing of what a search reads.

    Args:
        model: of sentence-transformers; its limit is `max_tokens` from now on, if that is less.
        own: the most tokens that it reads; unset, what it says.
    """

    def __init__(self, model: Any, max_tokens: int, *, own: int | None = None) -> None:
        self._model, self._own = model, model.max_seq_length
        model.max_seq_length = min(max_tokens, own or self._own or max_tokens)

    @contextmanager
    def as_used(self) -> Iterator[None]:
        """It reads by its own limit meanwhile."""
        taught = self._model.max_seq_length
        self._model.max_seq_length = self._own
        try:
            yield
        finally:
            self._model.max_seq_length = taught

    def write(self, place: Path) -> None:
        with self.as_used():
            self._model.save_pretrained(str(place), create_model_card=False)


def prompts_of(folder: EncoderFolder) -> dict[str, str]:
    """What stands before a text, by its role."""
    return {str(role): text for role, text in folder.how.prompts.items()}


def encoder_task(folder: EncoderFolder, model: Any, cut: Cut, **more: Any) -> Task:
    """A task whose model is a sentence encoder, and what is to be said `more` of it than how it is asked, written and named."""
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

    return Task(
        model=model,
        trainer=SentenceTransformerTrainer,
        arguments=SentenceTransformerTrainingArguments,
        measure=cut.as_used()(lambda cases: asked_apart(model, cases, prompts_of(folder))),
        save=cut.write,
        start=folder.name,
        start_sha256=weights_digest(folder.path),
        named_by="index.dense.encoder",
        **more,
    )


def encoded(model: Any, texts: Sequence[str], prompt: str) -> NDArray[np.float32]:
    """float32 [n, dim], in input order."""
    vectors = model.encode(list(texts), prompt=prompt or None, batch_size=32, show_progress_bar=False)
    return np.asarray(vectors, dtype=np.float32)


def asked_apart(model: Any, cases: Sequence[Case], prompts: Mapping[str, str]) -> list[float]:
    """nDCG@10 of each question kept apart, by inner products of vectors."""
    texts = list(dict.fromkeys(text for case in cases for text in texts_of(case)))
    rows = {text: row for row, text in enumerate(texts)}
    documents = encoded(model, texts, prompts.get("document", ""))
    queries = encoded(model, [case.query for case in cases], prompts.get("query", ""))
    return [
        ndcg(documents[[rows[text] for text in texts_of(case)]] @ query, case.grades)
        for case, query in zip(cases, queries, strict=True)
    ]
