"""Shots: worked examples of a prompt, shown before the case as turns of a chat.

    description: What they are of.
    shots:
      - question: Is water wet?      # a value for every variable of the prompt that the component does not give itself
        passages: "[1] Water wets."
        reply: "yes"
        kind: yes_no                 # optional: of which of several prompts it is

A file of shots is YAML, like a prompt, and has a hash that says which words were used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prompts import template
from prompts.template import PromptTemplate
from rag.core.errors import SpecError, did_you_mean
from rag.core.inputs import note_prompt
from rag.core.plugins import file_named, names_of_files
from rag.core.protocols import LLM
from rag.core.replies import folded
from rag.core.types import Message, Prompt

_OWN = ("reply", "kind")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One example: values of the prompt's variables, and what is to be replied."""

    reply: str
    kind: str = ""
    values: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shots:
    """A checked file. `sha256` is that of its bytes; `source` is its name or path."""

    source: str
    shots: tuple[Shot, ...]
    sha256: str

    def require(self, prompt: PromptTemplate, *, by: str, kind: str = "", given: Collection[str] = ()) -> None:
        """Check that every shot of a kind has a value for each variable that is not given otherwise, and no other.

        Raises:
            SpecError: names what is missing or unknown.
        """
        wanted = {name for name in prompt.variables if name not in given}
        problems = [
            f"{by}: shot {number} of '{self.source}' must have {', '.join(sorted(wanted))} and reply, for prompt "
            f"'{prompt.source}'; it has {', '.join(sorted(shot.values)) or 'no value'}"
            for number, shot in enumerate(self.shots, start=1)
            if shot.kind == kind and shot.values.keys() != wanted
        ]
        if problems:
            raise SpecError(*problems)

    def turns(
        self, prompt: PromptTemplate, n: int, *, but_not: str, kind: str = "", **given: str
    ) -> list[tuple[Message, ...]]:
        """The first `n` shots of a kind, each as what the user asks and what is replied.

        A shot with a value that says the same as `but_not` is left out: the case must not be its own example.
        """
        fitting = [
            shot
            for shot in self.shots
            if shot.kind == kind and folded(but_not) not in map(folded, shot.values.values())
        ]
        return [_turns(prompt, shot, given) for shot in fitting[:n]]


def load_shots(name_or_path: str) -> Shots:
    """A file of shots by its name in an installed package (`ragline.shots`), or any file by its path, as of prompts.

    Raises:
        SpecError: there is no such file, or it is wrong; all problems at once.
    """
    folder = template.LIBRARY / "shots"
    own = template.is_path(name_or_path)
    path = Path(name_or_path).expanduser() if own else file_named(name_or_path, "shots", folder)
    if path is None:
        known = names_of_files("shots", folder)
        raise SpecError(f"no shots named '{name_or_path}'. {did_you_mean(name_or_path, known)}")
    name = f"shots '{name_or_path}'"
    data, content = template.read_yaml(path, name=name)
    listed = content.get("shots") if isinstance(content, dict) else None
    if not isinstance(listed, list) or not listed:
        raise SpecError(f"{name} must hold 'shots', a list of examples")
    problems = [
        f"{name}: shot {number} must be texts by name, 'reply' among them"
        for number, shot in enumerate(listed, start=1)
        if not _is_shot(shot)
    ]
    if problems:
        raise SpecError(*problems)
    sha256 = hashlib.sha256(data).hexdigest()
    note_prompt(f"shots/{name_or_path}", sha256)
    return Shots(source=name_or_path, shots=tuple(map(_shot, listed)), sha256=sha256)


def with_shots(llm: LLM, prompts: Sequence[Prompt], shots: Sequence[Sequence[Prompt]], *, room: int) -> list[Prompt]:
    """Each prompt with its shots before the case, behind what the system says: as many as leave room, the last ones first.

    Args:
        shots: of each prompt.
        room: tokens to leave free in the model's window.
    """
    kept = [list(some) for some in shots]
    made: list[Prompt] = [_joined(prompt, some) for prompt, some in zip(prompts, kept, strict=True)]
    going = [place for place, some in enumerate(kept) if some]
    while going:
        counts = llm.count_tokens([made[place] for place in going])
        going = [place for place, n in zip(going, counts, strict=True) if n + room > llm.context_window]
        for place in going:
            del kept[place][0]
            made[place] = _joined(prompts[place], kept[place])
        going = [place for place in going if kept[place]]
    return made


def _joined(prompt: Prompt, shots: Sequence[Prompt]) -> tuple[Message, ...]:
    system = [turn for turn in prompt if turn.role == "system"]
    rest = [turn for turn in prompt if turn.role != "system"]
    return (*system, *(turn for shot in shots for turn in shot), *rest)


def _turns(prompt: PromptTemplate, shot: Shot, given: Mapping[str, str]) -> tuple[Message, ...]:
    """The user's turn, and the reply behind what the prompt writes of it itself."""
    said = [turn for turn in prompt.render(**shot.values, **given) if turn.role != "system"]
    if said[-1].role == "assistant":
        return (*said[:-1], replace(said[-1], content=f"{said[-1].content} {shot.reply}"))
    return (*said, Message(role="assistant", content=shot.reply))


def _is_shot(shot: Any) -> bool:
    return isinstance(shot, dict) and "reply" in shot and all(isinstance(value, str) for value in shot.values())


def _shot(shot: Mapping[str, str]) -> Shot:
    values = {name: value.strip() for name, value in shot.items() if name not in _OWN}
    return Shot(reply=shot["reply"].strip(), kind=shot.get("kind", ""), values=values)
