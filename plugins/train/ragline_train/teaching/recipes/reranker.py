"""A small cross-encoder taught by the fused list of the legs, as what is to be added to their own scores (ours).

Its body is any BERT: an encoder's, or that of a masked model. The head is new, and an order by a new head says nothing. So
the head begins at zero and the model's score is added to the standardised score of the first stage: the start is the order
that is to be mended. The loss is listwise (`residual_loss`), the setting that of RankDistil (Reddi et al., AISTATS 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rag.indexes import EncoderFolder
from ragline_train.pseudo import Case
from ragline_train.teaching.lessons import Lessons
from ragline_train.teaching.recipes.opened import KEPT, require_trainer, weights_digest
from ragline_train.teaching.task import Example, Settings, Task, log_share, ndcg, ways

_BODY = "splade-tiny"
"""2 layers of 128: forty candidates in a tenth of a second."""
FIRST_STAGE = 1.0
"""Times that the first stage's standardised score is added, here and where the model serves."""


def recipe(lessons: Lessons, settings: Settings) -> Task:
    require_trainer()
    import torch
    from sentence_transformers import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments

    from ragline_train.teaching.recipes.residual_loss import ResidualListNetLoss

    folder = EncoderFolder.of(settings.model or _BODY)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)  # of what a body may lack before the head
        model: Any = CrossEncoder(str(folder.how.transformer), num_labels=1, max_length=settings.max_tokens, **KEPT)
    torch.nn.init.zeros_(model.model.classifier.weight)
    torch.nn.init.zeros_(model.model.classifier.bias)

    def save(place: Path) -> None:
        model.save_pretrained(str(place), create_model_card=False)

    return Task(
        model=model,
        loss=ResidualListNetLoss(model),
        trainer=CrossEncoderTrainer,
        arguments=CrossEncoderTrainingArguments,
        examples=_rows(lessons.taught, settings.ways),
        keys=[case.source for case in lessons.taught],
        measure=lambda cases: _asked_apart(model, cases),
        save=save,
        start=f"the first stage's order, and {folder.name} with a head of zeros",
        start_sha256=weights_digest(folder.path),
        named_by="rerank.cross_encoder",
        learning_rate=1e-4,
        facts={"max_tokens of a pair": settings.max_tokens, "first_stage": FIRST_STAGE},
    )


def _rows(cases: Sequence[Case], n: int) -> list[Example]:
    """`query`, `documents`, what the first stage says of them, and `label`: logarithms of the teacher's shares."""
    return [
        {
            "query": case.query,
            "documents": [case.candidates[place].full_text for place in places],
            "first": [FIRST_STAGE * _first(case)[place] for place in places],
            "label": [log_share(case.grades[place]) for place in places],
        }
        for case in cases
        for places in [ways(case, n)]
    ]


def _first(case: Case) -> Sequence[float]:
    """All the same where nobody kept it."""
    return case.first or (0.0,) * len(case.candidates)


def _asked_apart(model: Any, cases: Sequence[Case]) -> list[float]:
    import torch

    pairs = [(case.query, each.full_text) for case in cases for each in case.candidates]
    logits = model.predict(pairs, batch_size=32, show_progress_bar=False, activation_fn=torch.nn.Identity())
    values, at = [], 0
    for case in cases:
        added = np.asarray(logits[at : at + len(case.candidates)]) + FIRST_STAGE * np.asarray(_first(case))
        values.append(ndcg(added, case.grades))
        at += len(case.candidates)
    return values
