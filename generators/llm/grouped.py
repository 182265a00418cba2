"""Attention of decoders whose query heads share keys and values, on processors, without copies for each head.

transformers repeats keys and values for every query head of a group wherever there is a mask, which it must on GPUs: their
fast kernels take no group beside a mask. On processors torch's kernel takes both, and gives the same numbers to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_ATTENTION = "ragline_grouped"


def share_keys(model: Any) -> None:
    """Let a model on a processor attend so, if it attends by torch's kernel; others stay as they are."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if model.device.type != "cpu" or not model._supports_attention_backend:
        return
    if model.config._attn_implementation != "sdpa":
        return
    ALL_ATTENTION_FUNCTIONS.register(_ATTENTION, _attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_ATTENTION, sdpa_mask)
    model.set_attn_implementation(_ATTENTION)


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """query [rows, heads, new, width], key and value [rows, groups, all, width] -> [rows, new, heads, width]."""
    from torch.nn.functional import scaled_dot_product_attention
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    # The rest of what a caller may ask for is left to transformers; without a mask it repeats nothing either.
    if attention_mask is None or position_bias is not None or kwargs.get("dropout") or kwargs.get("cache") is not None:
        kwargs |= {"scaling": scaling, "position_bias": position_bias}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    output = scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling, enable_gqa=key.shape[1] != query.shape[1]
    )
    return output.transpose(1, 2).contiguous(), None
