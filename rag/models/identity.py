"""Which model wrote something: for caches and indexes that must not mix the texts of two models."""

from __future__ import annotations

from typing import Any

from rag.core.protocols import LLM
from rag.models import resolve, weights_sha256


def model_identity(llm: LLM) -> dict[str, str] | None:
    """JSON data that two models share only if they are the same; None for one that does not say what it is.

    A model in this process is its weights, wherever they lie; they are fetched if need be. One behind a server is its
    name and address: what is served there under that name may change unseen.
    """
    name, url = getattr(llm, "model_name", None), getattr(llm, "url", None)
    if not isinstance(name, str) or not name:
        return None
    kind = f"{type(llm).__module__}:{type(llm).__qualname__}"
    if isinstance(url, str):
        return {"kind": kind, "model": name, "url": url}
    folder = resolve(name, revision=_text(llm, "revision") or None, offline=getattr(llm, "offline", None))
    return {"kind": kind, "weights_sha256": weights_sha256(folder.path), "dtype": _text(llm, "dtype")}


def _text(llm: Any, name: str) -> str:
    return str(getattr(llm, name, None) or "")
