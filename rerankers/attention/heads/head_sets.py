"""Head sets: which heads to trust in a model, and how much. One small JSON file that says how it was found.

A set whose `weight_hash` is known serves exactly those weights. Lists taken from papers have none; they are matched
by the model's name and its numbers of layers and heads, with a warning.
"""

from __future__ import annotations

import json
import logging
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from rag.core.digests import data_sha256
from rag.core.errors import SpecError
from rerankers.attention.heads.layout import parse_heads

logger = logging.getLogger(__name__)

Layout = Literal["blocks", "prompt"]


class HeadSet(BaseModel):
    """Heads of one model, with weights.

    Attributes:
        model: what the model calls itself: a packaged name or a hub id.
        weight_hash: sha256 of its weight files (`rag.models.weights_sha256`); None when nobody here had them.
        template_hash: of the prompt's fixed parts that the heads were found with, for the record; it is not compared.
        layers, heads_per_layer: the model's size.
        layout: which prompt the heads were found with: documents as blocks, or all in one prompt.
        over: what counts of a document in blocks: all its tokens, or the best one.
        form: standardised, where a head's match is standardised over the candidates before it is weighed; or absolute,
            where it counts as it is, so that a score depends on one query and one document alone.
        null_strength: how much of the null query's match is subtracted, of each head or, where the form is absolute, of the
            prior; 0 asks no null query.
        weights: "layer-head", both from 0 -> weight of what the head pays to a document for the query.
        prior: "layer-head" -> weight of what the head pays to it for a query without content, which is taken off whatever is
            asked. Only where the form is absolute. Other heads may be trusted with this than with the query.
        method, found_on, source: how the set was found, on what, and whose it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    model: str
    weight_hash: str | None = None
    template_hash: str | None = None
    layers: int = Field(ge=1)
    heads_per_layer: int = Field(ge=1)
    layout: Layout = "blocks"
    over: Literal["all", "best"] = "all"
    form: Literal["standardised", "absolute"] = "standardised"
    null_strength: float = 0.0
    weights: dict[str, float] = Field(min_length=1)
    prior: dict[str, float] = {}
    method: str = ""
    found_on: str = ""
    source: str = ""

    @field_validator("weights", "prior")
    @classmethod
    def _named(cls, weights: dict[str, float]) -> dict[str, float]:
        if weights:
            parse_heads(tuple(weights))
        return weights

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.prior and (self.form, self.layout) != ("absolute", "blocks"):
            raise ValueError("a prior needs form absolute and layout blocks")
        return self

    @property
    def by_layer(self) -> dict[int, tuple[int, ...]]:
        """Layer -> heads that meet a query."""
        return parse_heads(tuple(self.weights))

    @property
    def deepest(self) -> int:
        """The last layer that is run, from 0."""
        return max(parse_heads((*self.weights, *self.prior)))

    def weight(self, layer: int, head: int) -> float:
        return self.weights[f"{layer}-{head}"]

    def save(self, path: Path) -> None:
        """Write it so that a person can read it."""
        path.write_text(json.dumps(self.model_dump(exclude_defaults=False), indent=1) + "\n", encoding="utf-8")


def read_head_set(path: Path) -> HeadSet:
    """A head set from its file.

    Raises:
        SpecError: there is no such file, or it is not a head set.
    """
    try:
        return HeadSet.model_validate_json(path.read_bytes())
    except OSError as cause:
        raise SpecError(
            f"head set '{path}' cannot be read: {cause.strerror}. `heads` is auto, a name of `rag heads list`, heads such as "
            "17-4, or the path of a head set."
        ) from cause
    except ValidationError as cause:
        first = cause.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise SpecError(f"head set '{path}': {where}: {first['msg']}. `rag heads find` writes valid ones.") from cause


@cache
def named_head_sets() -> dict[str, HeadSet]:
    """Those in the package by name, in order: the file's without its ending."""
    folder = files(__package__) / "sets"
    head_sets = {
        each.name.removesuffix(".json"): HeadSet.model_validate_json(each.read_bytes())
        for each in folder.iterdir()
        if each.name.endswith(".json")
    }
    return dict(sorted(head_sets.items()))


@cache
def head_sets_sha256() -> str:
    """Digest of all sets in the package."""
    return data_sha256({name: heads.model_dump(mode="json") for name, heads in named_head_sets().items()})


def shipped_head_sets() -> tuple[HeadSet, ...]:
    """Those in the package, in order of name."""
    return tuple(named_head_sets().values())


def find_head_set(config: Any, *, name: str, weight_hash: str, layout: Layout) -> HeadSet | None:
    """The shipped set for these weights, else a published one for a model of this name and size, with a warning.

    Of several published ones, the first by name that was found with this layout, else the first.
    """
    for each in shipped_head_sets():
        if each.weight_hash == weight_hash and each.layout == layout:
            return each
    size = (int(config.num_hidden_layers), int(config.num_attention_heads))
    published = [
        each
        for each in shipped_head_sets()
        if each.weight_hash is None and (each.layers, each.heads_per_layer) == size and _same_model(each.model, name)
    ]
    if not published:
        return None
    best = min(published, key=lambda each: each.layout != layout)
    _warn_of_untried(best, layout)
    return best


def check_head_set(heads: HeadSet, config: Any, *, weight_hash: str, layout: Layout) -> None:
    """Refuse a set that was made for another model, or with another layout.

    A set whose weights nobody knows is used as `find_head_set` uses it: with a warning, in either layout.

    Raises:
        SpecError: it was.
    """
    size = (int(config.num_hidden_layers), int(config.num_attention_heads))
    if (heads.layers, heads.heads_per_layer) != size:
        raise SpecError(
            f"head set of {heads.model} is for {heads.layers} layers of {heads.heads_per_layer} heads, and this model has "
            f"{size[0]} of {size[1]}. Use its own: `rag heads find`."
        )
    if heads.weight_hash is None:
        _warn_of_untried(heads, layout)
        return
    if heads.layout != layout:
        raise SpecError(
            f"head set of {heads.model} was found with layout {heads.layout}, not {layout}. Set layout: {heads.layout}, or "
            "find heads for this one: `rag heads find`."
        )
    if heads.weight_hash != weight_hash:
        raise SpecError(
            f"head set of {heads.model} was found for weights {heads.weight_hash[:12]}, and these are {weight_hash[:12]}. "
            "Find heads for these weights (`rag heads find`), or set weight_hash to null in the file to use it nonetheless."
        )


def _warn_of_untried(heads: HeadSet, layout: Layout) -> None:
    logger.warning(
        "rerank.attention: heads of %s (%s) were not tried on these weights%s; `rag heads find` finds heads of your own",
        heads.model,
        heads.source or heads.method or "of unknown source",
        "" if heads.layout == layout else f", and were found with layout {heads.layout}, not {layout}",
    )


def _same_model(ours: str, theirs: str) -> bool:
    """Whether a folder or hub id ends in the name of a published model: Llama-3.1-8B-Instruct, in any spelling."""
    plain = [each.rstrip("/").rpartition("/")[2].casefold().replace("_", "-") for each in (ours, theirs)]
    return plain[0] == plain[1]
