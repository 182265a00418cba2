"""What vLLM reads once where prompts begin alike: the question whether passages are enough, and questions over the same passages.

Questions of xquad, each with the passage that it was asked about and three others, always in the same order. Every way is
answered twice in turns: with what was read kept, and with it forgotten before every request of a batch.

    enough    one question a list: is it enough, and then the answer; the passages stand in both prompts
    together  several questions over the same passages in one batch
    vote      one question a list, each passage in a prompt of its own: only the instructions are shared

    RAGLINE_EVAL_DATA=... python -m benchmarks.prefix_reuse [WAY ...] [--questions 16] [--model NAME] [--record]
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from numpy.typing import NDArray

from benchmarks.graphs import VLLM
from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from benchmarks.ways import require_ways
from generators import GENERATORS
from generators.cited import CitedGenerator
from generators.llm.vllm_offline import VLLMOfflineLLM
from rag.core.protocols import Generator
from rag.core.types import Completion, Context, Document, Message, Prompt, Query, SamplingParams, ScoredDocument
from rag.evaluate.beir import load_beir

TOGETHER = 4
"""Questions over the same passages."""
PASSAGES = 4


class Forgetful(VLLMOfflineLLM):
    """vLLM that forgets before every request what it has read, while it is told to."""

    forgets = False

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        self._forget()
        return super().complete(prompts, params)

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[Any]:
        self._forget()
        return super().choose(prompts, choices)

    def _forget(self) -> None:
        if self.forgets:
            self.forget_prefixes()


def contexts(n: int, *, together: int) -> list[Context]:
    """n questions, so many in a row over the same passages."""
    dataset = load_beir(data_folder() / "xquad" / "en")
    qrels, documents = dataset.qrels(), {document.doc_id: document for document in dataset.documents()}
    asked: dict[str, list[Query]] = {}
    for query in dataset.queries_of(qrels):
        asked.setdefault(next(iter(qrels[query.qid])), []).append(query)
    lists = [(own, queries[:together]) for own, queries in asked.items() if len(queries) >= together]
    made = []
    for place, (own, queries) in enumerate(itertools.islice(lists, n // together)):
        others = [lists[(place + step) % len(lists)][0] for step in range(1, PASSAGES)]
        made += [
            Context(query=query, passages=_hits([documents[each] for each in (own, *others)])) for query in queries
        ]
    return made


def _hits(documents: Sequence[Document]) -> tuple[ScoredDocument, ...]:
    return tuple(ScoredDocument(document=each, score=1.0 / place) for place, each in enumerate(documents, start=1))


def measured(llm: Forgetful, generator: Generator, asked: Sequence[Context], size: int) -> dict[str, float]:
    """Seconds a question, and the share of tokens that was not read again, batches of so many questions."""
    told: dict[str, float] = {}
    for name, forgets in (("kept", False), ("forgotten", True)):
        llm.forgets = forgets
        llm.forget_prefixes()
        begun = perf_counter()
        batches = (asked[start : start + size] for start in range(0, len(asked), size))
        answers = [answer for some in batches for answer in generator.generate(some)]
        told[f"{name}_seconds"] = (perf_counter() - begun) / len(asked)
        tokens = sum(answer.usage.prompt_tokens for answer in answers)
        told[f"{name}_share"] = sum(answer.usage.cached_tokens for answer in answers) / tokens
        told["prompt_tokens"] = tokens / len(asked)
    return told


def ways(llm: Any) -> dict[str, tuple[Callable[[], Generator], int, int]]:
    """Name -> the generator, questions over the same passages, and questions of a batch."""
    enough = {"prompt": "answer_found", "enough": "answer_enough", "least": -100.0}
    return {
        "enough": (lambda: CitedGenerator(llm=llm, max_tokens=48, **enough), 1, 8),
        "together": (lambda: CitedGenerator(llm=llm, max_tokens=48, prompt="answer_found"), TOGETHER, TOGETHER),
        "vote": (lambda: GENERATORS.get("vote")(llm=llm), 1, 8),
    }


def main() -> None:
    """Print a line for every way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", metavar="WAY", help="all of them when left out")
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--model", default="qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--record", action=Record, help="append to results/prefix_reuse.jsonl")
    options = parser.parse_args()
    llm = Forgetful(model=options.model, **VLLM)
    known = ways(llm)  # nothing is loaded yet
    require_ways(parser, options.ways, known)
    llm.complete([[Message(role="user", content="Hello")]], SamplingParams(max_tokens=1))  # starts the engine
    for name in options.ways or known:
        made, together, size = known[name]
        line = measured(llm, made(), contexts(options.questions, together=together), size)
        ratio = line["forgotten_seconds"] / line["kept_seconds"]
        print(
            f"{name:9} {line['prompt_tokens']:6.0f} tokens a question, {line['kept_share']:.1%} not read again: "
            f"{line['kept_seconds']:.2f} s; forgotten {line['forgotten_seconds']:.2f} s ({ratio:.2f} times), "
            f"{line['forgotten_share']:.1%}",
            flush=True,
        )
        if options.record:
            record("prefix_reuse", {"way": name, "model": options.model, "questions": options.questions, **line})
    llm.close()


if __name__ == "__main__":
    main()
