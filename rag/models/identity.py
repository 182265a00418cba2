"""Which model made something: for caches, indexes and runs that must not mix what two models make."""

from __future__ import annotations

from rag.core.errors import MissingModel
from rag.core.llm_protocols import SignsItsWork
from rag.core.protocols import LLM
from rag.models.folder import weights_sha256
from rag.models.store import folder_of, resolve
from rag.models.table import PACKAGED


def model_identity(llm: LLM) -> dict[str, str] | None:
    """JSON data that two models share only if they are the same; None for one that does not say what it is.

    A model in this process is its weights, wherever they lie; they are fetched if need be. One behind a server is its
    name and address: what is served there under that name may change unseen.
    """
    signature = llm.signature() if isinstance(llm, SignsItsWork) else None
    return None if signature is None else dict(signature)


def weights_signature(
    kind: type, name: str, *, revision: str | None, offline: bool | None, dtype: str
) -> dict[str, str]:
    """What `signature` gives for a model in this process."""
    folder = resolve(name, revision=revision, offline=offline)
    return {
        "kind": f"{kind.__module__}:{kind.__qualname__}",
        "weights_sha256": weights_sha256(folder.path),
        "dtype": dtype,
    }


def named_weights(name: str, revision: str | None) -> dict[str, str]:
    """What a model's name stands for, found without fetching anything.

    A packaged name stands for one version, a folder for the weights in it, a hub id for its revision.
    """
    if name in PACKAGED:
        return {"name": name, "version": PACKAGED[name].version}
    try:
        if folder := folder_of(name):
            return {"weights_sha256": weights_sha256(folder)}
    except MissingModel:  # it may be on another machine, which works for this one
        pass
    return {"name": name, "revision": revision or ""}
