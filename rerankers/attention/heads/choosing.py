"""The heads that a reranker reads: those it was given, or the best that are known for the model."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.core.inputs import note_file
from rerankers.attention.heads.head_sets import (
    HeadSet,
    Layout,
    check_head_set,
    find_head_set,
    named_head_sets,
    read_head_set,
)
from rerankers.attention.heads.layout import make_plan, parse_heads

logger = logging.getLogger(__name__)

_HEADS = re.compile(r"\d+-\d+(\s*,\s*\d+-\d+)*")


@dataclass(frozen=True, slots=True)
class HeadChoice:
    """What a reranker's parameter `heads` says: a head set, names of heads, or neither, which is `auto`."""

    heads: HeadSet | None = None
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, heads: str | tuple[str, ...]) -> HeadChoice:
        """Read and checked as far as can be without a model.

        Args:
            heads: auto; the name of a set in the package (`rag heads list`); heads, "17-4" or "17-4, 18-6" or a tuple of
                such; or the path of a head set.
        Raises:
            ValueError: heads of another form.
            SpecError: no such file, or no head set in it.
        """
        if heads == "auto":
            return cls()
        if isinstance(heads, str) and heads in named_head_sets():
            return cls(heads=named_head_sets()[heads])
        if isinstance(heads, str) and _HEADS.fullmatch(heads.strip()):
            heads = tuple(re.split(r"\s*,\s*", heads.strip()))
        if isinstance(heads, str):
            note_file(Path(heads))
            return cls(heads=read_head_set(Path(heads)))
        parse_heads(heads)
        return cls(names=tuple(heads))

    def of_model(self, config: Any, *, name: str, weight_hash: str, layout: Layout, context: int) -> HeadSet:
        """The heads to read in the model that `config` describes. `context`: positions that a prompt may have.

        Raises:
            SpecError: the head set is for another model or layout, or no layer of the model can be read.
        """
        size = {"layers": int(config.num_hidden_layers), "heads_per_layer": int(config.num_attention_heads)}
        if self.heads is not None:
            check_head_set(self.heads, config, weight_hash=weight_hash, layout=layout)
            return self.heads
        if self.names:
            return HeadSet(model=name, **size, layout=layout, weights=dict.fromkeys(self.names, 1.0), method="given")
        head_set = find_head_set(config, name=name, weight_hash=weight_hash, layout=layout)
        if head_set is not None:
            return head_set
        plan = make_plan(config, context=context)
        logger.warning(
            "rerank.attention: no head set is known for %s (weights %s), so all heads%s are read, which ranks badly; "
            "`rag heads find` finds the good ones from your own corpus",
            name,
            weight_hash[:12],
            skipped_in_words(plan.skipped),
        )
        everything = {f"{layer}-{head}": 1.0 for layer, head in plan.names}
        return HeadSet(model=name, **size, layout=layout, weights=everything, method="all heads", null_strength=1.0)


def skipped_in_words(layers: tuple[int, ...]) -> str:
    """What to say of layers whose attention slides, behind "all heads"; nothing where there are none."""
    named = ", ".join(map(str, layers))
    return f" but those of layers {named}, which do not attend to the whole prompt," if layers else ""
