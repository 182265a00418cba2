"""Which data a figure is of: digests of the parts of a data set."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from pathlib import Path

from rag.core.errors import SpecError
from rag.core.lines import opened
from rag.evaluate.beir import Dataset, plain_or_packed


def fingerprint(dataset: Dataset, splits: Iterable[str]) -> dict[str, str]:
    """Part -> sha256 of its content, unpacked: corpus, queries, answers, and the judgements of each split that there is.

    So a file that is packed again is the same, and one that holds a word more is not.

    Raises:
        SpecError: a file cannot be read.
    """
    judged = {f"judgements of {split}": dataset.splits[split] for split in splits if split in dataset.splits}
    queries = plain_or_packed(dataset.folder / "queries.jsonl")
    parts = {
        "corpus": dataset.corpus,
        "queries": [queries] if queries else [],
        "answers": [dataset.qa] if dataset.qa else [],
        **{name: [path] for name, path in judged.items()},
    }
    return {name: _content_sha256(paths) for name, paths in parts.items() if paths}


def _content_sha256(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        try:
            with opened(path) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except (OSError, EOFError, zlib.error) as cause:
            raise SpecError(f"{path} cannot be read: {cause}") from None
    return digest.hexdigest()
