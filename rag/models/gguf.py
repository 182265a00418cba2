"""A decoder in a GGUF file -> a transformers folder: bfloat16 safetensors, tokenizer, chat template.

Written for the packaged models: it reads the `llama` architecture with a byte-level BPE tokenizer of the `smollm` kind,
and `qwen2` with its own; everything else is refused. Quantised weights are dequantised, so they are not bit for bit the
published ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import MissingModel
from rag.models.gguf_facts import opened
from rag.models.gguf_tokenizer import roles_of, value_of, write_tokenizer

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
_BIASES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj"}


_PRE = {"llama": "smollm", "qwen2": "qwen2"}
"""Architectures that are read, and the kind of tokenizer of each."""
_ROWS = 256
"""Rows of a matrix are joined to so many: the library takes sixteen at a time, and short ones as long as long ones."""
_PAIRED = "llama"
"""Stores rows of queries and keys with rotary pairs side by side."""


def convert(gguf: Path, folder: Path) -> None:
    """Write config, generation config, weights and tokenizer into `folder`.

    Raises:
        MissingModel: the file is not of the one kind that is read here.
    """
    reader = opened(gguf)
    name = _require(reader, "general.architecture", _PRE, gguf)
    _require(reader, "tokenizer.ggml.model", ("gpt2",), gguf)
    _require(reader, "tokenizer.ggml.pre", (_PRE[name],), gguf)
    _write_model(reader, folder, name)
    write_tokenizer(reader, folder)


def _require(reader: Any, key: str, known: Iterable[str], gguf: Path) -> str:
    value = value_of(reader, key)
    if value not in known:
        read = " or ".join(map(repr, known))
        raise MissingModel(f"'{gguf.name}' cannot be converted: its {key} is {value!r}, only {read} is read")
    return str(value)


def _number(reader: Any, key: str) -> float:
    """A float32 as the shortest decimal that names it: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(value_of(reader, key))))


def _write_model(reader: Any, folder: Path, name: str) -> None:
    import torch
    from gguf import dequantize
    from safetensors.torch import save_file
    from transformers import GenerationConfig

    config = _config(reader, name)
    weights = {}
    for tensor in reader.tensors:
        data = np.asarray(tensor.data)
        joined = dequantize(data.reshape(gcd(len(data), _ROWS), -1), tensor.tensor_type)
        values = joined.reshape([int(n) for n in reversed(tensor.shape)])
        if name == _PAIRED and ".attn_q." in tensor.name:
            values = halves_of_heads(values, config.num_attention_heads)
        elif name == _PAIRED and ".attn_k." in tensor.name:
            values = halves_of_heads(values, config.num_key_value_heads)
        weights[transformers_name(tensor.name)] = torch.from_numpy(values.copy()).to(torch.bfloat16)
    _require_shapes(config, {name: tuple(tensor.shape) for name, tensor in weights.items()})
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes for the owner alone
    config.save_pretrained(folder)
    GenerationConfig(**_special(reader)).save_pretrained(folder)


def _config(reader: Any, name: str) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    def number(key: str) -> int:
        return int(value_of(reader, f"{name}.{key}"))

    config = AutoConfig.for_model(
        name,
        vocab_size=len(value_of(reader, "tokenizer.ggml.tokens")),
        hidden_size=number("embedding_length"),
        intermediate_size=number("feed_forward_length"),
        num_hidden_layers=number("block_count"),
        num_attention_heads=number("attention.head_count"),
        num_key_value_heads=number("attention.head_count_kv"),
        max_position_embeddings=number("context_length"),
        rms_norm_eps=_number(reader, f"{name}.attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": _number(reader, f"{name}.rope.freq_base")},
        tie_word_embeddings=all(tensor.name != "output.weight" for tensor in reader.tensors),
        dtype="bfloat16",
        **_special(reader),
    )
    config.architectures = [AutoModelForCausalLM._model_mapping[type(config)].__name__]
    return config


def _special(reader: Any) -> dict[str, Any]:
    return {f"{role}_token_id": id_ for role, id_ in roles_of(reader).items() if role != "unk"}


def _require_shapes(config: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise MissingModel unless the tensors are exactly those that the configured model has."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    wanted = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    if shapes != wanted:
        odd = sorted(set(shapes.items()) ^ set(wanted.items()))[:4]
        raise MissingModel(f"the tensors of the GGUF file are not those of its configuration, first of all: {odd}")


def transformers_name(name: str) -> str:
    """The name that transformers gives a tensor of a GGUF Llama or Qwen2.

    >>> transformers_name("blk.7.ffn_down.weight")
    'model.layers.7.mlp.down_proj.weight'
    """
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    match = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)
    known = _BIASES if match is not None and match[3] == "bias" else _INSIDE
    if match is None or match[2] not in known:
        raise MissingModel(f"tensor '{name}' of the GGUF file has no place in a Llama or Qwen2 model")
    return f"model.layers.{match[1]}.{known[match[2]]}.{match[3]}"


def halves_of_heads(weights: NDArray[np.float32], n_heads: int) -> NDArray[np.float32]:
    """Rows of each head: from rotary pairs side by side (GGUF) to first halves, then second halves."""
    pairs = weights.reshape(n_heads, -1, 2, weights.shape[1])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(weights.shape))
