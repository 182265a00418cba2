"""One model in several engines on this processor: first token, tokens a second, memory, and whether answers stay as good.

Every engine has the same prompts, of clapnq questions with the passages of cut documents that BM25 finds for them, laid out
once; each in a process of its own, one after the other, so that peak memory is its own and none runs beside another:

    llama.cpp   the published file, weights of four to six bits
    with-torch  the same, and long prompts are read by torch in bfloat16
    bfloat16    transformers
    int8        transformers, weights in eight bits by torchao (pip install torchao), products in bfloat16
    int8-int8   the same, products in eight bits too
    int4        transformers, weights in four bits by torchao
    vllm        vLLM for the processor, bfloat16; `--vllm-python` names an interpreter that has it

Alone: prompts one by one, streamed. Together: eight at a time, answers of at most `--tokens` tokens. Quality is of the
answers written together: token F1 and ROUGE-L against the reference, and how often the answer is a refusal, for
questions that have an answer in the set and for those that have none.

    RAGLINE_EVAL_DATA=... python -m benchmarks.engines [ENGINE ...] [--model NAME] [--vllm-python PATH] [--record]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Any

from benchmarks.make_samples import SAMPLES, data_folder
from benchmarks.record import Record, record
from rag.core.types import Completion, Message, Prompt, SamplingParams
from rag.evaluate.beir import load_beir
from rag.evaluate.text_overlap import best_of, rouge_l, token_f1

TOGETHER = 8
QUANTISED = ("int8", "int8-int8", "int4")
READERS = {"llama.cpp": "llama.cpp", "with-torch": "torch"}
ENGINES = (*READERS, "bfloat16", *QUANTISED, "vllm")
PASSAGES = 4


def prompts_and_items(n: int) -> tuple[list[Prompt], list[dict[str, Any]]]:
    """Prompts as the graph `ask` lays them out, of as many answerable as unanswerable questions, none of them reported on."""
    import prompts
    from rag.evaluate.graph_evaluation import cached_index
    from rag.graph.build import build
    from rag.graph.load import load_spec
    from rag.pipeline import Pipeline
    from rag.stages.passages import numbered

    dataset = load_beir(data_folder() / "clapnq")
    items = {item.qid: item for item in dataset.items()}
    tune = json.loads((SAMPLES / "clapnq.json").read_text(encoding="utf-8"))["tune"]
    kinds = [[qid for qid in tune if items[qid].answerable is kind] for kind in (True, False)]
    qids = [qid for pair in zip(*kinds, strict=True) for qid in pair][:n]
    spec: Any = {
        "version": 1,
        "index": {"chunking": {"corpora": True}},
        "nodes": {"bm25": {"use": "retrieve.bm25", "in": "query", "k": PASSAGES}},
        "output": "bm25",
    }
    graph = load_spec(spec).graph
    index = cached_index(dataset, graph, graph.index)
    with Pipeline(build(load_spec(spec), index=index), index=index) as pipeline:
        rankings = pipeline.run([items[qid].query for qid in qids]).outputs
    template = prompts.load("answer_cited")
    asked = [
        template.render(
            passages="\n\n".join(numbered(hit.document, at) for at, hit in enumerate(ranking.hits, start=1)),
            question=ranking.query.text,
        )
        for ranking in rankings
    ]
    told = [{"qid": q, "answerable": items[q].answerable, "answers": list(items[q].answers)} for q in qids]
    return asked, told


def opened(engine: str, model: str, together: int) -> Any:
    """The engine's model, not loaded yet."""
    from generators.llm import LLMS

    if engine in READERS:
        return LLMS.get("llama_cpp")(model=model, slots=together, context_window=2048, reader=READERS[engine])
    if engine == "vllm":
        return LLMS.get("vllm_offline")(model=model, kv_cache_gib=2, max_model_len=2048)
    return LLMS.get("transformers")(model=model, dtype="bfloat16")


def quantise(llm: Any, engine: str) -> None:
    """The weights of a transformers model, in fewer bits, in place."""
    from torchao import quantization as ao

    if engine == "int4":
        from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

        config: Any = PrototypeInt4WeightOnlyConfig(group_size=128)
    elif engine == "int8":
        config = ao.Int8WeightOnlyConfig()
    else:
        config = ao.Int8DynamicActivationInt8WeightConfig()
    with llm.weights() as loaded:
        ao.quantize_(loaded.model, config)


def drained(stream: Generator[str, None, Completion]) -> tuple[float, float, Completion]:
    """Seconds to the first piece and to the end, and the completion."""
    begun, first = perf_counter(), None
    while True:
        try:
            next(stream)
        except StopIteration as end:
            now = perf_counter()
            return (now if first is None else first) - begun, now - begun, end.value
        first = first or perf_counter()


