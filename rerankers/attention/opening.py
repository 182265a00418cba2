"""A lent model -> the reader of it that the options ask for: its heads, its prior, and where states are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rag.core.errors import SpecError
from rag.core.llm_protocols import Weights
from rag.models import home
from rerankers.attention.heads.choosing import HeadChoice
from rerankers.attention.heads.head_sets import HeadSet, Layout
from rerankers.attention.heads.layout import Plan, make_plan, parse_heads
from rerankers.attention.options import AttentionOptions
from rerankers.attention.reading.prior import Prior
from rerankers.attention.reading.prompt import INSTRUCTIONS, BlockPieces

if TYPE_CHECKING:
    from rerankers.attention.reading.reader import BlockReader
    from rerankers.attention.states.state_store import StateStore

MB = 1 << 20


def open_reader(lent: Weights, choice: HeadChoice, options: AttentionOptions) -> tuple[BlockReader, HeadSet]:
    """A reader of the lent decoder and the heads it reads.

    Raises:
        SpecError: document and query do not fit the model, it cannot be read in blocks, or the head set is not for it.
    """
    from rerankers.attention.reading.reader import BlockReader

    decoder = lent.model.get_decoder()
    pieces = BlockPieces.of(lent.tokenizer, instruction=INSTRUCTIONS.get(options.instruction, ""))
    length = pieces.length(max_tokens=options.max_tokens, max_query_tokens=options.max_query_tokens)
    if length > options.llm.context_window:
        raise SpecError(
            f"rerank.attention: a document of {options.max_tokens} tokens (max_tokens) and a query of "
            f"{options.max_query_tokens} (max_query_tokens) take {length} positions with what stands around them, and the "
            f"model's context window has {options.llm.context_window}. Lower one of them."
        )
    heads = heads_of(lent, choice, layout=options.layout, context=length)
    plan = make_plan(decoder.config, context=length, heads=heads.by_layer)
    prior = _prior(heads, options, decoder.config, context=length)
    null_lead = pieces.lead if options.null_instruction else pieces.label
    store = None if options.keep == "nowhere" else _store(lent.model, pieces, plan, prior, null_lead, options)
    reader = BlockReader(
        decoder,
        lent.tokenizer,
        pieces=pieces,
        plan=plan,
        max_tokens=options.max_tokens,
        max_query_tokens=options.max_query_tokens,
        span=options.span,
        null_lead=null_lead,
        prior=prior,
        store=store,
    )
    return reader, heads


def heads_of(lent: Weights, choice: HeadChoice, *, layout: Layout, context: int) -> HeadSet:
    """The heads to read in the lent model."""
    from rerankers.attention.heads.identity import name_of, weight_hash

    return choice.of_model(
        lent.model.get_decoder().config,
        name=name_of(lent.model),
        weight_hash=weight_hash(lent.model),
        layout=layout,
        context=context,
    )


def null_strength(heads: HeadSet, options: AttentionOptions) -> float:
    """How much of what a query without content gets is taken off: the option, else the head set's."""
    return heads.null_strength if options.null_strength is None else options.null_strength


def _prior(heads: HeadSet, options: AttentionOptions, config: Any, *, context: int) -> Prior | None:
    if not heads.prior or not null_strength(heads, options):
        return None
    plan = make_plan(config, context=context, heads=parse_heads(tuple(heads.prior)))
    weights = {name: heads.prior[f"{name[0]}-{name[1]}"] for name in plan.names}
    return Prior(nulls=options.nulls, weights=weights, plan=plan)


def _store(
    model: Any,
    pieces: BlockPieces,
    plan: Plan,
    prior: Prior | None,
    null_lead: Sequence[int],
    options: AttentionOptions,
) -> StateStore:
    """Where documents' states are kept."""
    from rerankers.attention.heads.identity import head_size, states_identity
    from rerankers.attention.states.state_store import StateStore

    # A null stands behind the longest document, after its lead and, where the whole suffix is read, before the end.
    behind = {
        "lead": list(null_lead),
        "end": list(pieces.end),
        "span": options.span,
        "max_tokens": options.max_tokens,
    }
    of_prior = None if prior is None else prior.in_clear | behind
    identity = states_identity(model, opening=pieces.opening, plan=plan, prior=of_prior, compiled=options.compiled)
    return StateStore(
        home() / "states" if options.keep == "disk" else None,
        identity=identity,
        n_pairs=len(identity["pairs"]),
        head_size=head_size(model.get_decoder().config),
        kind=options.keep_as,
        with_prior=prior is not None,
        budget=options.keep_mb * MB,
    )
