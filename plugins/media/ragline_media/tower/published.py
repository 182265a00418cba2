"""A folder of weights in a published layout: which layout it is, what its files say, and both sides of its network.

config.json          `"layout": NAME`, one of LAYOUTS, or a config of transformers that names its model
model.safetensors    the weights; pickled ones are never read
tokenizer.json       where it has a side of texts
open_clip_config.json, preprocessor_config.json   where they were published
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rag.errors import SpecError
from ragline_media.tower.layouts import LAYOUTS, mapped
from ragline_media.tower.pixels import Pixels

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ragline_media.tower.vit import How

_BY_MODEL = {
    "clip": "transformers",
    "mlcd": "mlcd",
    "mlcd_vision_model": "mlcd",
    "align": "align",
    **{f"LanguageBind{side}": "language_bind" for side in ("Image", "Video", "Audio", "Depth", "Thermal")},
}
"""What configs of transformers call their model -> its layout."""
_ADAPTER = re.compile(r"(.+)\.lora_(A|B)(?:\.\w+)?\.weight")
_LARGEST = 1 << 20
_BROKEN = (KeyError, IndexError, RuntimeError, ValueError, TypeError, OSError)


def layout_of(folder: Path) -> str | None:
    """The name of the layout that a folder says it has; None where it says none.

    Raises:
        SpecError: it names one that is not known.
    """
    said = said_by(folder / "config.json")
    name = said.get("layout")
    if name is None:  # a folder of sentence-transformers is read by that library, as it says itself
        return None if (folder / "modules.json").exists() else _BY_MODEL.get(str(said.get("model_type")))
    if name not in LAYOUTS:
        raise SpecError(f"model folder '{folder}': there is no layout {name!r}; known: {', '.join(LAYOUTS)}")
    return str(name)


class Published:
    """One of them. Reads JSON alone until a side is asked for.

    Raises:
        SpecError: its config names no layout.
    """

    def __init__(self, folder: Path) -> None:
        name = layout_of(folder)
        if name is None:
            raise SpecError(
                f"model folder '{folder}': its config.json names no layout. Write \"layout\": one of {', '.join(LAYOUTS)}"
            )
        self.folder, self.name, self.layout = folder, name, LAYOUTS[name]
        self.config = said_by(folder / "config.json")
        self.open_clip: Mapping[str, Any] = said_by(folder / "open_clip_config.json").get("model_cfg") or {}

    def side(self, which: Literal["seen", "said"]) -> nn.Module:
        """The network of pictures or of volumes, or of texts: pixels, voxels or ids -> float32 [n, dim].

        Raises:
            SpecError: the weights are not there, damaged, or of another layout; it has no such side.
        """
        if which == "said" and not self.layout.texts:
            raise SpecError(
                f"model folder '{self.folder}': {self.layout.system} sees pictures and reads no texts. Ask it by pictures,"
                " or fit a projector"
            )
        weights = self._weights()
        try:
            return self._side(which, weights)
        except _BROKEN as cause:
            told = f"{type(cause).__name__}: {str(cause)[:300]}"
            raise SpecError(
                f"model folder '{self.folder}' has no weights of the layout '{self.name}' ({told}). Name its own layout in"
                f" config.json; known: {', '.join(LAYOUTS)}"
            ) from cause

    @property
    def length(self) -> int:
        """Tokens that a text may have; the places of texts that weights have may be fewer."""
        said = self.open_clip.get("text_cfg", {}).get("context_length")
        own = (self.config.get("text_config") or {}).get("max_position_embeddings")
        usual = {"long_clip": 248, "clip_moe": 248, "align": 64, "merlin": 1024}.get(self.name, 77)
        return int(said or (own if self.layout.by == "clip" and own else usual))

    @cached_property
    def pixels(self) -> Pixels:
        return Pixels.of(said_by(self.folder / "preprocessor_config.json"), side=self._image_side)

    @property
    def _image_side(self) -> int:
        """Pixels of a side, where no file of its own says it."""
        said = self.open_clip.get("vision_cfg", {}).get("image_size")
        seen = self.config.get("vision_config") or self.config
        return int(said or seen.get("image_size") or 224)

    def _side(self, which: Literal["seen", "said"], weights: dict[str, Tensor]) -> nn.Module:
        from ragline_media.tower import inflated, library_sides, vit

        if self.layout.by == "align":
            return library_sides.align(self.config, weights, which)
        if self.layout.by == "open_clip":
            return library_sides.open_clip(self.open_clip, weights, which)
        seen = self.config.get("vision_config") or {}
        scale = float(seen.get("lora_alpha", 16)) / float(seen.get("lora_r") or 16)
        named = mapped(_with_adapters(weights, scale), self.layout.keys)
        own = {name.removeprefix(f"{which}."): each for name, each in named.items() if name.startswith(f"{which}.")}
        if which == "said" and self.layout.by == "roberta":
            return library_sides.roberta(own)
        if self.layout.by == "merlin":
            window = int(self.config.get("attention_window", 512))
            return inflated.inflated(own) if which == "seen" else library_sides.longformer(own, window)
        return vit.network_of(vit.Seen if which == "seen" else vit.Said, own, self._how)

    @property
    def _how(self) -> How:
        from ragline_media.tower.vit import How

        seen = self.config.get("vision_config") or self.config
        said = self.config.get("text_config") or {}
        vision, text = self.open_clip.get("vision_cfg", {}), self.open_clip.get("text_cfg", {})
        heads = seen.get("num_attention_heads")
        if "head_width" in vision:
            heads = int(vision["width"]) // int(vision["head_width"])
        quick = self.open_clip.get("quick_gelu", self.layout.quick)
        if "hidden_act" in seen:
            quick = {"quick_gelu": True, "gelu": False}[seen["hidden_act"]]
        return How(
            seen_heads=heads,
            said_heads=said.get("num_attention_heads", text.get("heads")),
            quick=bool(quick),
            epsilon=float(seen.get("layer_norm_eps", 1e-5)),
            used=int(self.config.get("experts_used", 2)),
            theta=float((seen.get("rope_parameters") or {}).get("rope_theta", 10_000.0)),
        )

    def _weights(self) -> dict[str, Tensor]:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(self.folder / "model.safetensors")
        except (OSError, SafetensorError) as cause:
            raise SpecError(
                f"model folder '{self.folder}': its model.safetensors cannot be read ({cause}). Pickled weights are not read:"
                " write them as safetensors"
            ) from cause


def _with_adapters(weights: dict[str, Tensor], scale: float) -> dict[str, Tensor]:
    """The weights with low-rank adapters (Hu et al., ICLR 2022) added to what they adapt: W + scale B A."""
    low = [found for key in weights if (found := _ADAPTER.fullmatch(key))]
    merged = {_plain(key): each.float() for key, each in weights.items() if not _ADAPTER.fullmatch(key)}
    parts = {(_plain(found[1]), found[2]): weights[found[0]].float() for found in low}
    for name in {name for name, _ in parts}:
        merged[f"{name}.weight"] = merged[f"{name}.weight"] + scale * parts[name, "B"] @ parts[name, "A"]
    return merged


def _plain(key: str) -> str:
    """A key without what adapters put around it."""
    return key.replace(".base_model.model.", ".").replace(".base_layer.", ".")


def said_by(file: Path) -> Mapping[str, Any]:
    """A JSON object; empty where there is no file.

    Raises:
        SpecError: it cannot be read, or holds something else.
    """
    if not file.is_file():
        return {}
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError(f"it is larger than {_LARGEST:,} bytes")
        said = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(said, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError, RecursionError) as cause:
        raise SpecError(f"'{file}' cannot be read ({cause}). Take it from where the weights come from") from cause
    return said
