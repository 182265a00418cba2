"""Representations of all units of an index, made once, a block of units after the other, and kept on disk.

A block is a file named by the texts in it and by all that made it, so a build that was stopped goes on where it was, and
no file can be taken for another.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from rag.models import home
from rag.stages.model_identity import model_identity
from retrievers.index.documents import Documents
from retrievers.promptreps_encoder import PromptRepsEncoder, Representations

log = logging.getLogger(__name__)

VERSION = 1
BLOCK = 128  # units: what a killed build loses

_building = threading.Lock()  # two nodes of a graph must not encode the same units side by side


def represent(documents: Documents, encoder: PromptRepsEncoder, *, cache: Path | None) -> Representations:
    """Of all units, in order of rows.

    Args:
        cache: folder of the blocks; None is a folder in ragline's home. A model that does not say which one it is
            leaves nothing there.
    """
    with _building:
        made_by = _made_by(encoder)
        folder = cache or home() / "promptreps"
        blocks = []
        for first in range(0, len(documents), BLOCK):
            texts = [document.full_text for document in documents[first : first + BLOCK]]
            file = None if made_by is None else folder / f"{_digest(made_by, texts)}.npz"
            block = _read(file, len(texts)) if file else None
            if block is None:
                block = encoder.encode(texts, role="document")
                log.info("promptreps: %d of %d units encoded", first + len(texts), len(documents))
                if file:
                    _save(block, file)
            blocks.append(block)
        return joined(blocks)


def joined(blocks: Sequence[Representations]) -> Representations:
    """One after another."""
    offsets = np.cumsum([0, *(len(block.tokens) for block in blocks)])
    starts = [block.starts[:-1] + offset for block, offset in zip(blocks, offsets, strict=False)]
    return Representations(
        dense=np.concatenate([block.dense for block in blocks]),
        tokens=np.concatenate([block.tokens for block in blocks]),
        weights=np.concatenate([block.weights for block in blocks]),
        starts=np.concatenate([*starts, offsets[-1:]]).astype(np.int64),
        n_tokens=sum(block.n_tokens for block in blocks),
    )


def _made_by(encoder: PromptRepsEncoder) -> str | None:
    """Names everything but the texts. The type of the weights as loaded counts: it moves the rounded weights."""
    identity = model_identity(encoder.llm)
    if identity is None:
        return None
    with encoder.llm.weights() as lent:
        dtype = str(lent.model.dtype)
    made_of = [VERSION, identity, dtype, encoder.prompt.sha256, encoder.text_tokens, encoder.sparse_tokens]
    return json.dumps(made_of, sort_keys=True)


def _digest(made_by: str, texts: Sequence[str]) -> str:
    data = json.dumps([made_by, *texts])
    return hashlib.sha256(data.encode()).hexdigest()


def _read(file: Path, n: int) -> Representations | None:
    """A block that was kept; None where there is none, or none that fits."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
            block = Representations(**{name: kept[name] for name in ("dense", "tokens", "weights", "starts")})
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    kinds = [str(part.dtype) for part in (block.dense, block.tokens, block.weights, block.starts)]
    fine = (
        kinds == ["float32", "int32", "int32", "int64"]
        and block.dense.ndim == 2
        and len(block.dense) == n == len(block.starts) - 1
        and len(block.tokens) == len(block.weights) == block.starts[-1]
        and bool(np.all(np.diff(block.starts) >= 0))
    )
    return block if fine else None


def _save(block: Representations, file: Path) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.stem}-")
    with os.fdopen(descriptor, "wb") as stream:
        np.savez(stream, dense=block.dense, tokens=block.tokens, weights=block.weights, starts=block.starts)
    os.replace(temporary, file)
