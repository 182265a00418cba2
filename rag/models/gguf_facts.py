"""What has to be known of a GGUF file before its weights are read: its window, the size of its cache, its tokenizer.

Opening such a file takes seconds, for it holds a vocabulary entry by entry. So it is opened once, and what was read is kept
in a folder that the content of the file names.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rag.core.errors import MissingModel
from rag.models.folder import home
from rag.models.gguf_tokenizer import PRE, value_of, write_tokenizer
from rag.models.hashes import remembered_sha256
from rag.models.importing import import_transformers

_FACTS = "facts.json"
_F16 = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GGUFFacts:
    """`window`: tokens that the model was made for. `token_bytes`: of keys and values of one token, in float16.
    `sha256`: of the file. `tokenizer`: the folder of its tokenizer."""

    window: int
    token_bytes: int
    sha256: str
    tokenizer: Path


def read_facts(path: Path) -> GGUFFacts:
    """The facts of a file, read at the first call and remembered.

    Raises:
        MissingModel: it is no GGUF file, does not say its window, or has a tokenizer that nobody here reads.
    """
    [sha256] = remembered_sha256([path], home())
    folder = home() / "gguf" / sha256[:24]
    if not (folder / _FACTS).is_file():
        _write(path, folder)
    kept = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    return GGUFFacts(window=kept["window"], token_bytes=kept["token_bytes"], sha256=sha256, tokenizer=folder)


def _write(path: Path, folder: Path) -> None:
    """Make the folder in one rename; who comes second finds it made."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        reader = opened(path)
        facts = _facts(reader, path)
        if value_of(reader, "tokenizer.ggml.model") == "gpt2" and value_of(reader, "tokenizer.ggml.pre") in PRE:
            write_tokenizer(reader, made)
        else:
            _write_other_tokenizer(path, made)
        (made / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
        try:
            made.rename(folder)
        except OSError:
            if not (folder / _FACTS).is_file():
                raise


def opened(path: Path) -> Any:
    """A `gguf.GGUFReader` of a file. It keeps a plain array of the bytes: of a map a slice takes three times as long.

    Raises:
        MissingModel: it is no GGUF file, or was cut off.
    """
    from gguf import GGUFReader

    class Reader(GGUFReader):
        @property
        def data(self) -> Any:
            return self._bytes

        @data.setter
        def data(self, mapped: Any) -> None:
            self._bytes = np.asarray(mapped)

    try:
        return Reader(str(path))
    except (ValueError, IndexError, OverflowError, UnicodeDecodeError) as cause:
        raise MissingModel(f"'{path}' cannot be read as a GGUF file: {cause}") from cause


def _facts(reader: Any, path: Path) -> dict[str, Any]:
    name = value_of(reader, "general.architecture")

    def number(key: str, default: int = 0) -> int:
        value = value_of(reader, f"{name}.{key}")
        return max(value) if isinstance(value, list) and value else int(value or default)

    heads, hidden = number("attention.head_count"), number("embedding_length")
    if not (window := number("context_length")) or not heads:
        raise MissingModel(f"'{path}' is no decoder that is known here: its architecture is {name!r}")
    size = hidden // heads
    keys_and_values = number("attention.key_length", size) + number("attention.value_length", size)
    numbers = number("block_count") * number("attention.head_count_kv", heads) * keys_and_values
    return {"window": window, "token_bytes": _F16 * numbers}


def _write_other_tokenizer(path: Path, folder: Path) -> None:
    """As transformers reads it, for the kinds that it knows."""
    try:
        auto = import_transformers().AutoTokenizer
        tokenizer = auto.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
        tokenizer.save_pretrained(folder)
    except (OSError, ValueError, KeyError, RuntimeError, NotImplementedError) as cause:
        raise MissingModel(f"the tokenizer in '{path}' cannot be read: {cause}") from cause
