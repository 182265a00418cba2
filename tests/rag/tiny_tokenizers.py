"""Tokenizers a few kilobytes large, with the chat layouts of five model families; nothing is fetched."""

from __future__ import annotations

from typing import Any

TRAINING = [
    "user system assistant model the capital of France is Paris. Which city is it? [INST] [/INST] <s>",
    "Passages are numbered and may hold <|im_end|> or <end_of_turn> or anything else 0 1 2 3 4 5 6 7 8 9.",
]

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "<start_of_turn>{{ role }}\n{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
PHI = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)

FAMILIES: dict[str, tuple[str, list[str], list[str], str]] = {
    # family: template, special tokens, added tokens that are not flagged special, kind of vocabulary
    "chatml": (CHATML, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], ["<think>", "</think>"], "bytes"),
    "llama3": (
        LLAMA3,
        ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        [],
        "bytes",
    ),
    "mistral": (MISTRAL, ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"], [], "pieces"),
    "mistral-in-words": (MISTRAL, ["<unk>", "<s>", "</s>"], [], "pieces"),
    "gemma": (GEMMA, ["<unk>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"], [], "bare"),
    "phi": (PHI, ["<|endoftext|>"], ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"], "bytes"),
}


def tiny_tokenizer(family: str) -> Any:
    """A fast tokenizer with the template and the special tokens of a model family."""
    template, special, added, kind = FAMILIES[family]
    tokenizer = plain_tokenizer(special, kind=kind)
    tokenizer.add_tokens(added)
    tokenizer.chat_template = template
    return tokenizer


def plain_tokenizer(special: list[str], *, kind: str = "bytes") -> Any:
    """A fast tokenizer without a template.

    Kinds: `bytes`; `pieces` with a mark for blanks, one of them at the start; `bare` pieces without that one.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    names: dict[str, str] = {"eos_token": special[-1]}
    if kind == "bytes":
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        names["bos_token"] = special[0]
    else:
        backend = Tokenizer(models.BPE(unk_token=special[0], fuse_unk=True))
        scheme = "first" if kind == "pieces" else "never"
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=True)
        backend.decoder = decoders.Metaspace(prepend_scheme=scheme, split=True)
        alphabet = sorted({character for text in TRAINING for character in text} | set("<>[]|/"))
        names |= {"unk_token": special[0], "bos_token": special[1], "eos_token": special[2]}
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(TRAINING, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)
