"""A prompt file: YAML with a description, the names of its variables, and the text of each turn.

    description: What it is for.
    variables: [passages, question]
    system: You answer questions.          # optional
    user: "{passages}\\n\\nQuestion: {question}"
    assistant: "["                         # optional: the beginning of the answer, which the model continues
    refusal: I don't know                  # optional: the words by which the model is told to decline

`{name}` stands for a declared variable, `{{` and `}}` for braces. All is checked when the file is read. Substitution
goes over the text once, so braces inside a value are never looked at.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rag.core.errors import SpecError, did_you_mean
from rag.core.inputs import note_prompt
from rag.core.plugins import file_named, names_of_files
from rag.core.types import Message
from rag.core.yaml_source import parse_yaml

LIBRARY = Path(__file__).parent / "library"

MAX_BYTES = 256 * 1024
"""Of a prompt file, as of a graph's."""

_ROLES: tuple[Literal["system", "user", "assistant"], ...] = ("system", "user", "assistant")
_FIELDS = ("description", "variables", *_ROLES, "refusal")
_BRACES = re.compile(r"\{\{|\}\}|\{([A-Za-z_]\w*)\}|[{}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTemplate:
    """A checked prompt. `sha256` is that of the file's bytes; `source` is its name or path."""

    source: str
    description: str
    variables: tuple[str, ...]
    turns: tuple[Message, ...]
    refusal: str
    sha256: str

    def render(self, **values: str) -> tuple[Message, ...]:
        """The messages, with every variable replaced by its value.

        Raises:
            SpecError: a variable has no value, or a value has no variable.
        """
        problems = [f"prompt '{self.source}' needs a value for '{n}'" for n in self.variables if n not in values]
        problems += [
            f"prompt '{self.source}' has no variable '{name}'. {did_you_mean(name, self.variables)}"
            for name in values
            if name not in self.variables
        ]
        if problems:
            raise SpecError(*problems)
        return tuple(Message(role=turn.role, content=_filled(turn.content, values)) for turn in self.turns)

    def require(self, *variables: str, by: str) -> None:
        """Check that a component's values are this prompt's variables, all of them.

        Raises:
            SpecError: names what is missing or unknown.
        """
        missing = [name for name in variables if name not in self.variables]
        unknown = [name for name in self.variables if name not in variables]
        problems = [f"{by}: prompt '{self.source}' never uses {{{name}}}" for name in missing]
        problems += [
            f"{by}: prompt '{self.source}' uses {{{name}}}, which is not given. " + did_you_mean(name, variables)
            for name in unknown
        ]
        if problems:
            raise SpecError(*problems)


def available() -> tuple[str, ...]:
    """Names of the prompts that come with the package, and of those that installed plug-ins bring (`ragline.prompts`)."""
    return tuple(names_of_files("prompts", LIBRARY))


def load(name_or_path: str) -> PromptTemplate:
    """A prompt of the library by name, or any file by its path; a path has a slash or ends in .yaml or .yml.

    Raises:
        SpecError: no such prompt, or its file is wrong; all problems of the file at once.
    """
    own = is_path(name_or_path)
    path = Path(name_or_path).expanduser() if own else file_named(name_or_path, "prompts", LIBRARY)
    if path is None:
        raise SpecError(
            f"no prompt named '{name_or_path}'. {did_you_mean(name_or_path, available())} "
            "A prompt of your own is given by its path, such as ./mine.yaml."
        )
    name = f"prompt file '{name_or_path}'"
    template = _parsed(*read_yaml(path, name=name), source=name_or_path, name=name)
    note_prompt(name_or_path, template.sha256)
    return template


def is_path(name_or_path: str) -> bool:
    """Whether this is a file of one's own, and no name of the library."""
    return "/" in name_or_path or name_or_path.endswith((".yaml", ".yml"))


def read_yaml(path: Path, *, name: str) -> tuple[bytes, Any]:
    """The bytes of a file, if it is one that ends, and soon, and what they say as YAML. `name`: how messages call it.

    Raises:
        SpecError: it cannot be read, is no regular file, too large, or no YAML in UTF-8.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SpecError(f"{name} is not a regular file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as cause:
        raise SpecError(f"{name} cannot be read: {cause.strerror}") from cause
    if len(data) > MAX_BYTES:
        raise SpecError(f"{name} has more than {MAX_BYTES:,} bytes. Give a shorter one.")
    try:
        return data, parse_yaml(data.decode("utf-8"), name=name).data
    except UnicodeDecodeError as cause:
        raise SpecError(f"{name} is not UTF-8: {cause.reason} at byte {cause.start}. Save it as UTF-8.") from cause


def _parsed(data: bytes, content: Any, *, source: str, name: str) -> PromptTemplate:
    if not isinstance(content, dict):
        raise SpecError(f"{name} must hold a mapping of {', '.join(_FIELDS)}")
    problems = [f"{name}: {problem}" for problem in _problems(content)]
    if problems:
        raise SpecError(*problems)
    return PromptTemplate(
        source=source,
        description=str(content.get("description", "")),
        variables=tuple(content.get("variables", ())),
        turns=tuple(Message(role=role, content=content[role].strip()) for role in _ROLES if role in content),
        refusal=content.get("refusal", ""),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _problems(content: dict[Any, Any]) -> Iterator[str]:
    for field in content:
        if field not in _FIELDS:
            yield f"unknown field '{field}'. {did_you_mean(str(field), _FIELDS)}"
    texts = {field: content[field] for field in _FIELDS if field in content and field != "variables"}
    wrong = [field for field, text in texts.items() if not isinstance(text, str)]
    for field in wrong:
        yield f"'{field}' must be text, not {type(texts[field]).__name__}"
    declared = content.get("variables", [])
    if not isinstance(declared, list) or not all(isinstance(name, str) for name in declared):
        yield "'variables' must be a list of names"
        return
    if "user" not in content:
        yield "'user' is missing: the turn that the model answers"
    turns = {role: texts[role] for role in _ROLES if role in texts and role not in wrong}
    used: set[str] = set()
    for role, text in turns.items():
        for brace in _BRACES.finditer(text):
            if brace[0] in "{}":
                yield f"'{role}' has a single '{brace[0]}' at character {brace.start()}; write {brace[0] * 2}"
            elif brace[1]:
                used.add(brace[1])
    for name in sorted(used - set(declared)):
        yield f"{{{name}}} is not declared in 'variables'. {did_you_mean(name, declared)}"
    for name in declared:
        if name not in used and not wrong:
            yield f"variable '{name}' is declared and never used"
    refusal = texts.get("refusal")
    if isinstance(refusal, str) and not any(refusal in turns.get(role, "") for role in ("system", "user")):
        yield f"the refusal '{refusal}' stands in neither 'system' nor 'user', so the model cannot know it"


def _filled(text: str, values: dict[str, str]) -> str:
    def replaced(brace: re.Match[str]) -> str:
        return values[brace[1]] if brace[1] else brace[0][0]

    return _BRACES.sub(replaced, text)
