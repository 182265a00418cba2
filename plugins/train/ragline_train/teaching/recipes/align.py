"""An encoder fitted to the vectors of a larger one, on the texts of the corpus (LEAF, arXiv 2509.12539; NanoVDR for pictures).

No question and no negative is needed: the teacher's vectors say where each text belongs, and they are computed once. Where the
axes lie says nothing of a space, so the teacher's are turned to the student's first (orthogonal Procrustes), and their mean is
taken off: then the student has to learn what differs, and not a rotation. A student of fewer numbers gets those directions of
the teacher that agree with its own. It reads with its own tokenizer, so a student that knows one language learns others only as
far as its pieces of words tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.errors import SpecError
from rag.indexes import SentenceEncoder
from ragline_train.teaching.lessons import Lessons
from ragline_train.teaching.questions import sentences_of
from ragline_train.teaching.recipes.opened import (
    KEPT,
    Cut,
    encoded,
    encoder_folder,
    encoder_task,
    prompts_of,
    require_trainer,
)
from ragline_train.teaching.task import Example, Settings, Task, texts_of

_TEACHER = "multilingual-e5-small"
_TURNED_BY = 800
"""Texts that say how the axes lie."""
_FEWEST_WORDS, _MOST_WORDS = 4, 40
"""Of a sentence that teaches as a question."""


def recipe(lessons: Lessons, settings: Settings) -> Task:
    """See `ragline_train.teaching.task.Recipe`.

    Raises:
        SpecError: student and teacher are the same.
    """
    require_trainer()
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import losses

    teacher_name = settings.teacher_model or _TEACHER
    folder = encoder_folder(settings.model or "all-minilm-l6-v2")
    if folder.name == teacher_name:
        raise SpecError(f"'{teacher_name}' cannot be fitted to itself. Name another student (--model) or teacher")
    model = SentenceTransformer(str(folder.path), **KEPT)
    prompts = prompts_of(folder)
    cut = Cut(model, settings.max_tokens)
    with cut.as_used():
        examples = vector_rows(lessons, SentenceEncoder(model=teacher_name), model, prompts)
    loss: Any = losses.EmbedDistillLoss(model, distance_metric="cosine")
    return encoder_task(
        folder,
        model,
        cut,
        loss=loss,
        examples=examples,
        keys=[str(row["text"]) for row in examples],
        learning_rate=1e-4,
        facts={"fitted to": teacher_name, "texts": len(examples)},
    )


def vector_rows(lessons: Lessons, teacher: SentenceEncoder, student: Any, prompts: Mapping[str, str]) -> list[Example]:
    """`text` and where the teacher puts it, in the student's axes: what teaches, each text once.

    Those are all candidates, the questions, and as questions the sentences of the candidates too: few passages have many,
    and what people ask is as short. A passage that a question was taken out of is fitted whole, where it is whole anywhere:
    what is left of it for each of its questions differs by a sentence. The student's prompts are before its texts.
    """
    whole: dict[str, str] = {}
    for case in lessons.taught:
        for each, text in zip(case.candidates, texts_of(case), strict=True):
            whole[each.doc_id] = max(whole.get(each.doc_id, ""), text, key=len)
    documents = list(dict.fromkeys(whole.values()))
    asked = [case.query for case in lessons.taught]
    questions = list(dict.fromkeys([*asked, *_sentences_of(lessons)]))
    theirs = np.concatenate([teacher.encode(documents, role="document"), teacher.encode(questions, role="query")])
    some = np.linspace(0, len(documents) - 1, min(_TURNED_BY, len(documents))).astype(int)
    ours = encoded(student, [documents[at] for at in some], prompts.get("document", ""))
    centred = theirs - theirs.mean(axis=0)
    placed = centred @ turned(centred[some], ours - ours.mean(axis=0))
    before = [prompts.get("document", "")] * len(documents) + [prompts.get("query", "")] * len(questions)
    return [
        {"text": f"{prompt}{text}", "label": vector.tolist()}
        for prompt, text, vector in zip(before, [*documents, *questions], placed, strict=True)
    ]


def _sentences_of(lessons: Lessons) -> Iterator[str]:
    for text in dict.fromkeys(each.text for case in lessons.taught for each in case.candidates):
        for start, end in sentences_of(text):
            if _FEWEST_WORDS <= len(text[start:end].split()) <= _MOST_WORDS:
                yield " ".join(text[start:end].split())


def turned(theirs: NDArray[np.float32], ours: NDArray[np.float32]) -> NDArray[np.float32]:
    """What turns their axes to ours: float32 [their dim, our dim], its columns orthogonal and of length 1 (Schönemann, 1966).

    Args:
        theirs, ours: vectors of the same texts, float32 [n, dim] each; ours have no more numbers than theirs.
    """
    left, _, right = np.linalg.svd(theirs.T @ ours, full_matrices=False)
    result: NDArray[np.float32] = (left @ right).astype(np.float32)
    return result
