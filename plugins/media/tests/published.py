"""Towers of random weights as they would be published, and what transformers, open_clip or a second network gives of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn

WORDS = 40
"""Of a vocabulary; the last one ends a text."""
_VISION = {"image_size": 32, "layers": 2, "width": 128, "patch_size": 8}
_TEXT = {"context_length": 77, "vocab_size": WORDS, "width": 64, "heads": 1, "layers": 2}


@dataclass(frozen=True)
class Reference:
    """Another implementation, and what it would be published as."""

    weights: Mapping[str, Tensor]
    config: Mapping[str, Any]
    pictures: Callable[[Tensor], Tensor]
    texts: Callable[[Tensor], Tensor] | None
    shape: tuple[int, ...] = (3, 32, 32)
    files: Mapping[str, Any] = field(default_factory=dict)

    def folder(self, place: Path) -> Path:
        place.mkdir()
        save_file(
            {name: each.detach().clone().contiguous() for name, each in self.weights.items()},
            place / "model.safetensors",
        )
        for name, said in {"config.json": self.config, **self.files}.items():
            (place / name).write_text(json.dumps(said))
        word_tokenizer(place / "tokenizer.json")
        return place


def word_tokenizer(file: Path) -> None:
    """A word is a token; a text begins with the one before the last, and ends with the last."""
    known = ["?", *(f"w{n}" for n in range(1, WORDS - 2)), "<s>", "</s>"]
    for place, word in enumerate(("red", "green", "disc", "frame", "a"), start=2):
        known[place] = word
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(known)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", WORDS - 2), ("</s>", WORDS - 1)]
    )
    tokenizer.save(str(file))


def drawn(network: Any, *, gain: float = 1.0) -> Any:
    """With random numbers everywhere, so that no norm and no place is as it comes. `gain`: so that pictures stay apart through many
    convolutions."""
    drawing = torch.Generator().manual_seed(5)
    for name, parameter in network.named_parameters():
        if parameter.ndim < 2:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=drawing) + float(name.endswith("weight"))
        else:
            share = (gain if parameter.ndim == 4 else 1.0) / parameter[0].numel()
            parameter.data = share**0.5 * torch.randn(parameter.shape, generator=drawing)
    for name, own in network.named_buffers():
        if "running_var" in name:
            own.data = torch.rand(own.shape, generator=drawing) + 0.5
    return network.eval()


def of_open_clip(*, quick: bool, layout: str, **text: Any) -> Reference:
    open_clip = pytest.importorskip("open_clip")
    model = drawn(open_clip.model.CLIP(48, dict(_VISION), _TEXT | text, quick_gelu=quick))
    return Reference(model.state_dict(), {"layout": layout}, model.encode_image, model.encode_text)


def long_clip() -> Reference:
    """The first twenty places of one table and the others of a second; what else they hold is looked at by nobody."""
    whole = of_open_clip(quick=True, layout="long_clip", context_length=248)
    places = whole.weights["positional_embedding"]
    early, late = places.clone(), places.clone()
    early[20:], late[:20] = 9.0, 9.0
    weights = {**whole.weights, "positional_embedding": early, "positional_embedding_res": late}
    return Reference(weights, whole.config, whole.pictures, whole.texts)


class PlainExperts(nn.Module):
    """A token at a time."""

    def __init__(self, width: int, n: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, n, bias=False)
        self.experts = nn.ModuleList(
            nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})
            for _ in range(n)
        )

    def forward(self, states: Tensor) -> Tensor:
        found = []
        for state in states.reshape(-1, states.shape[-1]):
            shares = [math.exp(each) for each in self.gate(state).tolist()]
            best = sorted(range(len(shares)), key=lambda n: -shares[n])[:2]
            total = sum(shares[n] for n in best)
            parts = []
            for n in best:
                wide = self.experts[n]["c_fc"](state)
                parts.append(shares[n] / total * self.experts[n]["c_proj"](wide * torch.sigmoid(1.702 * wide)))
            found.append(parts[0] + parts[1])
        return torch.stack(found).reshape(states.shape)


def clip_moe() -> Reference:
    """open_clip's network with plain experts in the last layer of both sides: no library has them."""
    open_clip = pytest.importorskip("open_clip")
    model = open_clip.model.CLIP(48, dict(_VISION), _TEXT | {"context_length": 248}, quick_gelu=True)
    model.visual.transformer.resblocks[-1].mlp = PlainExperts(128, 4)
    model.transformer.resblocks[-1].mlp = PlainExperts(64, 4)
    drawn(model)
    weights = {
        name.replace(".mlp.experts", ".experts").replace(".mlp.gate", ".gate"): each
        for name, each in model.state_dict().items()
    }
    weights["positional_embedding_res"] = weights["positional_embedding"]
    return Reference(weights, {"layout": "clip_moe"}, model.encode_image, model.encode_text)


