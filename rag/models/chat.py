"""Chat prompts as token ids, such that no text inside a message can open or close a turn.

The model's own template is rendered with a sentinel in the place of each message. What the template wrote
around the sentinels is encoded with special tokens parsed; the messages are encoded as plain text, and then
the ids are joined. So `<|im_end|>` in a passage reaches the model as the characters it is. Turn markers that a
template spells in ordinary text, such as Llama 2's `[/INST]`, have no token of their own to withhold: there a
message gets a space after the marker's first character.

What this module cannot protect: headings in plain words ("### Response:"), and tokenizers without a template.
Those get a layout of "role: content" lines. It does not know models; it never loads weights.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from rag.core.errors import SpecError
from rag.core.types import Message, Prompt

_SENTINEL = re.compile("\ue000([0-9]+)\ue001")  # private use: survives a template's trim, and no template writes it
_MARKER = re.compile(r"<\|[^|<>\s]{1,40}\|>|<</?[A-Z]{2,20}>>|</?[A-Za-z_]\w{0,40}>|\[/?[A-Z][A-Z_]{1,40}\]")
_PLAIN_STOPS = ("\nuser:", "\nsystem:", "\nassistant:")


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Ids of `text` as plain characters: nothing added, no special token or turn marker in it takes effect.

    Lone surrogates, which no tokenizer takes, become "?".
    """
    return _codec(tokenizer).text(text)


