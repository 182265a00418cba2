"""Static vectors taught on the corpus: a table that was distilled from an encoder, taught by the shares of all legs.

A step multiplies nothing but a table, so minutes are thousands of steps. What comes out is a table in model2vec's layout.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ragline_train.static_vectors import distil_static
from ragline_train.teaching.lessons import Lessons
from ragline_train.teaching.recipes.opened import asked_apart, require_trainer, weights_digest
from ragline_train.teaching.task import Settings, Task, share_rows

_SHARPNESS = 20.0


def recipe(lessons: Lessons, settings: Settings) -> Task:
    """See `ragline_train.teaching.task.Recipe`. `settings.model` is a folder of `rag distil`, or an encoder to be distilled now."""
    require_trainer()
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer import losses
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    source = settings.model or "all-minilm-l6-v2"
    room = TemporaryDirectory(prefix="static-")
    start = Path(room.name) / "start"
    if _is_table(Path(source)):
        shutil.copytree(source, start)
    else:
        distil_static(source, start, numbers="float32")
    model: Any = SentenceTransformer(modules=[StaticEmbedding.from_model2vec(str(start)), Normalize()], device="cpu")
    return Task(
        model=model,
        loss=losses.DistillKLDivLoss(model, student_temperature=1 / _SHARPNESS, teacher_temperature=1.0),
        trainer=SentenceTransformerTrainer,
        arguments=SentenceTransformerTrainingArguments,
        examples=share_rows(lessons.taught, settings.ways),
        keys=[case.source for case in lessons.taught],
        measure=lambda cases: asked_apart(model, cases, {}),
        save=_saved_like(start, model, room),
        start=f"static vectors of {source}",
        start_sha256=weights_digest(start),
        named_by="index.dense.encoder",
        learning_rate=5e-3,
    )


def _is_table(folder: Path) -> bool:
    """Whether a folder has static vectors in model2vec's layout."""
    file = folder / "config.json"
    return file.is_file() and json.loads(file.read_text(encoding="utf-8")).get("model_type") == "model2vec"


def _saved_like(start: Path, model: Any, room: TemporaryDirectory[str]) -> Callable[[Path], None]:
    """What writes the table beside the tokenizer and the configuration of the start, which lies in `room` until then."""

    def save(place: Path) -> None:
        from safetensors.torch import save_file

        place.mkdir(parents=True)
        for name in ("config.json", "tokenizer.json"):
            shutil.copy2(Path(room.name) / start.name / name, place / name)
        save_file({"embeddings": model[0].embedding.weight.detach().clone()}, place / "model.safetensors")

    return save
