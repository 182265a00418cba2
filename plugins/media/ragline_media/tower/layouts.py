"""Layouts in which towers are published: which key of a file is which weight of the network (`ragline_media.tower.vit`).

A map is data. In a key `{n}` is the number of a layer, `{k}` of an expert, `{p}` weight or bias, `{rest}` whatever follows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class To:
    """Where a tensor goes. `turned`: rows are columns. `alone`: it is the first and only one of its first dimension. `part`: it
    is the part with this number of what is put together along its rows. `rows`: these of its rows alone."""

    name: str
    turned: bool = False
    alone: bool = False
    part: int = 0
    rows: tuple[int, int | None] = (0, None)


Keys = Mapping[str, To | str]
"""Key of a file -> where it goes; "" is read and left."""

_HOLES = {"n": r"\d{1,4}", "k": r"\d{1,3}", "p": "weight|bias", "rest": r"[\w.]+"}


def _each(prefix: str, name: str, parts: Mapping[str, str]) -> dict[str, To | str]:
    return {f"{prefix}{key}": f"{name}{to}" for key, to in parts.items()}


_OPENAI_BLOCK = {
    "attn.in_proj_{p}": "attention.qkv.{p}",
    "attn.out_proj.{p}": "attention.out.{p}",
    "ln_1.{p}": "norm1.{p}",
    "ln_2.{p}": "norm2.{p}",
    "mlp.c_fc.{p}": "mlp.wide.{p}",
    "mlp.c_proj.{p}": "mlp.narrow.{p}",
}
_EXPERTS = {
    "gate.weight": "mlp.gate.weight",
    "experts.{k}.c_fc.{p}": "mlp.experts.{k}.wide.{p}",
    "experts.{k}.c_proj.{p}": "mlp.experts.{k}.narrow.{p}",
}
_PICTURES: Keys = {
    "visual.conv1.weight": "seen.patch.weight",
    "visual.class_embedding": "seen.first",
    "visual.positional_embedding": "seen.places",
    "visual.ln_pre.{p}": "seen.before.{p}",
    "visual.ln_post.{p}": "seen.after.{p}",
    "visual.proj": To(name="seen.project.weight", turned=True),
    **_each("visual.transformer.resblocks.{n}.", "seen.blocks.{n}.", _OPENAI_BLOCK),
    "logit_scale": "",
    "logit_bias": "",
}
_OPENAI: Keys = {
    **_PICTURES,
    "token_embedding.weight": "said.words.weight",
    "positional_embedding": "said.places",
    "ln_final.{p}": "said.after.{p}",
    "text_projection": To(name="said.project.weight", turned=True),
    **_each("transformer.resblocks.{n}.", "said.blocks.{n}.", _OPENAI_BLOCK),
    **dict.fromkeys(("input_resolution", "context_length", "vocab_size", "attn_mask"), ""),
}
_LONG: Keys = {
    **_OPENAI,
    "positional_embedding": To(name="said.places", rows=(0, 20)),
    "positional_embedding_res": To(name="said.places", part=1, rows=(20, None)),
}
_EXPERT: Keys = {
    **_LONG,
    **_each("visual.transformer.resblocks.{n}.", "seen.blocks.{n}.", _EXPERTS),
    **_each("transformer.resblocks.{n}.", "said.blocks.{n}.", _EXPERTS),
}
_ROBERTA: Keys = {
    **_PICTURES,
    "text.transformer.{rest}": "said.model.{rest}",
    "text.proj.0.weight": "said.first.weight",
    "text.proj.2.weight": "said.second.weight",
}


def _attention(key: str, name: str) -> dict[str, To | str]:
    joined = {
        f"{key}{each}_proj.{{p}}": To(name=f"{name}qkv.{{p}}", part=part) for part, each in enumerate(("q", "k", "v"))
    }
    return {**joined, f"{key}out_proj.{{p}}": f"{name}out.{{p}}"}


def _layers(key: str, name: str) -> dict[str, To | str]:
    return {
        **_attention(f"{key}self_attn.", f"{name}attention."),
        f"{key}layer_norm1.{{p}}": f"{name}norm1.{{p}}",
        f"{key}layer_norm2.{{p}}": f"{name}norm2.{{p}}",
        f"{key}mlp.fc1.{{p}}": f"{name}mlp.wide.{{p}}",
        f"{key}mlp.fc2.{{p}}": f"{name}mlp.narrow.{{p}}",
        **_attention(f"{key}temporal_attn.", f"{name}time.attention."),
        f"{key}temporal_layer_norm1.{{p}}": f"{name}time.norm.{{p}}",
        f"{key}temporal_embedding": To(name=f"{name}time.places", alone=True),
    }


def _pictures(key: str) -> dict[str, To | str]:
    return {
        f"{key}embeddings.class_embedding": "seen.first",
        f"{key}embeddings.patch_embedding.weight": "seen.patch.weight",
        f"{key}embeddings.position_embedding.weight": "seen.places",
        f"{key}embeddings.position_ids": "",
        f"{key}pre_layrnorm.{{p}}": "seen.before.{p}",
        f"{key}post_layernorm.{{p}}": "seen.after.{p}",
        **_layers(f"{key}encoder.layers.{{n}}.", "seen.blocks.{n}."),
    }


_TRANSFORMERS: Keys = {
    **_pictures("vision_model."),
    "visual_projection.weight": "seen.project.weight",
    "text_model.embeddings.token_embedding.weight": "said.words.weight",
    "text_model.embeddings.position_embedding.weight": "said.places",
    "text_model.embeddings.position_ids": "",
    "text_model.final_layer_norm.{p}": "said.after.{p}",
    "text_projection.weight": "said.project.weight",
    **_layers("text_model.encoder.layers.{n}.", "said.blocks.{n}."),
    "logit_scale": "",
}
_MLCD: Keys = {
    **_pictures(""),
    **_pictures("vision_model."),
    "class_pos_emb": To(name="seen.first_turn", alone=True),
    "vision_model.class_pos_emb": To(name="seen.first_turn", alone=True),
    "vision_rotary_embedding.{rest}": "",
    "vision_model.vision_rotary_embedding.{rest}": "",
}
_MERLIN: Keys = {
    "encode_image.i3_resnet.{rest}.num_batches_tracked": "",
    "encode_image.i3_resnet.classifier.{p}": "",  # of phenotypes
    "encode_image.i3_resnet.{rest}": "seen.{rest}",
    "encode_text.text_encoder.embeddings.position_ids": "",
    "encode_text.text_encoder.pooler.dense.{p}": "",
    "encode_text.text_encoder.{rest}": "said.model.{rest}",
    "encode_text.linear_layer.{p}": "said.project.{p}",
    "logit_scale": "",
}
"""Of `i3_resnet_clinical_longformer_best_clip_04-02-2024_23-21-36_epoch_99.pt`, as merlin-vlm 0.0.7 names its weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One of them.

    Args:
        system: whose weights come in it.
        keys: of its files; empty where a class of a library reads it.
        by: what runs it: our network, with texts by that of XLM-R where it says so, or a library's class; of Merlin our network
            of volumes, with texts by that of Longformer.
        quick: how its layers bend where no file says it.
        texts: whether it has a side of texts.
        fill: the number of the token that fills texts up.
        sees: what its other side takes.
        apart: whether texts are read in lower case, with spaces between words and signs.
    """

    system: str
    keys: Keys
    by: Literal["clip", "roberta", "align", "open_clip", "merlin"] = "clip"
    quick: bool = False
    texts: bool = True
    fill: int = 0
    sees: Literal["pictures", "volumes"] = "pictures"
    apart: bool = False


LAYOUTS: Mapping[str, Layout] = {
    "openai": Layout(system="CLIP, GeoRSCLIP, DIVA", keys=_OPENAI, quick=True),
    "open_clip": Layout(system="RemoteCLIP, ALIP", keys=_OPENAI),
    "long_clip": Layout(system="Long-CLIP", keys=_LONG, quick=True),
    "clip_moe": Layout(system="CLIP-MoE", keys=_EXPERT, quick=True),
    "xlm_roberta": Layout(system="RS-M-CLIP", keys=_ROBERTA, by="roberta", fill=1),
    "transformers": Layout(system="CLIP of transformers", keys=_TRANSFORMERS, quick=True),
    "language_bind": Layout(system="LanguageBind", keys=_TRANSFORMERS),
    "mlcd": Layout(system="MLCD", keys=_MLCD, texts=False),
    "align": Layout(system="ALIGN", keys={}, by="align"),
    "mobile_clip": Layout(system="MobileCLIP", keys={}, by="open_clip"),
    "merlin": Layout(system="Merlin", keys=_MERLIN, by="merlin", fill=1, sees="volumes", apart=True),
}


def mapped(weights: Mapping[str, Tensor], keys: Keys) -> dict[str, Tensor]:
    """The weights by our names, in float32.

    Raises:
        ValueError: a key that no entry of the map fits, or a part that is missing.
    """
    patterns = [(_pattern(key), to if isinstance(to, To) else To(name=to)) for key, to in keys.items()]
    parts: dict[str, dict[int, Tensor]] = {}
    for key, tensor in weights.items():
        found = next(((match, to) for pattern, to in patterns if (match := pattern.fullmatch(key))), None)
        if found is None:
            raise ValueError(f"no weight of this layout is called '{key[:100]}'")
        match, to = found
        if to.name:
            parts.setdefault(to.name.format(**match.groupdict()), {})[to.part] = _of(tensor, to)
    return {name: _joined(name, own) for name, own in parts.items()}


def _of(tensor: Tensor, to: To) -> Tensor:
    if to.alone:
        [tensor] = tensor
    turned = tensor.float().T if to.turned else tensor.float()
    return turned[slice(*to.rows)].contiguous()


def _joined(name: str, parts: Mapping[int, Tensor]) -> Tensor:
    if {*parts} != {*range(len(parts))}:
        raise ValueError(f"the first part of '{name}' is missing")
    import torch

    return torch.cat([parts[n] for n in sorted(parts)])


def _pattern(key: str) -> re.Pattern[str]:
    """`a.{n}.{p}` -> a pattern with a group for each hole."""
    pieces = re.split(r"\{(\w+)\}", key)
    return re.compile(
        "".join(f"(?P<{each}>{_HOLES[each]})" if n % 2 else re.escape(each) for n, each in enumerate(pieces))
    )