def xlm_roberta(home: Path) -> Reference:
    open_clip = pytest.importorskip("open_clip")
    from transformers import XLMRobertaConfig

    config = XLMRobertaConfig(
        vocab_size=WORDS,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=1,
        intermediate_size=96,
        max_position_embeddings=90,
        layer_norm_eps=1e-5,
    )
    config.save_pretrained(home / "xlm")
    text = {
        "hf_model_name": str(home / "xlm"),
        "hf_model_pretrained": False,
        "hf_proj_type": "mlp",
        "hf_pooler_type": "mean_pooler",
    }
    model = drawn(open_clip.model.CustomTextCLIP(48, dict(_VISION), text))
    return Reference(model.state_dict(), {"layout": "xlm_roberta"}, model.encode_image, model.encode_text)


def of_transformers(act: str = "quick_gelu") -> tuple[Any, dict[str, Any]]:
    from transformers import CLIPConfig, CLIPModel

    sides = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96, "hidden_act": act}
    config = CLIPConfig(
        text_config={
            **sides,
            "hidden_size": 64,
            "vocab_size": WORDS,
            "eos_token_id": WORDS - 1,
            "max_position_embeddings": 77,
        },
        vision_config={**sides, "hidden_size": 96, "image_size": 32, "patch_size": 8},
        projection_dim=48,
    )
    return drawn(CLIPModel(config)), config.to_dict()


def transformers_clip() -> Reference:
    model, config = of_transformers()
    return Reference(
        model.state_dict(),
        config,
        lambda pixels: model.get_image_features(pixels).pooler_output,
        lambda ids: model.get_text_features(ids).pooler_output,
    )


def with_adapters() -> Reference:
    """LanguageBind's sides of pictures: adapters in the files, added by hand in the reference."""
    model, config = of_transformers("gelu")
    published = {name: each.clone() for name, each in model.state_dict().items()}
    drawing = torch.Generator().manual_seed(9)
    for name in [each for each in published if each.endswith("q_proj.weight") and each.startswith("vision")]:
        low = torch.randn(4, 96, generator=drawing) * 0.1, torch.randn(96, 4, generator=drawing) * 0.1
        inside = name.replace("encoder.", "encoder.base_model.model.").removesuffix(".weight")
        published[f"{inside}.lora_A.default.weight"], published[f"{inside}.lora_B.default.weight"] = low
        published[f"{inside}.base_layer.weight"] = published.pop(name)
        model.state_dict()[name].add_(2.0 * low[1] @ low[0])
    config["vision_config"] |= {"lora_r": 4, "lora_alpha": 8}
    return Reference(
        published,
        {**config, "model_type": "LanguageBindDepth"},
        lambda pixels: model.get_image_features(pixels).pooler_output,
        lambda ids: model.get_text_features(ids).pooler_output,
    )


def films() -> Reference:
    """LanguageBind's side of films: layers of transformers, and frames that look at each other, written once more."""
    model, config = of_transformers("gelu")
    frames, width = 3, 96
    times = [drawn(nn.MultiheadAttention(width, 4, batch_first=True)) for _ in range(2)]
    norms = [drawn(nn.LayerNorm(width)) for _ in range(2)]
    places = [torch.randn(1, frames, width) * 0.1 for _ in range(2)]
    published = dict(model.state_dict())
    for n, (time, norm) in enumerate(zip(times, norms, strict=True)):
        key = f"vision_model.encoder.layers.{n}."
        for part, (w, b) in enumerate(zip(time.in_proj_weight.chunk(3), time.in_proj_bias.chunk(3), strict=True)):
            published[f"{key}temporal_attn.{'qkv'[part]}_proj.weight"] = w
            published[f"{key}temporal_attn.{'qkv'[part]}_proj.bias"] = b
        published[f"{key}temporal_attn.out_proj.weight"], published[f"{key}temporal_attn.out_proj.bias"] = (
            time.out_proj.weight,
            time.out_proj.bias,
        )
        published[f"{key}temporal_layer_norm1.weight"], published[f"{key}temporal_layer_norm1.bias"] = (
            norm.weight,
            norm.bias,
        )
        published[f"{key}temporal_embedding"] = places[n]

    def seen(film: Tensor) -> Tensor:
        found = []
        for one in film:
            vision = model.vision_model
            states = vision.pre_layrnorm(vision.embeddings(one.transpose(0, 1)))  # [frames, tokens, width]
            for layer, time, norm, place in zip(vision.encoder.layers, times, norms, places, strict=True):
                columns = []
                for token in range(states.shape[1]):
                    column = states[:, token] + place[0]
                    asked = norm(column)[None]
                    columns.append(column + time(asked, asked, asked)[0][0])
                states = layer(torch.stack(columns, dim=1), None)
            found.append(vision.post_layernorm(states[:, 0]).mean(dim=0))
        return model.visual_projection(torch.stack(found))

    return Reference(
        published,
        {**config, "model_type": "LanguageBindVideo"},
        seen,
        lambda ids: model.get_text_features(ids).pooler_output,
        shape=(3, frames, 32, 32),
    )


