"""Outputs of a vLLM engine -> completions and scores. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rag.core.types import Completion, SamplingParams


def completion(
    output: Any,
    params: SamplingParams,
    *,
    text: str | None = None,
    written: int | None = None,
    noted: Sequence[dict[str, float]] | None = None,
) -> Completion:
    """The completion in a final output. Whoever streamed gives what it gathered."""
    said = output.outputs[0]
    noted = logprobs(said) if noted is None else noted
    return Completion(
        text=said.text if text is None else text,
        prompt_tokens=len(output.prompt_token_ids),
        completion_tokens=len(said.token_ids) if written is None else written,
        cached_tokens=output.num_cached_tokens or 0,
        finish_reason=said.finish_reason if said.finish_reason in ("stop", "length") else "abort",
        logprobs=tuple(noted) if params.logprobs else None,
    )


def logprobs(said: Any) -> list[dict[str, float]]:
    """Token -> log-probability at every place. Of two that read alike, the likelier stays."""
    places = []
    for candidates in said.logprobs or ():
        place: dict[str, float] = {}
        for one in sorted(candidates.values(), key=lambda one: -one.logprob):
            place.setdefault(one.decoded_token or "", one.logprob)
        places.append(place)
    return places


def tail_scores(output: Any, tail: Sequence[int]) -> list[float]:
    """Log-probability of each of the last tokens of a prompt."""
    places = output.prompt_logprobs[-len(tail) :]
    return [float(place[id_].logprob) for place, id_ in zip(places, tail, strict=True)]


def forms(params: SamplingParams) -> Any:
    """What holds the completion to a form, as vLLM spells it; None if nothing does."""
    from vllm.sampling_params import StructuredOutputsParams

    if params.choices:
        return StructuredOutputsParams(choice=list(params.choices))
    if params.regex:
        return StructuredOutputsParams(regex=params.regex)
    return StructuredOutputsParams(json=json.loads(params.json_schema)) if params.json_schema else None
