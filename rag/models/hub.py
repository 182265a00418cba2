"""Models of the Hugging Face hub, through huggingface_hub and its cache.

HF_HOME, HF_ENDPOINT and HF_TOKEN mean what they mean there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rag.core.errors import MissingModel

# What loading reads. Pickled weights are left out; so are copies of the weights for other engines.
ALLOW = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
IGNORE = ("onnx/*", "openvino/*", "original/*", "coreml/*", "checkpoint-*/*")


def offline_by_environment() -> bool:
    """Whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) says so now, not when huggingface_hub was imported."""
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in {"1", "ON", "YES", "TRUE"}


def _hub() -> Any:
    import huggingface_hub

    return huggingface_hub


def cached(name: str, *, revision: str | None) -> Path | None:
    """The snapshot in the local cache, perhaps incomplete; never the network."""
    hub = _hub()
    try:
        return Path(hub.snapshot_download(name, revision=revision, local_files_only=True))
    except (hub.errors.LocalEntryNotFoundError, hub.errors.HFValidationError, OSError):
        return None


def fetch(name: str, *, revision: str | None) -> Path:
    """Download what is missing.

    Raises:
        MissingModel: the hub cannot be reached, does not know the name or revision, or refuses.
    """
    hub = _hub()
    try:
        return Path(
            hub.snapshot_download(name, revision=revision, allow_patterns=list(ALLOW), ignore_patterns=list(IGNORE))
        )
    except Exception as cause:  # its HTTP library's errors share no base with its own
        reason = str(cause).strip().splitlines()[0] if str(cause).strip() else "no reason given"
        suffix = f" at revision '{revision}'" if revision else ""
        raise MissingModel(
            f"model '{name}'{suffix} cannot be fetched from the hub: {type(cause).__name__}: {reason}. Check the"
            " name and the connection (HF_ENDPOINT, HF_TOKEN), or give the path of a local folder."
        ) from cause


def in_cache() -> Iterator[tuple[str, Path, int]]:
    """(name, snapshot folder, bytes) of every model in the local cache."""
    hub = _hub()
    try:
        repositories = hub.scan_cache_dir().repos
    except hub.errors.CacheNotFound:
        return
    for repository in sorted(repositories, key=lambda one: str(one.repo_id)):
        if repository.repo_type == "model" and repository.revisions:
            newest = max(repository.revisions, key=lambda one: float(one.last_modified))
            yield str(repository.repo_id), Path(newest.snapshot_path), int(newest.size_on_disk)
