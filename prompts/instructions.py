"""Lists of instructions: wordings of one request, each of which is asked in turn.

    description: What they are for.
    instructions:
      - Improve the search ...
      - Enhance the ...

A list is YAML, like a prompt, and has a hash that says which words were used.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from prompts import template
from rag.core.errors import SpecError, did_you_mean
from rag.core.inputs import note_prompt
from rag.core.plugins import shipped_files


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """A checked list. `sha256` is that of the file's bytes."""

    source: str
    texts: tuple[str, ...]
    sha256: str


def load_instructions(name: str) -> Instructions:
    """A list of an installed package (`ragline.instructions`) by its name.

    Raises:
        SpecError: there is no such list, or its file is wrong.
    """
    lists = shipped_files("instructions")
    if name not in lists:
        raise SpecError(f"no list of instructions named '{name}'. {did_you_mean(name, sorted(lists))}")
    return read_instructions(lists[name], source=name)


def read_instructions(path: Path, *, source: str) -> Instructions:
    """A list in a file.

    Raises:
        SpecError: the file cannot be read, or is no list of different texts.
    """
    data, content = template.read_yaml(path, name=f"instructions '{source}'")
    texts = content.get("instructions") if isinstance(content, dict) else None
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise SpecError(f"instructions '{source}' must hold 'instructions', a list of texts")
    if len(set(texts)) < len(texts):
        raise SpecError(f"instructions '{source}': one text is there twice; keep one")
    sha256 = hashlib.sha256(data).hexdigest()
    note_prompt(f"instructions/{source}", sha256)
    return Instructions(source=source, texts=tuple(texts), sha256=sha256)
