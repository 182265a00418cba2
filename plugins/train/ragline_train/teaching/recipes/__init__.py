"""Recipes: how lessons become a model, a loss and examples. One file an idea, one line here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import cast

from rag import UnknownComponent
from ragline_train.teaching.task import Recipe

RECIPES: Mapping[str, str] = MappingProxyType(
    {
        "encoder": "an encoder for index.dense.encoder, taught by the legs' shares or by sources against hard negatives",
        "reranker": "a small cross-encoder for rerank.cross_encoder, taught by the fused list of the legs",
        "align": "an encoder fitted to the vectors of a larger one",
        "static": "static vectors for index.dense.encoder, fitted to an encoder's vectors of whole texts",
        "sparse": "learned sparse terms for index.sparse.model, taught by the legs' shares",
        "multi_vector": "token vectors with a head of 64 numbers, for index.late_interaction.model",
    }
)
"""Name -> what it gives. The module has the same name, and `recipe` in it."""


def recipe_named(name: str) -> Recipe:
    """The recipe.

    Raises:
        UnknownComponent: there is none of this name.
    """
    if name not in RECIPES:
        raise UnknownComponent(f"no recipe named '{name}'. Known: {', '.join(RECIPES)}")
    return cast(Recipe, import_module(f"{__name__}.{name}").recipe)