def sounds() -> Reference:
    """LanguageBind's side of sounds: a spectrogram that is no square, through layers of transformers."""
    model, config = of_transformers("gelu")
    vision = model.vision_model
    places = torch.randn(2 * 5 + 1, 96) * 0.1
    published = {**model.state_dict(), "vision_model.embeddings.position_embedding.weight": places}

    def seen(pixels: Tensor) -> Tensor:
        grid = vision.embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
        first = vision.embeddings.class_embedding.expand(len(grid), 1, -1)
        states = vision.pre_layrnorm(torch.cat([first, grid], dim=1) + places)
        return model.visual_projection(vision.post_layernorm(vision.encoder(states).last_hidden_state[:, 0]))

    texts = lambda ids: model.get_text_features(ids).pooler_output  # noqa: E731
    return Reference(published, {**config, "model_type": "LanguageBindAudio"}, seen, texts, shape=(3, 16, 40))


def mlcd() -> Reference:
    from transformers import MLCDVisionConfig, MLCDVisionModel

    config = MLCDVisionConfig(
        hidden_size=96, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8
    )
    model = drawn(MLCDVisionModel(config))
    return Reference(
        model.state_dict(), {**config.to_dict(), "reads": ["picture"]}, lambda pixels: model(pixels).pooler_output, None
    )


def align() -> Reference:
    from transformers import AlignConfig, AlignModel

    config = AlignConfig(
        text_config={
            "vocab_size": WORDS,
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 96,
        },
        vision_config={"image_size": 64, "width_coefficient": 0.25, "depth_coefficient": 0.2, "hidden_dim": 320},
        projection_dim=320,
    )
    model = drawn(AlignModel(config), gain=2.0)
    return Reference(
        model.state_dict(),
        config.to_dict(),
        lambda pixels: model.get_image_features(pixels).pooler_output,
        lambda ids: model.get_text_features(ids, attention_mask=(ids != 0).long()).pooler_output,
        shape=(3, 64, 64),
    )


def mobile_clip() -> Reference:
    open_clip = pytest.importorskip("open_clip")
    config = {
        "embed_dim": 64,
        "vision_cfg": {
            "timm_model_name": "fastvit_mci0",
            "timm_pool": "avg",
            "timm_proj": None,
            "timm_model_pretrained": False,
            "image_size": 64,
        },
        "text_cfg": _TEXT | {"no_causal_mask": True},
        "custom_text": True,
    }
    config["embed_dim"] = 512
    model = drawn(open_clip.model.CustomTextCLIP(512, dict(config["vision_cfg"]), dict(config["text_cfg"])))
    return Reference(
        model.state_dict(),
        {"layout": "mobile_clip"},
        model.encode_image,
        model.encode_text,
        shape=(3, 64, 64),
        files={"open_clip_config.json": {"model_cfg": config}},
    )


