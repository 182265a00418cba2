"""A Llama model in a GGUF file -> a transformers folder: bfloat16 safetensors, tokenizer, chat template.

Written for the packaged default: it reads the `llama` architecture with a byte-level BPE tokenizer of the
`smollm` kind and refuses everything else. Quantised weights are dequantised, so they are not bit for bit the
published ones.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import MissingModel

_OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_INSIDE = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_CONTROL = 3  # the token type of GGUF that special tokens carry


def convert(gguf: Path, folder: Path) -> None:
    """Write config, generation config, weights and tokenizer into `folder`.

    Raises:
        MissingModel: the file is not of the one kind that is read here.
    """
    from gguf import GGUFReader

    reader = GGUFReader(str(gguf))
    _require(reader, "general.architecture", "llama", gguf)
    _require(reader, "tokenizer.ggml.model", "gpt2", gguf)
    _require(reader, "tokenizer.ggml.pre", "smollm", gguf)
    _write_model(reader, folder)
    _write_tokenizer(reader, folder)


def _require(reader: Any, key: str, wanted: str, gguf: Path) -> None:
    value = _value(reader, key)
    if value != wanted:
        raise MissingModel(f"'{gguf.name}' cannot be converted: its {key} is {value!r}, only {wanted!r} is read")


def _value(reader: Any, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()


def _number(reader: Any, key: str) -> float:
    """A float32 as the shortest decimal that names it: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(_value(reader, key))))


def _write_model(reader: Any, folder: Path) -> None:
    import torch
    from gguf import dequantize
    from safetensors.torch import save_file
    from transformers import GenerationConfig

    config = _config(reader)
    weights = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        if ".attn_q." in tensor.name:
            values = halves_of_heads(values, config.num_attention_heads)
        elif ".attn_k." in tensor.name:
            values = halves_of_heads(values, config.num_key_value_heads)
        weights[transformers_name(tensor.name)] = torch.from_numpy(values.copy()).to(torch.bfloat16)
    _require_shapes(config, {name: tuple(tensor.shape) for name, tensor in weights.items()})
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes for the owner alone
    config.save_pretrained(folder)
    GenerationConfig(**_special(reader)).save_pretrained(folder)  # type: ignore[no-untyped-call]


def _config(reader: Any) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=int(_value(reader, "llama.vocab_size")),
        hidden_size=int(_value(reader, "llama.embedding_length")),
        intermediate_size=int(_value(reader, "llama.feed_forward_length")),
        num_hidden_layers=int(_value(reader, "llama.block_count")),
        num_attention_heads=int(_value(reader, "llama.attention.head_count")),
        num_key_value_heads=int(_value(reader, "llama.attention.head_count_kv")),
        max_position_embeddings=int(_value(reader, "llama.context_length")),
        rms_norm_eps=_number(reader, "llama.attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": _number(reader, "llama.rope.freq_base")},
        tie_word_embeddings=all(tensor.name != "output.weight" for tensor in reader.tensors),
        dtype="bfloat16",
        **_special(reader),
    )


def _special(reader: Any) -> dict[str, Any]:
    names = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
    return {name: int(_value(reader, f"tokenizer.ggml.{key}_token_id")) for name, key in names.items()}


def _require_shapes(config: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise MissingModel unless the tensors are exactly those that the configured model has."""
    import torch
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        model = LlamaForCausalLM(config)  # type: ignore[no-untyped-call]
    wanted = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    if shapes != wanted:
        odd = sorted(set(shapes.items()) ^ set(wanted.items()))[:4]
        raise MissingModel(f"the tensors of the GGUF file are not those of its configuration, first of all: {odd}")


def transformers_name(name: str) -> str:
    """The name that transformers gives a tensor of a GGUF Llama.

    >>> transformers_name("blk.7.ffn_down.weight")
    'model.layers.7.mlp.down_proj.weight'
    """
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    match = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name)
    if match is None or match[2] not in _INSIDE:
        raise MissingModel(f"tensor '{name}' of the GGUF file has no place in a Llama model")
    return f"model.layers.{match[1]}.{_INSIDE[match[2]]}.weight"


def halves_of_heads(weights: NDArray[np.float32], n_heads: int) -> NDArray[np.float32]:
    """Rows of each head: from rotary pairs side by side (GGUF) to first halves, then second halves."""
    pairs = weights.reshape(n_heads, -1, 2, weights.shape[1])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(weights.shape))


def _write_tokenizer(reader: Any, folder: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens: list[str] = _value(reader, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in _value(reader, "tokenizer.ggml.merges")]
    backend = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    # The `smollm` kind cuts off every digit before the usual pattern; else "\n\n1" loses its double break.
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    types = _value(reader, "tokenizer.ggml.token_type")
    backend.add_special_tokens(
        [
            AddedToken(token, normalized=False, special=True)
            for token, kind in zip(tokens, types, strict=True)
            if kind == _CONTROL
        ]
    )
    wrapped = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        bos_token=tokens[_value(reader, "tokenizer.ggml.bos_token_id")],
        eos_token=tokens[_value(reader, "tokenizer.ggml.eos_token_id")],
        pad_token=tokens[_value(reader, "tokenizer.ggml.padding_token_id")],
        unk_token=tokens[_value(reader, "tokenizer.ggml.unknown_token_id")],
        model_max_length=int(_value(reader, "llama.context_length")),
        clean_up_tokenization_spaces=False,
        chat_template=_value(reader, "tokenizer.chat_template"),
    )
    wrapped.save_pretrained(folder)
