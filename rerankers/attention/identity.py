"""Which weights a lent model has. Head sets and kept states depend on them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from rag.models import weights_sha256

_hashes: WeakKeyDictionary[Any, str] = WeakKeyDictionary()  # a memo: lives as long as the model does


def name_of(model: Any) -> str:
    """What the model calls itself: the last part of the folder or hub id it came from, else its type."""
    place = str(getattr(model, "name_or_path", "") or "").rstrip("/")
    return Path(place).name if place else str(model.config.model_type)


def weight_hash(model: Any) -> str:
    """64 hex digits: the hash of the weight files where the model came from a folder, else of what is in memory."""
    found = _hashes.get(model)
    if found is None:
        folder = Path(str(getattr(model, "name_or_path", "") or ""))
        in_folder = bool(folder.name) and (folder / "config.json").is_file()
        found = _hashes[model] = weights_sha256(folder) if in_folder else _in_memory(model)
    return found


def _in_memory(model: Any) -> str:
    import torch

    whole = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        whole.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        whole.update(tensor.detach().contiguous().cpu().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return whole.hexdigest()
