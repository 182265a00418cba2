"""Models that were taught on documents: nobody can take a document out of one, so a receipt names those that it taught.

`rag train` writes the ids of all documents that taught into the folder of a model. They are read here and not by what teaches,
so that an erasure says the same whatever is installed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from rag.core.errors import SpecError
from rag.erasure.erased_documents import Leaving
from rag.erasure.store_protocol import Keeper

_RUN, _TRAINING, _DOCUMENTS = "run.json", "training.json", "documents"


class ModelsKeeper(Keeper):
    """Folders of `rag train`. They stay as they are: their owner deletes them, and teaches them anew."""

    name = "model"

    def recognises(self, path: Path) -> bool:
        return (path / _RUN).is_file() and (path / _TRAINING).is_file()

    def erase(self, path: Path, leaving: Leaving) -> str:
        return "left as it is"

    def holds(self, path: Path, leaving: Leaving) -> Sequence[str]:
        return sorted(leaving.marks.doc_ids.intersection(_taught(path)))


def models_of(names: Iterable[str]) -> list[Path]:
    """Those of some models that are folders of `rag train`, each once."""
    keeper = ModelsKeeper()
    return [path for path in map(Path, dict.fromkeys(names)) if keeper.recognises(path)]


def _taught(folder: Path) -> frozenset[str]:
    file = folder / _TRAINING
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        return frozenset(each for each in said[_DOCUMENTS] if isinstance(each, str))
    except (OSError, ValueError, RecursionError, LookupError, TypeError) as cause:
        raise SpecError(
            f"'{file}' cannot be read ({cause}), so nobody can say which documents taught this model. Put it right, or delete"
            " the model's folder, and try again. The index was left as it was"
        ) from None
