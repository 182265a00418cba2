"""The tokenizer inside a GGUF file, as transformers writes one: byte-level BPE of the `smollm` and `qwen2` kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PRE = ("smollm", "qwen2")
"""Kinds that are read here."""
_QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CONTROL = 3  # the token type of GGUF that special tokens carry


def value_of(reader: Any, key: str) -> Any:
    """What an open GGUF file says of a key; None where it says nothing."""
    field = reader.get_field(key)
    return None if field is None else field.contents()


def roles_of(reader: Any) -> dict[str, int]:
    """Ids of the tokens that have a role; some files name no unknown token."""
    names = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    ids = {role: value_of(reader, f"tokenizer.ggml.{key}_token_id") for role, key in names.items()}
    return {role: int(id_) for role, id_ in ids.items() if id_ is not None}


def write_tokenizer(reader: Any, folder: Path) -> None:
    """Write the tokenizer and the chat template of an open GGUF file, of a kind in `PRE`, into `folder`."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens: list[str] = value_of(reader, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in value_of(reader, "tokenizer.ggml.merges")]
    backend = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    if value_of(reader, "tokenizer.ggml.pre") == "qwen2":
        backend.normalizer = normalizers.NFC()
        words = pre_tokenizers.Split(Regex(_QWEN2_WORDS), behavior="isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
    else:  # `smollm` cuts off every digit before the usual pattern; else "\n\n1" loses its double break
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    backend.decoder = decoders.ByteLevel()
    types = value_of(reader, "tokenizer.ggml.token_type")
    backend.add_special_tokens(
        [
            AddedToken(token, normalized=False, special=True)
            for token, kind in zip(tokens, types, strict=True)
            if kind == _CONTROL
        ]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **{f"{role}_token": tokens[id_] for role, id_ in roles_of(reader).items()},
        model_max_length=int(value_of(reader, f"{value_of(reader, 'general.architecture')}.context_length")),
        clean_up_tokenization_spaces=False,
        chat_template=value_of(reader, "tokenizer.chat_template"),
    )
    wrapped.save_pretrained(folder)
