"""Identity of a lent model: its weights, and how it is built. Head sets and kept states depend on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from rag.core.digests import text_sha256
from rag.models import weights_sha256
from rerankers.attention.heads.layout import Plan

_IN_HUB_CACHE = "models--"
"""How the hub's cache names the folder of models--ORG--NAME, whose snapshots are named by commit."""
_NOT_COMPUTED_WITH = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache"}
_hashes: WeakKeyDictionary[Any, str] = WeakKeyDictionary()  # a memo: lives as long as the model does


def name_of(model: Any) -> str:
    """What the model calls itself: the last part of the folder or hub id it came from, else its type.

    >>> from types import SimpleNamespace
    >>> name_of(SimpleNamespace(name_or_path="hub/models--org--name/snapshots/0123abcd"))
    'org/name'
    """
    place = Path(str(getattr(model, "name_or_path", "") or ""))
    if place.parent.name == "snapshots" and place.parts[-3:-2] and place.parts[-3].startswith(_IN_HUB_CACHE):
        return place.parts[-3].removeprefix(_IN_HUB_CACHE).replace("--", "/", 1)
    return place.name or str(model.config.model_type)


def weight_hash(model: Any) -> str:
    """64 hex digits: the hash of the weight files where the model came from a folder, else of what is in memory."""
    digest = _hashes.get(model)
    if digest is None:
        folder = Path(str(getattr(model, "name_or_path", "") or ""))
        in_folder = bool(folder.name) and (folder / "config.json").is_file()
        digest = _hashes[model] = weights_sha256(folder) if in_folder else _in_memory(model)
    return digest


def states_identity(
    model: Any,
    *,
    opening: Sequence[int],
    plan: Plan,
    prior: Mapping[str, object] | None = None,
    compiled: bool = False,
) -> dict[str, Any]:
    """All that a document's state depends on, beside its own ids: told in clear where it is kept.

    `plan` is of the heads whose keys are kept; `prior` says what the prior depends on, where there is one.

    Weights alone do not say how they are put together: rotary base, scaling, norms and activations stand in the
    configuration, which a user may edit beside the same weights.
    """
    config = model.get_decoder().config
    pairs = plan.pairs(int(config.num_attention_heads) // key_heads(config))
    settings = {name: value for name, value in config.to_dict().items() if name not in _NOT_COMPUTED_WITH}
    in_clear = json.dumps(settings, sort_keys=True, default=str)
    return {
        "weights": weight_hash(model),
        "config": text_sha256(in_clear),
        "dtype": str(model.dtype),
        "device": model.device.type,
        "opening": list(opening),
        "pairs": [list(pair) for pair in pairs],
        "windows": {str(layer): window for layer, window in plan.windows.items()},
        "prior": prior,
        "compiled": compiled,  # rounded in other places
    }


def key_heads(config: Any) -> int:
    """Key heads of a layer."""
    return int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)


def head_size(config: Any) -> int:
    """Numbers of a head's vectors."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _in_memory(model: Any) -> str:
    import torch

    whole = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        whole.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        whole.update(tensor.detach().contiguous().cpu().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return whole.hexdigest()
