"""A language model whose tokens also see those after them, as LLM2Vec begins (BehnamGhader et al., 2024, arXiv 2404.05961)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rag.core.errors import SpecError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROBES = ((1, 2, 3), (1, 2, 4))


def attend_both_ways(model: PreTrainedModel, *, folder: Path) -> None:
    """Take the causal mask off, in place.

    transformers makes its masks from `is_causal` of the configuration, and computes attention without a mask by
    `is_causal` of each layer. Families that heed neither would go on unseen, so the first token is asked whether it sees
    the last.

    Raises:
        SpecError: it has no causal attention, or keeps it.
    """
    from transformers import PreTrainedModel

    causal = [module for module in model.modules() if vars(module).get("is_causal") is True]
    if not causal:
        raise SpecError(
            f"model folder '{folder}': index.dense.encoding.attention is for language models, and this one's tokens see"
            " each other already. Leave attention out."
        )
    for module in causal:
        vars(module)["is_causal"] = False
    for part in model.modules():
        if isinstance(part, PreTrainedModel):
            part.config.is_causal = False  # read by the functions that make masks
    if not _first_sees_last(model):
        raise SpecError(
            f"model folder '{folder}': {type(model).__name__} keeps its causal attention, whatever it is told. Leave"
            " index.dense.encoding.attention out, or set echo: true."
        )


def _first_sees_last(model: PreTrainedModel) -> bool:
    import torch

    with torch.inference_mode():
        states = model(input_ids=torch.tensor(_PROBES, device=model.device)).last_hidden_state
    return not torch.equal(states[0, 0], states[1, 0])
