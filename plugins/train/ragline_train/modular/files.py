"""Modules as files: tensors, and beside them in JSON of which form they are and for which weights."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rag.errors import SpecError
from ragline_train.modular.adapters import Adapters
from ragline_train.modular.differences import Difference

Module = Difference | Adapters


def write_module(module: Module, file: Path) -> None:
    """Write `file`, which ends in .safetensors, and one of the same name that ends in .json."""
    save_file(module.tensors(), file)
    file.with_suffix(".json").write_text(json.dumps(module.facts()), encoding="utf-8")


def read_module(file: Path) -> Module:
    """What was written there.

    Raises:
        SpecError: it cannot be read.
    """
    try:
        said = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        tensors = load_file(file)
        if said["form"] == "difference":
            names = [name.removesuffix(":places") for name in tensors if name.endswith(":places")]
            entries = {name: (tensors[f"{name}:places"].long(), tensors[f"{name}:values"]) for name in names}
            return Difference(base=said["base"], entries=entries)
        adapters = Adapters(**{name: said[name] for name in ("base", "layers", "dim", "reduction")})
        adapters.load_state_dict(tensors)
        return adapters.eval()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as cause:
        raise SpecError(f"'{file}' cannot be read as a module ({cause}). Teach it again") from cause
