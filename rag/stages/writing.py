"""Writing about queries: one call to a model for all of them, and an account of the replies."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from rag.core.completions import usage_of
from rag.core.protocols import LLM
from rag.core.types import NO_USAGE, Completion, Outcome, Prompt, Query, SamplingParams, Usage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a model wrote about one query: the `texts` that can be used, in the order of the calls, and the rest.

    `too_long`: prompts that did not fit the model's context window and were not sent. `cut_off`: replies at their
    limit; they are used as far as they go.
    """

    texts: tuple[str, ...] = ()
    calls: int = 0
    empty: int = 0
    cut_off: int = 0
    too_long: int = 0
    usage: Usage = NO_USAGE

    @property
    def outcome(self) -> Outcome:
        """`ok`: every call gave a text; `repaired`: some did not and were left out; `fallback`: none did.

        Counts always tell the calls and how many of them were ok, repaired and fallback.
        """
        n_usable = self.calls - self.empty
        troubles = {"empty": self.empty, "too_long": self.too_long, "cut_off": self.cut_off}
        counts = call_counts(ok=n_usable, fallback=self.empty) | {name: n for name, n in troubles.items() if n}
        if not self.texts:
            detail = "the model wrote nothing usable" if self.calls else "there was no document to learn from"
            detail = "the prompt is too long for the model" if self.too_long else detail
            return Outcome(kind="fallback", detail=detail, counts=counts)
        if self.empty or self.too_long:
            detail = f"{n_usable} of {self.calls + self.too_long} replies usable"
            return Outcome(kind="repaired", detail=detail, counts=counts)
        return Outcome(counts=counts)


def call_counts(*, ok: int = 0, repaired: int = 0, fallback: int = 0) -> dict[str, int]:
    """What became of calls, each of which is counted once; the same names as rerankers use."""
    return {"calls": ok + repaired + fallback, "ok": ok, "repaired": repaired, "fallback": fallback}


def write(
    llm: LLM,
    prompts_of: Sequence[Sequence[Prompt]],
    params: SamplingParams,
    *,
    read: Callable[[str], str],
    samples: int = 1,
) -> list[Written]:
    """Have a model answer every prompt of every query, `samples` times; one `complete` call per sample.

    Args:
        prompts_of: the prompts of each query.
        read: reply -> text that was wanted, empty where there is none.
        samples: replies per prompt; their seeds count up from that of `params`.
    Returns:
        One record per query, in order; its texts are those of the first sample, then of the second, ...
    """
    started = perf_counter()
    flat = [prompt for prompts in prompts_of for prompt in prompts]
    sent = _fitting(llm, flat, params)
    fitting = [flat[place] for place in sent]
    rounds = [
        dict(zip(sent, llm.complete(fitting, replace(params, seed=params.seed + s)), strict=True))
        for s in range(samples if sent else 0)
    ]
    seconds = (perf_counter() - started) / max(len(prompts_of), 1)
    written, first = [], 0
    for prompts in prompts_of:
        places = range(first, first + len(prompts))
        replies = [completions[place] for completions in rounds for place in places if place in completions]
        unsent = samples * sum(place not in rounds[0] if rounds else True for place in places)
        written.append(_account(replies, unsent, read, seconds))
        first += len(prompts)
    return written


def _fitting(llm: LLM, prompts: Sequence[Prompt], params: SamplingParams) -> list[int]:
    """Places of the prompts that leave room for a reply."""
    room = llm.context_window - params.max_tokens if prompts else 0
    return [place for place, tokens in enumerate(llm.count_tokens(prompts)) if tokens <= room]


def _account(replies: Sequence[Completion], unsent: int, read: Callable[[str], str], seconds: float) -> Written:
    texts = [read(reply.text) for reply in replies]
    usage = sum((usage_of(reply) for reply in replies), Usage(seconds=seconds))
    return Written(
        texts=tuple(text for text in texts if text),
        calls=len(replies),
        empty=sum(not text for text in texts),
        cut_off=sum(reply.finish_reason == "length" for reply in replies),
        too_long=unsent,
        usage=usage,
    )


def warn(queries: Sequence[Query], *, by: str) -> None:
    """One line per batch about the queries that are as they came."""
    bad = [query for query in queries if query.outcome.kind == "fallback"]
    if bad:
        logger.warning(
            "%s: %d of %d queries stay as they were; first: qid %r: %s",
            by,
            len(bad),
            len(queries),
            bad[0].qid,
            bad[0].outcome.detail,
        )


def require_sampling(by: str, *, temperature: float, top_p: float = 1.0, samples: int = 1) -> None:
    """Raise ValueError where sampling makes no sense: several greedy replies to one prompt would all be the same."""
    if not temperature >= 0:
        raise ValueError(f"{by}: temperature must be 0 or above, got {temperature}")
    if not 0 < top_p <= 1:
        raise ValueError(f"{by}: top_p must be above 0 and at most 1, got {top_p}")
    if samples > 1 and temperature == 0:
        raise ValueError(
            f"{by}: at temperature 0 all {samples} replies would be the same; set n to 1, or a temperature"
        )
