"""Token vectors taught on the corpus: an encoder's tokens through a head of 128 numbers (ColBERTv2, NAACL 2022, distillation).

The head is new. A linear layer that is drawn at random keeps angles roughly, so the start is not nothing; the gain is over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragline_train.pseudo import Case
from ragline_train.teaching.lessons import Lessons
from ragline_train.teaching.recipes.opened import KEPT, Cut, encoder_folder, require_trainer, weights_digest
from ragline_train.teaching.task import Settings, Task, matching_temperature, ndcg, share_rows, texts_of


def recipe(lessons: Lessons, settings: Settings) -> Task:
    require_trainer()
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder import (
        MultiVectorEncoderTrainer,
        MultiVectorEncoderTrainingArguments,
        losses,
    )

    folder = encoder_folder(settings.model or "all-minilm-l6-v2")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)  # of the new head
        model: Any = MultiVectorEncoder(str(folder.path), **KEPT)
    cut = Cut(model, settings.max_tokens, own=folder.how.max_length)
    temperature = matching_temperature(lessons.taught, lambda case: _scores(model, case))

    return Task(
        model=model,
        loss=losses.MultiVectorDistillKLDivLoss(model, student_temperature=temperature, teacher_temperature=1.0),
        trainer=MultiVectorEncoderTrainer,
        arguments=MultiVectorEncoderTrainingArguments,
        examples=share_rows(lessons.taught, settings.ways),
        keys=[case.source for case in lessons.taught],
        measure=cut.as_used()(lambda cases: _asked_apart(model, cases)),
        save=cut.write,
        start=f"{folder.name} and a head drawn at random",
        start_sha256=weights_digest(folder.path),
        named_by="index.late_interaction.model",
        learning_rate=5e-5,
        facts={"max_tokens": settings.max_tokens, "temperature": temperature},
    )


def _asked_apart(model: Any, cases: Sequence[Case]) -> list[float]:
    texts = list(dict.fromkeys(text for case in cases for text in texts_of(case)))
    rows = {text: row for row, text in enumerate(texts)}
    how = {"batch_size": 32, "show_progress_bar": False}
    documents = [each.numpy() for each in model.encode_document(texts, **how)]
    queries = [each.numpy() for each in model.encode_query([case.query for case in cases], **how)]
    return [
        ndcg([_max_sim(query, documents[rows[text]]) for text in texts_of(case)], case.grades)
        for case, query in zip(cases, queries, strict=True)
    ]


def _scores(model: Any, case: Case) -> NDArray[np.float64]:
    how = {"batch_size": 32, "show_progress_bar": False}
    query = model.encode_query([case.query], **how)[0].numpy()
    return np.array([_max_sim(query, each.numpy()) for each in model.encode_document(texts_of(case), **how)])


def _max_sim(query: Any, document: Any) -> float:
    """The best product of each of the question's tokens, added up."""
    return float(np.max(query @ document.T, axis=1).sum())