def of_slices(weights: Mapping[str, Tensor], volumes: Tensor) -> Tensor:
    """Merlin's side of volumes from slices: what a kernel of three directions gives is the sum of what its slices give of those
    around; norms by their formula. Blocks are those that weights name, and the first of the later three stages halve."""

    def kernel(states: Tensor, name: str, deep: int, flat: int) -> Tensor:
        weight = weights[f"{name}.weight"]
        depth, around, side = states.shape[2], weight.shape[2] // 2, weight.shape[3] // 2
        found = []
        for place in range(0, depth, deep):
            near = [(n, place + n - around) for n in range(weight.shape[2]) if 0 <= place + n - around < depth]
            parts = [
                nn.functional.conv2d(states[:, :, at], weight[:, :, n], stride=flat, padding=side) for n, at in near
            ]
            found.append(torch.stack(parts).sum(dim=0))
        return torch.stack(found, dim=2)

    def norm(states: Tensor, name: str) -> Tensor:
        mean, spread, gain, shift = (
            weights[f"{name}.{part}"].view(-1, 1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (states - mean) / (spread + 1e-5).sqrt() * gain + shift

    states = norm(kernel(torch.cat([volumes] * 3, dim=1), "conv1", 1, 2), "bn1").clamp(min=0)
    depth = states.shape[2]
    flat = [nn.functional.max_pool2d(states[:, :, at], 3, stride=2, padding=1) for at in range(depth)]
    pooled = [torch.stack(flat[max(at - 1, 0) : at + 2]).amax(dim=0) for at in range(0, depth, 2)]
    states = torch.stack(pooled, dim=2)
    for block in sorted({name.rsplit(".", 2)[0] for name in weights if ".conv3." in name}):
        step = 2 if block[5] != "1" and block.endswith(".0") else 1
        inner = norm(kernel(states, f"{block}.conv1", 1, 1), f"{block}.bn1").clamp(min=0)
        inner = norm(kernel(inner, f"{block}.conv2", step, step), f"{block}.bn2").clamp(min=0)
        inner = norm(kernel(inner, f"{block}.conv3", 1, 1), f"{block}.bn3")
        if f"{block}.downsample.0.weight" in weights:
            states = norm(kernel(states, f"{block}.downsample.0", step, step), f"{block}.downsample.1")
        states = (inner + states).clamp(min=0)
    head = weights["contrastive_head.weight"][:, :, 0, 0, 0]
    return states.mean(dim=(2, 3, 4)) @ head.T + weights["contrastive_head.bias"]


def volume_weights() -> dict[str, Tensor]:
    """By the names and in the order of a ResNet of bottlenecks; 2, 1, 1, and 1 of them, 4 channels wide at first."""
    kernels: dict[str, tuple[int, ...]] = {"conv1": (4, 3, 3, 7, 7)}
    norms, into = {"bn1": 4}, 4
    for stage, n_blocks in enumerate((2, 1, 1, 1)):
        narrow, wide = 4 << stage, 16 << stage
        for n in range(n_blocks):
            at = f"layer{stage + 1}.{n}."
            kernels |= {f"{at}conv1": (narrow, into, 1, 1, 1), f"{at}conv2": (narrow, narrow, 3, 3, 3)}
            kernels[f"{at}conv3"] = (wide, narrow, 1, 1, 1)
            norms |= {f"{at}bn1": narrow, f"{at}bn2": narrow, f"{at}bn3": wide}
            if n == 0:
                kernels[f"{at}downsample.0"], norms[f"{at}downsample.1"] = (wide, into, 1, 1, 1), wide
            into = wide
    drawing = torch.Generator().manual_seed(7)
    noise = lambda *shape: torch.randn(shape, generator=drawing)  # noqa: E731
    weights = {f"{name}.weight": noise(*shape) * (2 / math.prod(shape[1:])) ** 0.5 for name, shape in kernels.items()}
    for name, n in norms.items():
        weights |= {f"{name}.weight": 1 + 0.1 * noise(n), f"{name}.bias": 0.1 * noise(n)}
        weights |= {f"{name}.running_mean": 0.1 * noise(n), f"{name}.running_var": 0.5 + noise(n).abs()}
        weights[f"{name}.num_batches_tracked"] = torch.tensor(3)
    weights |= {"contrastive_head.weight": noise(48, into, 1, 1, 1), "contrastive_head.bias": noise(48)}
    return weights | {"classifier.weight": noise(7, into, 1, 1, 1), "classifier.bias": noise(7)}


def merlin() -> Reference:
    from transformers import LongformerConfig, LongformerModel

    config = LongformerConfig(
        vocab_size=WORDS,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=1,
        intermediate_size=96,
        max_position_embeddings=1026,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        attention_window=8,
    )
    texts, layer = drawn(LongformerModel(config)), drawn(nn.Linear(64, 48))
    volumes = volume_weights()
    weights = {
        **{f"encode_image.i3_resnet.{name}": each for name, each in volumes.items()},
        **{f"encode_text.text_encoder.{name}": each for name, each in texts.state_dict().items()},
        **{f"encode_text.linear_layer.{name}": each for name, each in layer.state_dict().items()},
        "logit_scale": torch.tensor(1.0),
    }
    return Reference(
        weights,
        {"layout": "merlin", "attention_window": 8},
        lambda given: of_slices(volumes, given),
        lambda ids: layer(texts(ids, attention_mask=(ids != 1).long()).last_hidden_state[:, 0]),
        shape=(1, 11, 40, 32),
    )


CASES: dict[str, tuple[str, Callable[..., Reference]]] = {
    "openai": ("openai", lambda: of_open_clip(quick=True, layout="openai")),
    "open_clip": ("open_clip", lambda: of_open_clip(quick=False, layout="open_clip")),
    "long_clip": ("long_clip", long_clip),
    "clip_moe": ("clip_moe", clip_moe),
    "xlm_roberta": ("xlm_roberta", xlm_roberta),
    "transformers": ("transformers", transformers_clip),
    "language_bind, depth": ("language_bind", with_adapters),
    "language_bind, films": ("language_bind", films),
    "language_bind, sounds": ("language_bind", sounds),
    "mlcd": ("mlcd", mlcd),
    "align": ("align", align),
    "mobile_clip": ("mobile_clip", mobile_clip),
    "merlin": ("merlin", merlin),
}


def made(name: str, home: Path) -> Reference:
    make = CASES[name][1]
    torch.manual_seed(1)
    return make(home) if make is xlm_roberta else make()
