"""A BERT encoder in torch alone: what transformers makes of the same folder, to the bit.

The first text of a command would wait for the import of that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rag.core.errors import SpecError
from retrievers.encoders.transformer import LONGEST_MATMUL_ATTENTION, Compute, linear_product, matmul_attention

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Hidden:
    """`last_hidden_state`: [n_texts, n_tokens, width]."""

    last_hidden_state: Tensor


class PlainBert:
    """The weights of a folder that `LightBert.reads`, on the processor. Called as a model of transformers is.

    Raises:
        SpecError: a file is not there, or not of such a model.
    """

    def __init__(self, folder: Path, *, compute: Compute) -> None:
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            self._n_layers, self._n_heads = int(config["num_hidden_layers"]), int(config["num_attention_heads"])
            self._epsilon = float(config["layer_norm_eps"])
            weights = load_file(folder / "model.safetensors")
        except (OSError, KeyError, ValueError, SafetensorError) as cause:
            raise SpecError(f"model folder '{folder}' is not that of a BERT: {cause}") from cause
        self.device = torch.device("cpu")
        self._compute = compute
        self._weights = {name: each.to(getattr(torch, compute)) for name, each in weights.items() if "pool" not in name}
        self._product = linear_product()

    def __call__(self, *, input_ids: Tensor, attention_mask: Tensor | None) -> Hidden:
        from torch.nn.functional import embedding, gelu

        n_texts, n_tokens = input_ids.shape
        mask = None if attention_mask is None else attention_mask.bool()[:, None, None, :]
        mask = None if mask is None else mask.expand(n_texts, 1, n_tokens, n_tokens)
        states = embedding(input_ids, self._weights["embeddings.word_embeddings.weight"])
        states = states + self._weights["embeddings.token_type_embeddings.weight"][0]
        states = states + self._weights["embeddings.position_embeddings.weight"][:n_tokens]
        states = self._normed(states, "embeddings.LayerNorm")
        for number in range(self._n_layers):
            at = f"encoder.layer.{number}"
            parts = (self._linear(states, f"{at}.attention.self.{part}") for part in ("query", "key", "value"))
            query, key, value = (part.view(n_texts, n_tokens, self._n_heads, -1).transpose(1, 2) for part in parts)
            mixed = self._attended(query, key, value, mask).reshape(n_texts, n_tokens, -1).contiguous()
            mixed = self._linear(mixed, f"{at}.attention.output.dense")
            states = self._normed(mixed + states, f"{at}.attention.output.LayerNorm")
            inner = gelu(self._linear(states, f"{at}.intermediate.dense"))
            states = self._normed(self._linear(inner, f"{at}.output.dense") + states, f"{at}.output.LayerNorm")
        return Hidden(states)

    def _linear(self, states: Tensor, name: str) -> Tensor:
        return self._product(states, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _normed(self, states: Tensor, name: str) -> Tensor:
        from torch.nn.functional import layer_norm

        weight = self._weights[f"{name}.weight"]
        return layer_norm(states, weight.shape, weight, self._weights[f"{name}.bias"], self._epsilon)

    def _attended(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        from torch.nn.functional import scaled_dot_product_attention

        if self._compute == "bfloat16" and query.shape[2] <= LONGEST_MATMUL_ATTENTION:
            return matmul_attention(query, key, value, mask, scale=query.shape[-1] ** -0.5)
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=query.shape[-1] ** -0.5)
        return mixed.transpose(1, 2).contiguous()
