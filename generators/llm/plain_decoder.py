"""A Llama or Qwen2, as `rag.models.gguf` writes its folder, in torch alone: what it makes of a prompt, and no word after it.

transformers has both, and takes seconds to import, which the first answer of a command would wait for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag.core.errors import MissingModel

if TYPE_CHECKING:
    from torch import Tensor

    Layer = tuple[Tensor, Tensor]


class PlainDecoder:
    """Weights are pages of the file where its numbers are of the data type that is asked for.

    Args:
        folder: of one safetensors file and config.json.
        dtype: name of a torch data type.
    Raises:
        MissingModel: a file is not there, or not of such a model.
    """

    def __init__(self, folder: Path, dtype: str) -> None:
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            self._n_layers, self._epsilon = int(config["num_hidden_layers"]), float(config["rms_norm_eps"])
            self._width = int(config["hidden_size"]) // int(config["num_attention_heads"])
            self._theta = float(config["rope_parameters"]["rope_theta"])
            weights = load_file(folder / "model.safetensors")
        except (OSError, KeyError, ValueError, SafetensorError) as cause:
            raise MissingModel(f"model folder '{folder}' is not as it is written here: {cause}") from cause
        self._dtype = getattr(torch, dtype)
        self._weights = {name: tensor.to(self._dtype) for name, tensor in weights.items()}

    def read(self, ids: Sequence[int], before: Sequence[Layer] = ()) -> list[Layer]:
        """Keys and values of each layer, [n_heads, n_tokens, width of a head]: of tokens that were read before, and of these."""
        import torch
        from torch.nn.functional import embedding, scaled_dot_product_attention, silu

        start = before[0][0].shape[1] if before else 0
        turn = self._turn(start, len(ids))
        mask = torch.ones(len(ids), start + len(ids), dtype=torch.bool).tril(start) if start else None
        states, read = embedding(torch.tensor(ids), self._weights["model.embed_tokens.weight"]), []
        for number in range(self._n_layers):
            seen = self._normed(states, number, "input_layernorm")
            key = _turned(self._heads(seen, number, "k_proj"), turn)
            value = self._heads(seen, number, "v_proj")
            if before:
                key, value = (torch.cat(pair, dim=1) for pair in zip(before[number], (key, value), strict=True))
            read.append((key, value))
            if number == self._n_layers - 1:
                break  # what it makes of them is for the word that follows
            query = _turned(self._heads(seen, number, "q_proj"), turn)
            mixed = scaled_dot_product_attention(
                query[None], key[None], value[None], attn_mask=mask, is_causal=mask is None, enable_gqa=True
            )
            states = states + self._times(mixed[0].transpose(0, 1).flatten(1), number, "self_attn.o_proj")
            seen = self._normed(states, number, "post_attention_layernorm")
            inner = silu(self._times(seen, number, "mlp.gate_proj")) * self._times(seen, number, "mlp.up_proj")
            states = states + self._times(inner, number, "mlp.down_proj")
        return read

    def _turn(self, start: int, n: int) -> Layer:
        """Cosines and sines of rotary positions, [n, width of a head]."""
        import torch

        speeds = self._theta ** -(torch.arange(0, self._width, 2, dtype=torch.float32) / self._width)
        angles = torch.outer(torch.arange(start, start + n, dtype=torch.float32), speeds).repeat(1, 2)
        return angles.cos().to(self._dtype), angles.sin().to(self._dtype)

    def _heads(self, seen: Tensor, number: int, name: str) -> Tensor:
        return self._times(seen, number, f"self_attn.{name}").view(len(seen), -1, self._width).transpose(0, 1)

    def _times(self, states: Tensor, number: int, name: str) -> Tensor:
        from torch.nn.functional import linear

        place = f"model.layers.{number}.{name}"
        return linear(states, self._weights[f"{place}.weight"], self._weights.get(f"{place}.bias"))

    def _normed(self, states: Tensor, number: int, name: str) -> Tensor:
        from torch.nn.functional import rms_norm

        weight = self._weights[f"model.layers.{number}.{name}.weight"]
        return rms_norm(states.float(), states.shape[-1:], eps=self._epsilon).to(self._dtype) * weight


def _turned(heads: Tensor, turn: Layer) -> Tensor:
    """Su and others, arXiv 2104.09864, by halves of a head."""
    import torch

    first, second = heads.chunk(2, dim=-1)
    return heads * turn[0] + torch.cat((-second, first), dim=-1) * turn[1]
