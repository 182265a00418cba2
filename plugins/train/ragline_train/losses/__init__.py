"""Losses of towers for media and texts: one signature, a file per idea.

`loss(v, t, batch) -> (value, parts)`, for vectors of pairs and what else is known of them (`Batch`). They are read from their
papers as each says in `source`, and by which table they are worth something stands in the plug-in's page.
"""

from ragline_train.losses.adversarial import Adversarial
from ragline_train.losses.bank import Bank
from ragline_train.losses.base import Loss
from ragline_train.losses.batch import Batch, Other
from ragline_train.losses.caption import Captioning, GuidedMask
from ragline_train.losses.choose import next_to_label
from ragline_train.losses.confusion import Confusion
from ragline_train.losses.dtw import Dtw
from ragline_train.losses.gated import Gated
from ragline_train.losses.grow import Experts, Inherited, ShortCaptions
from ragline_train.losses.infonce import Anchored, InfoNCE
from ragline_train.losses.instruct import Instruct
from ragline_train.losses.margin import Margin
from ragline_train.losses.masking import Masking
from ragline_train.losses.mixup import Mixup
from ragline_train.losses.order import Order, OwnNegatives
from ragline_train.losses.pseudo_token import PseudoToken
from ragline_train.losses.queue import Queue
from ragline_train.losses.region import AttributeRegions, Blocks, RegionDescriptions
from ragline_train.losses.rewrite import Rewritten
from ragline_train.losses.score import Score
from ragline_train.losses.smooth_match import SmoothMatch
from ragline_train.losses.tokenwise import Tokenwise

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

__all__ = [
    "LOSSES",
    "Adversarial",
    "Anchored",
    "AttributeRegions",
    "Bank",
    "Batch",
    "Blocks",
    "Captioning",
    "Confusion",
    "Dtw",
    "Experts",
    "Gated",
    "GuidedMask",
    "InfoNCE",
    "Inherited",
    "Instruct",
    "Loss",
    "Margin",
    "Masking",
    "Mixup",
    "Order",
    "Other",
    "OwnNegatives",
    "PseudoToken",
    "Queue",
    "RegionDescriptions",
    "Rewritten",
    "Score",
    "ShortCaptions",
    "SmoothMatch",
    "Tokenwise",
    "next_to_label",
]
