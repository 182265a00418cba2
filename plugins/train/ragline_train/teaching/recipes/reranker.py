"""A small cross-encoder taught by the fused list of the legs (RankDistil's setting; the listwise loss of Cao et al., ICML 2007).

Its body is any BERT: an encoder's, or that of a masked model. The head is new, so its first order says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rag.indexes import EncoderFolder
from ragline_train.pseudo import Case
from ragline_train.teaching.lessons import Lessons
from ragline_train.teaching.measures import ndcg
from ragline_train.teaching.recipes.opened import KEPT, require_trainer, weights_digest
from ragline_train.teaching.recipes.shares_rows import log_share
from ragline_train.teaching.settings import Settings
from ragline_train.teaching.task import Example, Task, ways

_BODY = "splade-tiny"
"""2 layers of 128: forty candidates in a tenth of a second."""


def recipe(lessons: Lessons, settings: Settings) -> Task:
    """See `ragline_train.teaching.task.Recipe`."""
    require_trainer()
    import torch
    from sentence_transformers import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder import losses

    folder = EncoderFolder.of(settings.model or _BODY)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)  # of the new head
        model: Any = CrossEncoder(str(folder.how.transformer), num_labels=1, max_length=settings.max_tokens, **KEPT)
    examples: list[Example] = [
        {
            "query": case.query,
            "documents": [case.candidates[place].full_text for place in places],
            "label": [log_share(case.grades[place]) for place in places],
        }
        for case in lessons.taught
        for places in [ways(case, settings.ways)]
    ]

    def save(place: Path) -> None:
        model.save_pretrained(str(place), create_model_card=False)

    return Task(
        model=model,
        loss=losses.ListNetLoss(model, mini_batch_size=-1),
        trainer=CrossEncoderTrainer,
        arguments=CrossEncoderTrainingArguments,
        examples=examples,
        keys=[case.source for case in lessons.taught],
        measure=lambda cases: _asked_apart(model, cases),
        save=save,
        start=folder.name,
        start_sha256=weights_digest(folder.path),
        named_by="rerank.cross_encoder",
        learning_rate=1e-4,
        facts={"max_tokens of a pair": settings.max_tokens},
    )


def _asked_apart(model: Any, cases: Sequence[Case]) -> list[float]:
    pairs = [(case.query, each.full_text) for case in cases for each in case.candidates]
    scores = model.predict(pairs, batch_size=32, show_progress_bar=False)
    values, at = [], 0
    for case in cases:
        values.append(ndcg(scores[at : at + len(case.candidates)], case.grades))
        at += len(case.candidates)
    return values
