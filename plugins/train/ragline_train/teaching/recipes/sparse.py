"""Learned sparse terms taught on the corpus by the legs' shares, with a price on terms (SPLADE, SIGIR 2021, arXiv 2109.10086)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.indexes import EncoderFolder
from ragline_train.pseudo import Case
from ragline_train.teaching.lessons import Lessons
from ragline_train.teaching.recipes.opened import KEPT, Cut, require_trainer, weights_digest
from ragline_train.teaching.task import Settings, Task, matching_temperature, ndcg, share_rows, texts_of

_PRICE_OF_DOCUMENTS, _PRICE_OF_QUERIES = 3e-4, 5e-4
_BATCH = 4
"""Texts that are asked at once: a score of each of some thirty thousand words is held for each of their tokens."""


def recipe(lessons: Lessons, settings: Settings) -> Task:
    require_trainer()
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder import SparseEncoderTrainer, SparseEncoderTrainingArguments, losses

    from ragline_train.teaching.recipes.few_terms import FewTerms

    folder = EncoderFolder.of(settings.model or "splade-tiny")
    model: Any = SparseEncoder(str(folder.path), **KEPT)
    cut = Cut(model, settings.max_tokens)
    temperature = matching_temperature(lessons.taught, lambda case: _scores(model, case))
    shares = losses.SparseDistillKLDivLoss(model, student_temperature=temperature, teacher_temperature=1.0)

    return Task(
        model=model,
        loss=losses.SpladeLoss(
            FewTerms(model),
            shares,
            document_regularizer_weight=_PRICE_OF_DOCUMENTS,
            query_regularizer_weight=_PRICE_OF_QUERIES,
        ),
        trainer=SparseEncoderTrainer,
        arguments=SparseEncoderTrainingArguments,
        examples=share_rows(lessons.taught, settings.ways),
        keys=[case.source for case in lessons.taught],
        measure=cut.as_used()(lambda cases: _asked_apart(model, cases)),
        save=cut.write,
        start=folder.name,
        start_sha256=weights_digest(folder.path),
        named_by="index.sparse.model",
        learning_rate=5e-5,
        facts={"temperature": temperature},
    )


def _asked_apart(model: Any, cases: Sequence[Case]) -> list[float]:
    texts = list(dict.fromkeys(text for case in cases for text in texts_of(case)))
    rows = {text: row for row, text in enumerate(texts)}
    documents, queries = _terms(model, texts), _terms(model, [case.query for case in cases])
    return [
        ndcg((documents[[rows[text] for text in texts_of(case)]] @ queries[[at]].T).toarray()[:, 0], case.grades)
        for at, case in enumerate(cases)
    ]


def _scores(model: Any, case: Case) -> NDArray[np.float64]:
    products: NDArray[np.float64] = (_terms(model, texts_of(case)) @ _terms(model, [case.query]).T).toarray()[:, 0]
    return products


def _terms(model: Any, texts: Sequence[str]) -> Any:
    """Weights of terms: a sparse matrix [n, vocabulary]. A batch at a time is held with all its zeros."""
    from scipy.sparse import csr_matrix, vstack

    how = {"batch_size": _BATCH, "show_progress_bar": False, "convert_to_sparse_tensor": False}
    batches = (texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH))
    return vstack([csr_matrix(np.asarray(model.encode(batch, **how))) for batch in batches], format="csr")