def encode_text_spans(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids of `text` as `encode_text` gives them, and the half-open range of characters that each stands for."""
    return _codec(tokenizer).text_spans(text)


def encode_prompt(tokenizer: Any, prompt: Prompt) -> list[int]:
    """Ids of a prompt, ready for the model to answer, or to continue if the last turn is the assistant's.

    A template that refuses or drops a system turn gets its text at the head of the first user turn.

    Raises:
        SpecError: the prompt is empty, or the model's template refuses this order of roles.
    """
    codec = _codec(tokenizer)
    messages, layout = _layout(tokenizer, prompt)
    ids: list[int] = list(codec.opening)
    blanks = ""
    for part in layout:
        if isinstance(part, str):
            # Blanks before a message belong to its first word, as they would if all were encoded in one go.
            literal = part.rstrip(" ")
            blanks = part[len(literal) :]
            ids += codec.literal(literal)
        else:
            ids += codec.text(blanks + messages[part].content)
            blanks = ""
    return ids + codec.literal(blanks)


def user_turn(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Ids before and after the text of a lone user turn; the latter end where the model's answer starts."""
    codec = _codec(tokenizer)
    _, layout = _layout(tokenizer, [Message(role="user", content="")])
    position = layout.index(0)
    before = [id_ for part in layout[:position] if isinstance(part, str) for id_ in codec.literal(part)]
    after = [id_ for part in layout[position + 1 :] if isinstance(part, str) for id_ in codec.literal(part)]
    return list(codec.opening) + before, after


def end_of_turn(tokenizer: Any) -> frozenset[int]:
    """Special tokens that close an assistant turn in the template; empty where it closes in plain text."""
    if not _has_template(tokenizer):
        return frozenset()
    turns = [Message(role="user", content=""), Message(role="assistant", content="")]
    _, layout = _layout(tokenizer, [*turns, Message(role="user", content="")])
    closing = layout[layout.index(1) + 1]
    codec = _codec(tokenizer)
    first = codec.literal(closing)[:1] if isinstance(closing, str) else []
    return frozenset(id_ for id_ in first if id_ in codec.reserved)


def turn_stops(tokenizer: Any) -> tuple[str, ...]:
    """Strings at which an answer ends because the next turn begins; only the plain layout needs them."""
    return () if _has_template(tokenizer) else _PLAIN_STOPS


class _Codec:
    """What one tokenizer needs for both kinds of encoding. Holds copies: no caller's settings leak in."""

    def __init__(self, tokenizer: Any) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise SpecError(
                "the model's tokenizer has no tokenizer.json. Chat prompts need a fast tokenizer: save the model's "
                "folder with one."
            )
        from tokenizers import Tokenizer

        # Two copies: parsing special tokens is a mutable switch, and threads share the original.
        copied = backend.to_str()
        self._parsing = _fresh(Tokenizer.from_str(copied), plain=False)
        self._plain = _fresh(Tokenizer.from_str(copied), plain=True)
        added = tokenizer.added_tokens_decoder
        names = {token.content for token in added.values()}
        self._names = {id_: token.content for id_, token in added.items()}
        source = _template_source(tokenizer)
        self.reserved = _reserved(tokenizer, source)
        spelled = sorted(set(_MARKER.findall(source)) - names, key=len, reverse=True)
        self._spelled = re.compile("|".join(map(re.escape, spelled))) if spelled else None
        self._literals: dict[str, list[int]] = {}
        self.opening = () if source else _opening(tokenizer)

    def literal(self, text: str) -> list[int]:
        """Ids of something the template wrote, special tokens parsed. Texts are few, so they are kept."""
        if not text:
            return []
        ids = self._literals.get(text)
        if ids is None:
            ids = self._parsing.encode(text, add_special_tokens=False).ids
            if len(self._literals) < 256:  # a template that writes the time of day must not fill the memory
                self._literals[text] = ids
        return ids

    def text(self, text: str) -> list[int]:
        """Ids of something a person, a file or a model wrote."""
        return [id_ for encoding, _ in self._parts(text) for id_ in encoding.ids if id_ not in self.reserved]

    def text_spans(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """As `text`, with the characters of `text` that each id stands for."""
        ids, spans = list[int](), list[tuple[int, int]]()
        # A space inside a spelled marker is ours: what lies behind it stands one further on than in the text given.
        ours = [match.start() + 1 for match in self._spelled.finditer(text)] if self._spelled is not None else []
        for encoding, offset in self._parts(text):
            for id_, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
                if id_ not in self.reserved:
                    ids.append(id_)
                    spans.append((_before_ours(offset + start, ours), _before_ours(offset + end, ours)))
        return ids, spans

    def _parts(self, text: str) -> list[tuple[Any, int]]:
        """Encodings of what is to be joined, and where each begins."""
        if not text:
            return []
        text = text.encode("utf-8", "replace").decode("utf-8")
        if self._spelled is not None:
            text = self._spelled.sub(lambda match: match[0][0] + " " + match[0][1:], text)
        encoding = self._plain.encode(text, add_special_tokens=False)
        if self.reserved.isdisjoint(encoding.ids):
            return [(encoding, 0)]
        return self._broken_up(text, encoding)

    def _broken_up(self, text: str, encoding: Any) -> list[tuple[Any, int]]:
        """Encode again with a seam inside every reserved token that came out.

        Needed for added tokens not flagged special, and for vocabularies with special tokens as words.
        """
        seams = [0]
        for id_, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if id_ in self.reserved:
                offset = text.find(self._names.get(id_, ""), start, end)
                seams.append(max(offset, start) + 1)
        pieces = [text[start:end] for start, end in zip(seams, [*seams[1:], len(text)], strict=True)]
        return list(zip(self._plain.encode_batch(pieces, add_special_tokens=False), seams, strict=True))


def _before_ours(offset: int, ours: Sequence[int]) -> int:
    """A place in the text with our spaces -> the place in the text without them."""
    return offset - sum(place + before < offset for before, place in enumerate(ours))


_codecs: WeakKeyDictionary[Any, _Codec] = WeakKeyDictionary()  # a memo: lives as long as the tokenizer does


def _codec(tokenizer: Any) -> _Codec:
    codec = _codecs.get(tokenizer)
    if codec is None:
        codec = _codecs[tokenizer] = _Codec(tokenizer)
    return codec


def _fresh(backend: Any, *, plain: bool) -> Any:
    backend.encode_special_tokens = plain
    backend.no_padding()
    backend.no_truncation()
    return backend


def _reserved(tokenizer: Any, template: str) -> frozenset[int]:
    """Ids that plain text must never produce: special tokens, and added tokens that look or serve as markup.

    The unknown token stays allowed, unless it has a second job: text with unknown characters needs it.
    """
    roles = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    unknown = roles.pop("unk_token", None)
    reserved = set(tokenizer.all_special_ids)
    for id_, token in tokenizer.added_tokens_decoder.items():
        content = token.content.strip()
        if token.special or _MARKER.fullmatch(content) or (content and content in template):
            reserved.add(id_)
    if unknown is not None and unknown not in roles.values():
        reserved.discard(tokenizer.convert_tokens_to_ids(unknown))
    return frozenset(reserved)


def _has_template(tokenizer: Any) -> bool:
    return bool(getattr(tokenizer, "chat_template", None))


def _template_source(tokenizer: Any) -> str:
    return str(tokenizer.get_chat_template()) if _has_template(tokenizer) else ""


def _opening(tokenizer: Any) -> tuple[int, ...]:
    """The token that the tokenizer puts before any text, where it does; a template writes its own."""
    ids = tokenizer("", add_special_tokens=True)["input_ids"]
    return tuple(ids[:1]) if ids and ids[0] == tokenizer.bos_token_id else ()


def _layout(tokenizer: Any, prompt: Prompt) -> tuple[Sequence[Message], list[str | int]]:
    """The messages that are laid out, and the parts in order. A string is literal text; a number stands for a message."""
    if not prompt:
        raise SpecError("a prompt needs at least one message")
    if not _has_template(tokenizer):
        return prompt, _plain_layout(prompt)
    layout, refusal = _templated(tokenizer, prompt)
    if refusal is not None and any(message.role == "system" for message in prompt):
        prompt = _without_system(prompt)
        layout, refusal = _templated(tokenizer, prompt)
    if refusal is not None:
        roles = ", ".join(message.role for message in prompt)
        raise SpecError(f"the model's chat template cannot lay out turns of {roles}: {refusal}")
    return prompt, layout


def _templated(tokenizer: Any, messages: Sequence[Message]) -> tuple[list[str | int], str | None]:
    """Parts of the rendered template, and the reason if it cannot be used."""
    from jinja2.exceptions import TemplateError

    turns = [{"role": turn.role, "content": f"\ue000{i}\ue001"} for i, turn in enumerate(messages)]
    continued = messages[-1].role == "assistant"
    try:
        rendered = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=not continued)
    except TemplateError as cause:
        return [], str(cause)
    # re.split with a group gives literal, number, literal, number, ..., literal.
    split = _SENTINEL.split(rendered)
    parts: list[str | int] = [int(part) if position % 2 else part for position, part in enumerate(split)]
    lost = set(range(len(messages))) - {part for part in parts if isinstance(part, int)}
    if lost:
        return [], f"it leaves out the {messages[min(lost)].role} turn"
    if continued:
        last = max(position for position, part in enumerate(parts) if part == len(messages) - 1)
        parts = parts[: last + 1]
    return [part for part in parts if part != ""], None


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """System texts moved to the head of the first user turn."""
    heads = [turn.content for turn in messages if turn.role == "system"]
    turns = [turn for turn in messages if turn.role != "system"]
    first = next((position for position, turn in enumerate(turns) if turn.role == "user"), None)
    if first is None:
        return [Message(role="user", content="\n\n".join(heads)), *turns]
    turns[first] = Message(role="user", content="\n\n".join([*heads, turns[first].content]))
    return turns


def _plain_layout(messages: Sequence[Message]) -> list[str | int]:
    """`role: content` lines, for models that were never taught a chat format."""
    parts: list[str | int] = []
    for position, turn in enumerate(messages):
        new_line = "\n" if position else ""
        parts += [f"{new_line}{turn.role}: ", position]
    if messages[-1].role != "assistant":
        parts.append("\nassistant:")
    return parts
