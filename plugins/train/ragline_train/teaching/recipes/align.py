"""An encoder fitted to the vectors of a larger one, on the texts of the corpus (LEAF, arXiv 2509.12539; NanoVDR for pictures).

No question and no negative is needed: the teacher's vectors say where each text belongs, and they are computed once. The
student's may be shorter: then a linear layer makes them as long, and goes when the student is done, so that its own vectors
are what is compared. It reads with its own tokenizer, so a student that knows one language learns others only as far as its
pieces of words tell them apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rag.errors import SpecError
from rag.indexes import SentenceEncoder
from ragline_train.teaching.lessons import Lessons
from ragline_train.teaching.recipes.encoder import saved_with
from ragline_train.teaching.recipes.opened import KEPT, asked_apart, encoder_folder, require_trainer, weights_digest
from ragline_train.teaching.settings import Settings
from ragline_train.teaching.task import Example, Task, texts_of

_TEACHER = "multilingual-e5-small"


def recipe(lessons: Lessons, settings: Settings) -> Task:
    """See `ragline_train.teaching.task.Recipe`.

    Raises:
        SpecError: student and teacher are the same.
    """
    require_trainer()
    import torch
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer import losses

    teacher_name = settings.teacher_model or _TEACHER
    folder = encoder_folder(settings.model or "all-minilm-l6-v2")
    if folder.name == teacher_name:
        raise SpecError(f"'{teacher_name}' cannot be fitted to itself. Name another student (--model) or teacher")
    model = SentenceTransformer(str(folder.path), **KEPT)
    prompts = {str(role): text for role, text in folder.how.prompts.items()}
    examples = vector_rows(lessons, SentenceEncoder(model=teacher_name))
    width, wanted = model.get_embedding_dimension(), len(examples[0]["label"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)  # of the layer between
        loss: Any = losses.EmbedDistillLoss(
            model, distance_metric="cosine", projection_dim=None if width == wanted else wanted
        )
    return Task(
        model=model,
        loss=loss,
        trainer=SentenceTransformerTrainer,
        arguments=SentenceTransformerTrainingArguments,
        examples=examples,
        keys=[str(row["text"]) for row in examples],
        measure=lambda cases: asked_apart(model, cases, prompts),
        save=saved_with(model, settings.max_tokens),
        start=folder.name,
        start_sha256=weights_digest(folder.path),
        named_by="index.dense.encoder",
        learning_rate=1e-4,
        facts={"fitted to": teacher_name, "texts": len(examples)},
    )


def vector_rows(lessons: Lessons, teacher: SentenceEncoder) -> list[Example]:
    """`text` and the teacher's vector of it, of all candidates and questions that teach, each once."""
    documents = list(dict.fromkeys(text for case in lessons.taught for text in texts_of(case)))
    questions = list(dict.fromkeys(case.query for case in lessons.taught))
    vectors = np.concatenate(
        [teacher.encode(documents, role="document"), teacher.encode(questions, role="query")], dtype=np.float32
    )
    return [
        {"text": text, "label": vector.tolist()} for text, vector in zip([*documents, *questions], vectors, strict=True)
    ]
