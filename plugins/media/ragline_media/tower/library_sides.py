"""Sides of towers that a library's class runs: ALIGN, XLM-R and Longformer by transformers, MobileCLIP by open_clip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rag.errors import MissingDependency, SpecError

Side = Literal["seen", "said"]
_PAD = 1
"""What fills texts of XLM-R and of Longformer up."""
_WIDEST = 4096


class Align(nn.Module):
    """One side of ALIGN (Jia et al., ICML 2021; the open weights of another group)."""

    def __init__(self, model: Any, side: Side) -> None:
        super().__init__()
        self.model, self._side = model, side

    def forward(self, given: Tensor) -> Tensor:
        """Pixels, or ids filled up with 0 -> float32 [n, dim]."""
        if self._side == "seen":
            return torch.as_tensor(self.model.get_image_features(given).pooler_output)
        return torch.as_tensor(self.model.get_text_features(given, attention_mask=(given != 0).long()).pooler_output)


def align(config: Mapping[str, Any], weights: dict[str, Tensor], side: Side) -> nn.Module:
    """As `AlignModel` of transformers."""
    from transformers import AlignConfig, AlignModel

    own = {key: value for key, value in config.items() if key not in ("layout", "reads", "auto_map")}
    model = AlignModel(AlignConfig.from_dict(own))
    model.load_state_dict({name: each for name, each in weights.items() if not name.endswith("position_ids")})
    return Align(model, side).eval().requires_grad_(False)


class Roberta(nn.Module):
    """XLM-R (Conneau et al., ACL 2020), the mean of its tokens, and two layers, as open_clip has it."""

    def __init__(self, model: Any, *, width: int, inner: int, dim: int) -> None:
        super().__init__()
        self.model = model
        self.first, self.second = nn.Linear(width, inner, bias=False), nn.Linear(inner, dim, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """int [n, tokens], filled up with 1 -> float32 [n, dim]."""
        mask = ids != _PAD
        states = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        mean = (states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        found: Tensor = self.second(nn.functional.gelu(self.first(mean)))
        return found


def roberta(weights: dict[str, Tensor]) -> nn.Module:
    """With its weights, from whose shapes its sizes are read; heads have 64 numbers, as those of the published ones."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    weights = {name: each for name, each in weights.items() if not name.endswith("position_ids")}
    inner, dim = len(weights["first.weight"]), len(weights["second.weight"])
    made: Any = XLMRobertaModel  # has no types
    sizes = _sizes(weights)
    model = made(XLMRobertaConfig(**sizes), add_pooling_layer=False)
    network = Roberta(model, width=sizes["hidden_size"], inner=inner, dim=dim)
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def _sizes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    own = {name.removeprefix("model."): each for name, each in weights.items()}
    return {**bert_sizes(own), "layer_norm_eps": 1e-5, "pad_token_id": _PAD}


def bert_sizes(weights: Mapping[str, Tensor], heads: int | None = None) -> dict[str, Any]:
    """Of a network of the family of BERT, in the words of transformers; 64 numbers a head where nobody says how many there are."""
    words = weights["embeddings.word_embeddings.weight"]
    tables = {"max_position_embeddings": "position", "type_vocab_size": "token_type"}
    named = {size: weights.get(f"embeddings.{table}_embeddings.weight") for size, table in tables.items()}
    return {
        "vocab_size": len(words),
        "hidden_size": words.shape[1],
        "num_hidden_layers": len({name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}),
        "num_attention_heads": heads or words.shape[1] // 64,
        "intermediate_size": len(weights["encoder.layer.0.intermediate.dense.weight"]),
        **{size: len(table) for size, table in named.items() if table is not None},
    }


class Longformer(nn.Module):
    """Longformer (Beltagy et al., 2020), its first token, and a layer, as Merlin has it. No token looks beyond its window."""

    def __init__(self, model: Any, *, width: int, dim: int) -> None:
        super().__init__()
        self.model, self.project = model, nn.Linear(width, dim)

    def forward(self, ids: Tensor) -> Tensor:
        """int [n, tokens], filled up with 1 -> float32 [n, dim]."""
        states = self.model(input_ids=ids, attention_mask=(ids != _PAD).long()).last_hidden_state
        found: Tensor = self.project(states[:, 0])
        return found


def longformer(weights: dict[str, Tensor], window: int) -> nn.Module:
    """With its weights, from whose shapes its sizes are read; heads have 64 numbers, as those of the published ones.

    Args:
        window: tokens that a token looks at, which no shape says.
    """
    from transformers import LongformerConfig, LongformerModel

    if not 2 <= window <= _WIDEST or window % 2:
        raise ValueError(f"attention_window is {window}, and must be even, from 2 to {_WIDEST}")
    made: Any = LongformerModel  # has no types
    sizes = _sizes(weights)
    model = made(LongformerConfig(attention_window=window, **sizes), add_pooling_layer=False)
    network = Longformer(model, width=sizes["hidden_size"], dim=len(weights["project.weight"]))
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


class OpenClip(nn.Module):
    """One side of a model of open_clip."""

    def __init__(self, model: Any, side: Side) -> None:
        super().__init__()
        self.model, self._side = model, side

    def forward(self, given: Tensor) -> Tensor:
        """Pixels, or ids filled up with 0 to the longest text that there is -> float32 [n, dim]."""
        encode = self.model.encode_image if self._side == "seen" else self.model.encode_text
        return torch.as_tensor(encode(given))


def open_clip(config: Mapping[str, Any], weights: dict[str, Tensor], side: Side) -> nn.Module:
    """As the class of open_clip that its `open_clip_config.json` describes; nothing is fetched for it."""
    try:
        from open_clip.model import CLIP, CustomTextCLIP
    except ImportError as cause:
        raise MissingDependency(
            f"towers of open_clip need open_clip. Run: pip install './plugins/media[towers]' in a clone of ragline ({cause})"
        ) from cause
    vision, text = dict(config.get("vision_cfg") or {}), dict(config.get("text_cfg") or {})
    if text.get("hf_model_name") or not vision:
        raise SpecError("open_clip_config.json must have a vision_cfg, and no text model of another place")
    vision["timm_model_pretrained"] = False
    made = CustomTextCLIP if config.get("custom_text") or any(name.startswith("text.") for name in weights) else CLIP
    model = made(config["embed_dim"], vision, text, quick_gelu=bool(config.get("quick_gelu", False)))
    model.load_state_dict(weights)
    return OpenClip(model, side).eval().requires_grad_(False)