def child(engine: str, model: str, path: Path, tokens: int, alone: int) -> dict[str, Any]:
    """What one engine does, in this process."""
    asked = [[Message(**turn) for turn in prompt] for prompt in json.loads(path.read_text(encoding="utf-8"))]
    llm = opened(engine, model, min(TOGETHER, len(asked)))
    begun = perf_counter()
    llm.warm_up()
    if engine in QUANTISED:
        quantise(llm, engine)
    loaded = perf_counter() - begun
    few = SamplingParams(max_tokens=32)
    llm.complete([[Message(role="user", content="Good morning!")]], SamplingParams(max_tokens=4))
    by_one = [drained(llm.stream(prompt, few)) for prompt in asked[:alone]]
    writing = [(c.completion_tokens - 1) / (all_ - first) for first, all_, c in by_one if c.completion_tokens > 1]
    params = SamplingParams(max_tokens=tokens)
    batches = [asked[at : at + TOGETHER] for at in range(0, len(asked), TOGETHER)]
    begun = perf_counter()
    written = [completion for batch in batches for completion in llm.complete(batch, params)]
    seconds = perf_counter() - begun
    llm.release()
    memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "load": round(loaded, 1),
        "first_token": round(median(first for first, _, _ in by_one), 2),
        "prompt_tokens": round(fmean(c.prompt_tokens for c in written)),
        "tokens_per_second_alone": round(median(writing), 1) if writing else None,
        "seconds_together": round(seconds, 1),
        "tokens_per_second_together": round(sum(c.completion_tokens for c in written) / seconds, 1),
        "memory_mb": round(memory / 1024),
        "answers": [c.text for c in written],
    }


def judged(answers: Sequence[str], items: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Quality of answers against what the set says."""
    import prompts
    from generators.answering import status_of
    from rag.stages.markers import without_markers

    refusal = prompts.load("answer_cited").refusal
    f1, rouge, refused = list[float](), list[float](), dict[bool, list[float]]()
    for text, item in zip(answers, items, strict=True):
        status = status_of(text, refusal=refusal)
        refused.setdefault(item["answerable"], []).append(float(status == "no_answer"))
        if item["answerable"]:
            words = without_markers(text) if status == "answered" else ""
            f1.append(best_of(token_f1, words, item["answers"]) if words else 0.0)
            rouge.append(best_of(rouge_l, words, item["answers"]) if words else 0.0)
    return {
        "F1": round(fmean(f1), 3),
        "ROUGE-L": round(fmean(rouge), 3),
        "refused, answerable": round(fmean(refused[True]), 2),
        "refused, unanswerable": round(fmean(refused[False]), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="*", metavar="ENGINE", default=list(ENGINES))
    parser.add_argument("--model", default="qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--alone", type=int, default=4, help="questions that are asked one by one")
    parser.add_argument("--tokens", type=int, default=64, help="most tokens of an answer")
    parser.add_argument("--vllm-python", default=sys.executable, help="interpreter of an environment with vLLM")
    parser.add_argument(
        "--record",
        action=Record,
        help="append to results/engines.jsonl; who reads for one file, to results/readers.jsonl",
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := set(given.engines) - set(ENGINES):
        parser.error(f"no engine {', '.join(sorted(unknown))}; there are {', '.join(ENGINES)}")
    if given.child:
        [engine] = given.engines
        told = child(engine, given.model, given.child / "prompts.json", given.tokens, given.alone)
        (given.child / "told.json").write_text(json.dumps(told), encoding="utf-8")
        return
    asked, items = prompts_and_items(given.questions)
    with tempfile.TemporaryDirectory() as folder:
        turns = [[{"role": turn.role, "content": turn.content} for turn in prompt] for prompt in asked]
        (Path(folder) / "prompts.json").write_text(json.dumps(turns), encoding="utf-8")
        for engine in given.engines:
            python = given.vllm_python if engine == "vllm" else sys.executable
            options = ["--model", given.model, "--tokens", given.tokens, "--alone", given.alone, "--child", folder]
            command = [python, "-m", "benchmarks.engines", engine, *map(str, options)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{engine}: did not run\n{done.stderr[-1500:]}", flush=True)
                continue
            found = json.loads((Path(folder) / "told.json").read_text(encoding="utf-8"))
            answers = found.pop("answers")
            line = {"engine": engine, "model": given.model, "questions": len(asked), **found, **judged(answers, items)}
            print(json.dumps(line), flush=True)
            if given.record:
                record(
                    "readers" if set(given.engines) == set(READERS) else "engines",
                    {**line, "tokens": given.tokens, "answers": answers},
                )


if __name__ == "__main__":
    main()
