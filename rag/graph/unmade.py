"""Stands for a model, an index or an inner graph that could not be made, where a part is tried without it."""

from __future__ import annotations

from typing import Any, NoReturn

from rag.core.powers import POWERS, Power
from rag.core.protocols import LLM, Reranker, Retriever


class NotKnown(Exception):
    """Somebody asked a stand-in for what nobody knows."""


def _not_known(*_: Any, **__: Any) -> NoReturn:
    raise NotKnown


_PROTOCOLS = (*POWERS.values(), *(Power(protocol=each, words="") for each in (LLM, Retriever, Reranker)))


class Unmade:
    """It has every power in name, so that no part refuses it; whoever asks it for anything gets `NotKnown`."""


for _name in frozenset().union(*(power.members for power in _PROTOCOLS)):
    setattr(Unmade, _name, _not_known)
