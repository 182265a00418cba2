"""Name -> folder: which of the three sources a name means, and what is already here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from rag.core.errors import MissingModel, did_you_mean
from rag.core.progress import Progress, silent
from rag.models import hub, packaged
from rag.models.folder import ModelFolder, require_complete
from rag.models.table import PACKAGED

GGUF = ".gguf"
"""What ends the name of a model's GGUF file: of a packaged one too, `NAME.gguf`."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A line of `rag models list`. `licence` is empty where the store does not know it.

    `fetched_bytes`: what a pull fetches; `memory_bytes`: of its weights, of a file as it is, else in bfloat16; 0 where nobody
    knows.
    """

    name: str
    state: Literal["ready", "damaged", "absent"]
    size_bytes: int
    path: Path
    licence: str
    source: str
    purpose: str = ""
    fetched_bytes: int = 0
    memory_bytes: int = 0


def resolve(
    name: str, *, revision: str | None = None, offline: bool | None = None, progress: Progress = silent
) -> ModelFolder:
    """The folder of a model, fetched first if need be.

    A packaged name comes first, then a folder of that path (`./NAME` is always a path), then a hub id
    `owner/name`. A name that ends in `.gguf` means that file: the path is one, or a packaged model is fetched as it was
    published and not converted.

    Args:
        revision: commit, branch or tag of a hub model; the other sources have none.
        offline: never touch the network. None asks HF_HUB_OFFLINE.
    Raises:
        MissingModel: it is not there and may not or cannot be fetched, or a file is missing; names the file,
            the command that gets it, or the known names.
    """
    if offline is None:
        offline = hub.offline_by_environment()
    model = PACKAGED.get(name)
    if not model and name.endswith(GGUF):
        return _file(name, revision, offline, progress)
    path = None if model else folder_of(name)
    if revision is not None and (model or path):
        raise MissingModel(f"model '{name}' has no revision '{revision}': only hub models have revisions")
    if model:
        return _packaged(model, offline, progress)
    if path:
        require_complete(path, cure="Copy the missing file there, or name another model.")
        return ModelFolder(name=name, path=path, revision=None, source="path")
    require_hub_id(name)
    return _from_hub(name, revision, offline, progress)


def require_meaning(name: str) -> None:
    """Return if a name can mean a model: a packaged one, a folder that is there, or one of the hub. No network.

    Raises:
        MissingModel: it can mean none; names those that are near.
    """
    if name.endswith(GGUF):
        _packaged_gguf(name) or gguf_file(name)
    elif name not in PACKAGED and folder_of(name) is None:
        require_hub_id(name)


def require_hub_id(name: str) -> None:
    """Raise MissingModel unless a name has the form `owner/name`."""
    if not _HUB_ID.fullmatch(name):
        raise MissingModel(
            f"no model named '{name}'. {did_you_mean(name, PACKAGED)} Or give a folder's path or a"
            " hub id such as 'sentence-transformers/all-MiniLM-L6-v2'."
        )


def locate(name: str, *, revision: str | None = None) -> ModelFolder | None:
    """The folder of a model that is completely here, else None. Never the network."""
    try:
        return resolve(name, revision=revision, offline=True)
    except MissingModel:
        return None


def list_models(*, read: bool = False) -> list[ModelInfo]:
    """The packaged defaults, then the models in the hub's cache. No network.

    Args:
        read: read every byte of the packaged ones again, not only of files that changed since they were last read.
    """
    models = PACKAGED.values()
    folders = [_info(each, each.name, each.path, partial(packaged.built, each, read=read)) for each in models]
    files = [
        _info(each, f"{each.name}{GGUF}", each.gguf_path, partial(packaged.gguf_built, each, read=read))
        for each in models
        if each.gguf_path
    ]
    cached = [
        ModelInfo(
            name=name,
            state="ready" if locate(name) else "damaged",
            size_bytes=size_bytes,
            path=path,
            licence="",
            source="hub cache",
        )
        for name, path, size_bytes in hub.in_cache()
    ]
    return folders + files + cached


def packaged_model(name: str) -> packaged.PackagedModel | None:
    """What is known of a packaged model or its GGUF file, whether it is here or not; None of others."""
    return PACKAGED.get(name.removesuffix(GGUF))


def window_beforehand(name: str) -> int | None:
    """Tokens that a packaged model reads and writes together, whether it is here or not; None of others."""
    model = packaged_model(name)
    return model.window if model else None


def gguf_file(name: str) -> Path:
    """The GGUF file of that path.

    Raises:
        MissingModel: there is none.
    """
    path = Path(name).expanduser()
    if not path.is_file():
        known = [f"{each}{GGUF}" for each, model in PACKAGED.items() if model.gguf]
        raise MissingModel(f"no GGUF file at '{path}'. {did_you_mean(name, known)} Or give a file's path.")
    return path.resolve()


def _packaged_gguf(name: str) -> packaged.PackagedModel | None:
    model = PACKAGED.get(name.removesuffix(GGUF))
    return model if model and model.gguf else None


def _file(name: str, revision: str | None, offline: bool, progress: Progress) -> ModelFolder:
    if revision is not None:
        raise MissingModel(f"model '{name}' has no revision '{revision}': only hub models have revisions")
    model = _packaged_gguf(name)
    if model is None:
        return ModelFolder(name=name, path=gguf_file(name), revision=None, source="path")
    try:
        path = packaged.gguf_built(model)
    except MissingModel:
        if offline:
            raise
        path = packaged.build_gguf(model, progress=progress)
    return ModelFolder(name=name, path=path, revision=model.version, source="packaged")


def folder_of(name: str) -> Path | None:
    """The folder that `name` means, if it means one.

    Raises:
        MissingModel: it can only mean a folder, and there is none.
    """
    path = Path(name).expanduser()
    if name and path.is_dir():
        return path.resolve()
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise MissingModel(f"no model folder at '{path}'")
    return None


def _packaged(model: packaged.PackagedModel, offline: bool, progress: Progress) -> ModelFolder:
    try:
        path = packaged.built(model)
    except MissingModel:
        if offline and not packaged.is_fetched(model):  # a fetched file is converted without the network
            raise
        path = packaged.build(model, progress=progress)
    return ModelFolder(name=model.name, path=path, revision=model.version, source="packaged")


def _from_hub(name: str, revision: str | None, offline: bool, progress: Progress) -> ModelFolder:
    cure = f"Run: rag models pull {name}"
    path = hub.cached(name, revision=revision)
    if offline and path is None:
        suffix = f" at revision '{revision}'" if revision else ""
        raise MissingModel(f"model '{name}'{suffix} is not in the hub's cache. {cure}")
    try:
        if path is None:
            raise MissingModel(name)
        require_complete(path, cure=cure)
    except MissingModel:
        if offline:
            raise
        progress(f"model {name}: download", 0, 1)
        path = hub.fetch(name, revision=revision)
        progress(f"model {name}: download", 1, 1)
        require_complete(path, cure="The hub has no such file: name another model, or a revision that has it.")
    return ModelFolder(name=name, path=path, revision=path.name, source="hub")


def _info(model: packaged.PackagedModel, name: str, path: Path, built: Callable[[], Path]) -> ModelInfo:
    here = path.exists()
    try:
        built()
        state: Literal["ready", "damaged", "absent"] = "ready"
    except MissingModel:
        state = "damaged" if here else "absent"
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return ModelInfo(
        name=name,
        state=state,
        size_bytes=sum(each.stat().st_size for each in files),
        path=path,
        licence=model.licence,
        source=model.source,
        purpose=model.purpose,
        fetched_bytes=model.fetched_bytes,
        memory_bytes=model.gguf.n_bytes if model.gguf and name.endswith(GGUF) else 2 * model.n_parameters,
    )
