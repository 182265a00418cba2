"""A bi-encoder taught on the corpus: by the shares that all legs give together, or by sources against hard negatives.

Shares are taught by the Kullback-Leibler divergence over a question's candidates; sources by cached multiple negatives
ranking (Gao et al., 2021, arXiv 2101.06983), which also sets the batch's other passages against a question.
"""

from __future__ import annotations

from typing import Any

from rag.errors import SpecError
from ragline_train.teaching.lessons import Lessons
from ragline_train.teaching.recipes.opened import (
    KEPT,
    Cut,
    encoder_folder,
    encoder_task,
    prompts_of,
    require_trainer,
)
from ragline_train.teaching.task import Example, Settings, Task, document_columns, share_rows, texts_of, ways
from ragline_train.teaching.teacher import contrasted

_SHARPNESS = 20.0
"""Cosines times that are logits, as the library's contrastive losses have it."""


def recipe(lessons: Lessons, settings: Settings) -> Task:
    """See `ragline_train.teaching.task.Recipe`.

    Raises:
        SpecError: no model is named; or by `source` no question has a negative that is one.
    """
    require_trainer()
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import losses

    folder = encoder_folder(named(settings))
    model = SentenceTransformer(str(folder.path), **KEPT)
    cut = Cut(model, settings.max_tokens)
    if settings.by == "shares":
        loss: Any = losses.DistillKLDivLoss(model, student_temperature=1 / _SHARPNESS, teacher_temperature=1.0)
        examples = share_rows(lessons.taught, settings.ways)
        keys = [case.source for case in lessons.taught]
    else:
        loss = losses.CachedMultipleNegativesRankingLoss(model, scale=_SHARPNESS, mini_batch_size=32)
        examples, keys = source_rows(lessons, settings.ways)
    prompts = prompts_of(folder)
    return encoder_task(
        folder,
        model,
        cut,
        loss=loss,
        examples=examples,
        keys=keys,
        learning_rate=3e-5,
        prompts={"query": prompts["query"], **dict.fromkeys(document_columns(settings.ways), prompts["document"])},
        facts={"hard negatives": sum(len(case.candidates) - 1 for case in lessons.taught)},
    )


def named(settings: Settings) -> str:
    """The model that is taught.

    Raises:
        SpecError: none is named, and the index has no encoder of its own.
    """
    if settings.model is None:
        raise SpecError(
            "the index has no vectors, or a server makes them, so it does not say which encoder to teach. Name one with --model"
        )
    return settings.model


def source_rows(lessons: Lessons, n: int) -> tuple[list[Example], list[str]]:
    """`query`, its source as `document_1`, and hard negatives.

    Raises:
        SpecError: none is left.
    """
    found = [(case, kept) for case in lessons.taught if (kept := contrasted(case)) is not None]
    if len(found) < 2:
        raise SpecError(
            f"of {len(lessons.taught)} questions {len(found)} have a passage that they were made of and a negative that the teacher"
            " likes less. Teach by shares, or with other questions"
        )
    rows: list[Example] = []
    for _, kept in found:
        texts = texts_of(kept)
        places = ways(kept, n)
        rows.append({"query": kept.query, **{f"document_{at}": texts[p] for at, p in enumerate(places, start=1)}})
    return rows, [case.source for case, _ in found]
