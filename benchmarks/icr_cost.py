"""What `rerank.icr` costs beside one plain forward of the same tokens: at most 1.25 times as much is the aim.

The plain forward is the decoder alone, with fused attention and without the language model head, over the
prompt with the real query. ICR reads the same prompt, and the null query's suffix on top of it. Both take
turns in one process; medians of the repeats. Documents are Cranfield abstracts of 85 words, about 115 tokens,
from RAGLINE_EVAL_DATA.

    RAGLINE_EVAL_DATA=... python -m benchmarks.icr_cost [--documents 20 40] [--repeats 5] [--model NAME]
    [--record]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from benchmarks.make_samples import load
from benchmarks.record import Record, record
from generators.llm import LLMS
from rag.core.llm_protocols import Weights
from rag.core.protocols import LocalLLM
from rag.core.words import first_words
from rag.pipeline.texts import ranked_by
from rerankers.attention.icr.reranker import ICRReranker
from rerankers.attention.reading import rows
from rerankers.attention.reading.prompt import INSTRUCTIONS, Pieces, document_text

AIM = 1.25
WORDS = 85


def default_llm(model: str) -> LocalLLM:
    """The in-process model that benchmarks read attention from, with the library's defaults."""
    llm: LocalLLM = LLMS.get("transformers")(model=model)
    return llm


def prompt_ids(lent: Weights, query: str, texts: Sequence[str]) -> Any:
    """Token ids (1, n) of the prompt that ICR reads, the real query at its end."""
    import torch

    from rag.models.chat import encode_text

    pieces = Pieces.of(lent.tokenizer, instruction=INSTRUCTIONS["ie"])
    numbered = [document_text(i, "", text, max_words=300) for i, text in enumerate(reversed(texts), start=1)]
    prefix, _ = pieces.prefix([encode_text(lent.tokenizer, text) for text in numbered])
    return torch.tensor([[*prefix, *pieces.suffix(lent.tokenizer, query)]], device=lent.model.device)


def plain_seconds(llm: LocalLLM, query: str, texts: Sequence[str]) -> tuple[float, int]:
    """Seconds of one forward of the decoder over the prompt that ICR reads, and its tokens."""
    import torch

    with llm.weights() as lent:
        ids, decoder = prompt_ids(lent, query, texts), lent.model.get_decoder()
        before = decoder.config._attn_implementation
        decoder.config._attn_implementation = "sdpa"
        try:
            started = time.perf_counter()
            with torch.no_grad():
                decoder(input_ids=ids, use_cache=False)
            return time.perf_counter() - started, ids.shape[1]
        finally:
            decoder.config._attn_implementation = before


@contextmanager
def row_seconds() -> Iterator[list[float]]:
    """Within, seconds spent in rebuilding softmax rows are appended to the list."""
    spent: list[float] = []
    right = rows.suffix_attention

    def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        result = right(*args, **kwargs)
        spent.append(time.perf_counter() - started)
        return result

    rows.suffix_attention = timed
    try:
        yield spent
    finally:
        rows.suffix_attention = right


def measure(llm: LocalLLM, query: str, texts: Sequence[str], repeats: int) -> dict[str, Any]:
    """Medians over `repeats` alternating runs, after one run of each that is not counted."""
    plain, icr, rebuilt, tokens = [], [], [], 0
    for _ in range(repeats + 1):
        seconds, tokens = plain_seconds(llm, query, texts)
        plain.append(seconds)
        with row_seconds() as spent:
            started = time.perf_counter()
            ranked_by(ICRReranker(llm=llm), query, texts)
            icr.append(time.perf_counter() - started)
        rebuilt.append(sum(spent))
    medians = [statistics.median(times[1:]) for times in (plain, icr, rebuilt)]
    return {
        "documents": len(texts),
        "tokens": tokens,
        "repeats": repeats,
        "plain_seconds": round(medians[0], 3),
        "icr_seconds": round(medians[1], 3),
        "ratio": round(medians[1] / medians[0], 3),
        "rebuild_share": round(medians[2] / medians[1], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[20, 40], help="documents per prompt")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--record", action=Record, help="append to benchmarks/results/icr_cost.jsonl")
    options = parser.parse_args()
    dataset, _ = load("cranfield")
    abstracts = (document.text for document in dataset.documents() if len(document.text.split()) > WORDS)
    texts = [first_words(text, WORDS) for text in islice(abstracts, max(options.documents))]
    llm = default_llm(options.model)
    print(f"{'documents':>9} {'tokens':>7} {'plain s':>8} {'icr s':>8} {'ratio':>6} {'rebuild':>8}")
    for n in options.documents:
        result = measure(llm, dataset.queries[0].text, texts[:n], options.repeats)
        print(
            f"{n:>9} {result['tokens']:>7} {result['plain_seconds']:>8.2f} {result['icr_seconds']:>8.2f} "
            f"{result['ratio']:>6.2f} {result['rebuild_share']:>8.1%}   "
            + ("within" if result["ratio"] <= AIM else "ABOVE")
            + f" the aim of {AIM}"
        )
        if options.record:
            record("icr_cost", {"model": options.model, **result})


if __name__ == "__main__":
    main()
