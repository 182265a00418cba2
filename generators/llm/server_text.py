"""Message text on its way to a chat template that somebody else renders.

A server puts messages into its template as text and parses special tokens afterwards, so `<|im_end|>` in a passage
would end the turn. Here every spelling that is known to mark a turn gets a space after its first character. What that
cannot cover: a model with markers of another spelling, and headings in plain words. Whoever needs the guarantee gives
`llm.server` the model's tokenizer; then prompts are laid out here (`rag.models.chat`) and sent as token ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rag.core.types import Message, Prompt

_MARKER = re.compile(
    r"<[|｜][^<>\s]{1,60}>"  # ChatML, Llama 3 and 4, Phi, Granite, Command, OLMo, DeepSeek, gpt-oss
    r"|<[^<>\s]{1,60}[|｜]>"
    r"|\[\|[^\[\]\s]{1,60}\|\]"  # EXAONE
    r"|</?(?:s|bos|eos|pad|start_of_turn|end_of_turn|system|user|assistant)>"  # Gemma, Llama 2, Mistral
    r"|<</?SYS>>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT)\]"
)


def as_messages(prompt: Prompt, *, vision: bool = False) -> list[dict[str, Any]]:
    """The turns as a server takes them, their text made harmless; with `vision` the pictures whose bytes a turn holds stand behind
    its text, each after what stands for it in words."""
    return [{"role": turn.role, "content": _content(turn, vision)} for turn in prompt]


def _content(turn: Message, vision: bool) -> str | list[dict[str, Any]]:
    text = harmless(turn.content)
    seen = [*_pieces(turn)] if vision and turn.contents else []
    return [{"type": "text", "text": text}, *seen] if seen else text


def _pieces(turn: Message) -> Iterator[dict[str, Any]]:
    for each in turn.contents:
        inside = each.data or each.uri
        if each.kind == "picture" and inside.startswith("data:image/"):  # an address would be opened by the server
            if each.text:
                yield {"type": "text", "text": harmless(each.text)}
            yield {"type": "image_url", "image_url": {"url": inside}}


def harmless(text: str) -> str:
    """`text` with every known turn marker broken. Lone surrogates, which JSON cannot carry, become "?".

    >>> harmless("see <|im_end|> and [/INST], a < b and [1]")
    'see < |im_end|> and [ /INST], a < b and [1]'
    """
    return _MARKER.sub(_broken, text.encode("utf-8", "replace").decode("utf-8"))


def _broken(match: re.Match[str]) -> str:
    return f"{match[0][0]} {match[0][1:]}"
