"""Losses of towers for media and texts: one signature, a file per family.

`loss(v, t, batch) -> (value, parts)`, for vectors of pairs and what else is known of them (`Batch`). They are read from their
papers as each says in `source`, and by which table they are worth something stands in the plug-in's page.
"""

from ragline_train.losses.base import Loss
from ragline_train.losses.caption import Captioning, GuidedMask
from ragline_train.losses.classes import Confusion, Margin
from ragline_train.losses.composed import Bank, Instruct, PseudoToken
from ragline_train.losses.grow import Experts, Inherited, Queue, ShortCaptions
from ragline_train.losses.negatives import Order, OwnNegatives
from ragline_train.losses.pairs import Adversarial, Anchored, Gated, InfoNCE, Mixup, Rewritten, Score
from ragline_train.losses.parts import (
    AttributeRegions,
    Blocks,
    Dtw,
    Masking,
    RegionDescriptions,
    SmoothMatch,
    Tokenwise,
)

LOSSES: dict[str, type[Loss]] = {
    "infonce": InfoNCE,
    "anchored": Anchored,
    "gated": Gated,
    "tokenwise": Tokenwise,
    "smooth_match": SmoothMatch,
    "mixup": Mixup,
    "confusion": Confusion,
    "margin": Margin,
    "queue": Queue,
    "bank": Bank,
    "pseudo_token": PseudoToken,
    "instruct": Instruct,
    "order": Order,
    "own_negatives": OwnNegatives,
    "attribute_regions": AttributeRegions,
    "region_descriptions": RegionDescriptions,
    "blocks": Blocks,
    "captioning": Captioning,
    "guided_mask": GuidedMask,
    "masking": Masking,
    "score": Score,
    "dtw": Dtw,
    "adversarial": Adversarial,
    "short_captions": ShortCaptions,
    "experts": Experts,
    "inherited": Inherited,
    "rewritten": Rewritten,
}
