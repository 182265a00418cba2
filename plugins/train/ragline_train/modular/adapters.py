"""Adapters: two small layers after each feed-forward block of a BERT, whose own weights stay as they are.

As Pfeiffer et al. have them (MAD-X, EMNLP 2020, arXiv 2005.00052): a stack of them, the ranking's on the language's, reads what the
block would give to the next layer, and adds to what the block itself gives. The invertible adapter at the tokens is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from rag.errors import SpecError
from rag.writing import require_positive
from ragline_train.modular.differences import Base, Difference, require_base


class Adapter(nn.Module):
    """[n, dim] to [n, dim] through `width` numbers. It begins as zero, so that a new one changes nothing."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(dim, width), nn.Linear(width, dim)
        nn.init.normal_(self.down.weight, std=0.02)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, states: Tensor) -> Tensor:
        """What is added."""
        added: Tensor = self.up(F.relu(self.down(states)))
        return added


class Adapters(nn.Module):
    """A module: an adapter for each layer of a model.

    Args:
        base: digest of the model's weights.
        reduction: a layer's width divided by that of its adapter.
        seed: of what they are drawn by.
    """

    def __init__(self, *, base: str, layers: int, dim: int, reduction: int, seed: int = 0) -> None:
        super().__init__()
        require_positive("adapters", layers=layers, dim=dim, reduction=reduction)
        if dim % reduction:
            raise ValueError(f"adapters: reduction must divide {dim}, got {reduction}")
        self.base, self.dim, self.reduction, self.scale = base, dim, reduction, 1.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.ModuleList(Adapter(dim, dim // reduction) for _ in range(layers))

    @property
    def size(self) -> int:
        return sum(each.numel() for each in self.parameters())

    def tensors(self) -> dict[str, Tensor]:
        return {name: each.contiguous() for name, each in self.state_dict().items()}

    def facts(self) -> dict[str, Any]:
        return {
            "form": "adapters",
            "base": self.base,
            "layers": len(self.layers),
            "dim": self.dim,
            "reduction": self.reduction,
        }


class Sockets:
    """Where adapters are put into a model. It is changed in place, and computes what it did while none is in.

    Raises:
        SpecError: it is no BERT, RoBERTa or XLM-RoBERTa.
    """

    def __init__(self, base: Base) -> None:
        from transformers.models.bert.modeling_bert import BertLayer
        from transformers.models.roberta.modeling_roberta import RobertaLayer
        from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaLayer

        self._base, self._stack = base, list[Adapters]()
        places: list[Any] = [
            each for each in base.model.modules() if isinstance(each, (BertLayer, RobertaLayer, XLMRobertaLayer))
        ]
        if not places:
            raise SpecError(
                f"adapters stand in the layers of BERT, RoBERTa and XLM-RoBERTa, and {type(base.model).__name__} has none of"
                " these. Teach a difference instead"
            )
        for number, place in enumerate(places):
            place.output = _Adapted(place.output, number, self._stack)
        self.layers, self.dim = len(places), int(places[0].output.dense.out_features)

    def new(self, *, reduction: int, seed: int = 0) -> Adapters:
        """Adapters that fit, and change nothing yet."""
        return Adapters(base=self._base.digest, layers=self.layers, dim=self.dim, reduction=reduction, seed=seed)

    @contextmanager
    def added(self, *adapters: Adapters) -> Iterator[None]:
        """The model has this stack meanwhile, the first lowest.

        Raises:
            SpecError: one was made for other weights, or does not fit.
        """
        for each in adapters:
            require_base(each.base, self._base.digest)
            if (len(each.layers), each.dim) != (self.layers, self.dim):
                raise SpecError(
                    f"adapters are for {len(each.layers)} layers of {each.dim}, and the model has {self.layers} of {self.dim}"
                )
        n = len(self._stack)
        self._stack.extend(adapters)
        try:
            yield
        finally:
            del self._stack[n:]


class _Adapted(nn.Module):
    """The end of a layer's feed-forward block, under the names that its weights had, with a stack of adapters."""

    def __init__(self, output: Any, number: int, stack: list[Adapters]) -> None:
        super().__init__()
        self.dense, self.dropout, self.LayerNorm = output.dense, output.dropout, output.LayerNorm
        self._number, self._stack = number, stack

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        states: Tensor = self.dropout(self.dense(hidden_states))
        for adapters in self._stack:
            added = adapters.layers[self._number](self.LayerNorm(states + input_tensor))
            states = states + adapters.scale * added
        normed: Tensor = self.LayerNorm(states + input_tensor)
        return normed


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
