"""A folder of weights: what must be in it, and the hash that says which weights they are.

It knows the layouts of transformers and sentence-transformers, and nothing about where a folder came from.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rag.core.contents import TEXT
from rag.core.digests import text_sha256
from rag.core.errors import MissingModel
from rag.models.hashes import read_json, remembered_sha256

TOKENIZERS = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
)

# Modules of sentence-transformers that need no config.json, or keep their settings elsewhere.
_WITHOUT_CONFIG = ("Normalize", "Router", "Dropout", "StaticEmbedding")


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """Where a model lies. `revision` is the commit of a hub model, the package version of a packaged one."""

    name: str
    path: Path
    revision: str | None
    source: Literal["path", "hub", "packaged"]


def home() -> Path:
    """Where ragline keeps what it fetched: $RAGLINE_HOME, else ragline in the user's cache folder."""
    if own := os.environ.get("RAGLINE_HOME"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ragline"


def require_complete(folder: Path, *, cure: str) -> None:
    """Raise MissingModel, naming the file, unless config, weights and a tokenizer are all there.

    Args:
        cure: what the user can do, a sentence that ends the message.
    """
    missing = next(iter(_missing(folder)), None)
    if missing is not None:
        raise MissingModel(f"model folder '{folder}' has no {missing}. {cure}")


def _missing(folder: Path) -> Iterable[str]:
    for module in _modules(folder):
        if not (folder / module / "config.json").is_file():
            yield (Path(module) / "config.json").as_posix()
    places = [folder / path for path, _ in module_types(folder)] or [folder]
    first = places[0]
    with_tokenizer = any((place / name).is_file() for place in (*places, folder) for name in TOKENIZERS)
    if not with_tokenizer and reads_text(folder):
        yield "tokenizer.json"
    listed = weight_files(folder)
    if not listed:
        pickled = " (only pickled weights, which are not read)" if any(first.glob("*.bin")) else ""
        yield f"model.safetensors{pickled}"
    for file in listed:
        if not file.is_file():
            yield file.relative_to(folder).as_posix()


def reads_text(folder: Path) -> bool:
    """Whether a model takes texts. One that does not says so in its config: `"reads": ["picture"]`."""
    config = read_json(folder / "config.json")
    reads = config.get("reads") if isinstance(config, dict) else None
    return not isinstance(reads, list) or TEXT in reads


def _modules(folder: Path) -> list[str]:
    """Relative paths of the parts that have a config: the root, or what sentence-transformers lists."""
    types = module_types(folder)
    return [path for path, kind in types if kind not in _WITHOUT_CONFIG] if types else [""]


def module_types(folder: Path) -> list[tuple[str, str]]:
    """(path in the folder, class name) of what sentence-transformers lists, and of what its routers route to.

    Paths that lead out of the folder are left out.
    """
    listed = read_json(folder / "modules.json")
    modules = listed if isinstance(listed, list) else []
    types = [(str(each.get("path", "")), str(each.get("type", ""))) for each in modules if isinstance(each, dict)]
    for place, kind in list(types):
        routes = (
            read_json(folder / place / "router_config.json") if kind.endswith(".Router") and _inside(place) else None
        )
        routed = routes.get("types") if isinstance(routes, dict) else None
        if isinstance(routed, dict):
            types += [((Path(place) / str(path)).as_posix(), str(name)) for path, name in routed.items()]
    return [(path, kind.rpartition(".")[2]) for path, kind in types if _inside(path)]


def _inside(path: str) -> bool:
    return not Path(path).is_absolute() and ".." not in Path(path).parts


def weight_files(folder: Path) -> list[Path]:
    """The weight files that loading reads, in a fixed order. Listed shards are returned even when absent."""
    files: list[Path] = []
    for module in [path for path, _ in module_types(folder)] or [""]:
        place = folder / module
        index = read_json(place / "model.safetensors.index.json")
        if isinstance(index, dict) and isinstance(index.get("weight_map"), dict):
            files += [place / Path(str(name)).name for name in sorted(set(index["weight_map"].values()))]
        elif (single := place / "model.safetensors").is_file():
            files.append(single)
    return files


def weights_sha256(folder: Path) -> str:
    """Which weights these are, as 64 hex digits.

    One file: its sha256, which is the one that model hubs publish. Several: the sha256 of one line per file,
    `<sha256> <path in the folder>\\n`, in order of path. A file is read again when it has changed.

    Raises:
        MissingModel: there are no weights, or a listed shard is absent.
    """
    files = weight_files(folder)
    if not files:
        raise MissingModel(f"model folder '{folder}' has no model.safetensors")
    for file in files:
        if not file.is_file():
            raise MissingModel(f"model folder '{folder}' has no {file.relative_to(folder).as_posix()}")
    return _sha256_of(files, folder)


def tokenizer_sha256(folder: Path) -> str:
    """Which tokenizer these files are, said as `weights_sha256` says it of weights.

    The same weights with another one read other tokens, and number terms otherwise.
    """
    places = dict.fromkeys([folder, *(folder / path for path, _ in module_types(folder))])
    return _sha256_of([file for place in places for name in TOKENIZERS if (file := place / name).is_file()], folder)


def _sha256_of(files: Sequence[Path], folder: Path) -> str:
    names = [file.relative_to(folder).as_posix() for file in files]
    hashes = dict(zip(names, remembered_sha256(files, home()), strict=True))
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = "".join(f"{digest} {name}\n" for name, digest in sorted(hashes.items()))
    return text_sha256(lines)
