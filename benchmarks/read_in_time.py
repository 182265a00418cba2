"""What is read where there is no time for all: how often the words of an answer are still in it.

Four passages that BM25 finds, of questions whose answer is in one of them word for word. `stretches` are the sentences
around what matches (`rag.stages.stretch`), which is what a bound by time leaves; `first` are the passages in their order,
as far as they go, which is what a bound by tokens leaves. Room is in tokens of the model that writes.

    RAGLINE_EVAL_DATA=... python -m benchmarks.read_in_time [SET ...] [--rooms 200 300 400] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.legs import LANGUAGES
from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from generators.llm.llama_cpp import LlamaCppLLM
from rag.core.protocols import LLM
from rag.core.types import Document, Query, Ranking
from rag.evaluate.beir import load_beir
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from rag.stages.assemble import TokenBudgetAssembler
from rag.stages.ruler import Ruler
from rag.stages.stretch import stretches
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.index.settings import IndexSettings

SETS = ("xquad/en", "xquad/de", "xquad/zh", "poquad", "hotpotqa-100", "musique-100")
PASSAGES = 4


def found(name: str, limit: int | None) -> Iterator[tuple[Ranking, Sequence[str]]]:
    """The four passages of each question that has an answer among them, and the ways to say it."""
    settings = IndexSettings(analyzer=AnalyzerSettings(language=LANGUAGES.get(name, "en")))
    dataset = load_beir(data_folder() / name)
    items = [item for item in dataset.items() if item.answers and item.answerable]
    with tempfile.TemporaryDirectory() as work:
        index = Path(work) / "index"
        build_index(dataset.corpus, index, settings=settings, legs=("lexical",))
        with load_pipeline("bm25", index=index) as pipeline:
            queries = [Query(qid=item.qid, text=item.question) for item in items[:limit]]
            rankings = pipeline.search_batch(queries, k=PASSAGES)
    for item, ranking in zip(items, rankings, strict=False):
        if _says([hit.document for hit in ranking.hits], item.answers):
            yield ranking, item.answers


def kept(ranking: Ranking, llm: LLM, room: int) -> Mapping[str, list[Document]]:
    """What is read of the passages by either way."""
    documents = [hit.document for hit in ranking.hits]
    parts = stretches(documents, ranking.query.asked, room=room, ruler=Ruler(llm))
    [first] = TokenBudgetAssembler(llm=llm, max_tokens=room).assemble([ranking])
    return {
        "stretches": [part for _, part, _ in parts],
        "first": [hit.document for hit in first.passages],
    }


def _says(documents: Sequence[Document], answers: Sequence[str]) -> bool:
    return any(answer in document.text for document in documents for answer in answers)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print for each set the share of questions whose answer is still read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=SETS, help=f"default: {' '.join(SETS)}")
    parser.add_argument("--rooms", type=int, nargs="+", default=[200, 300, 400], help="tokens of all passages together")
    parser.add_argument("--limit", type=int, help="questions of each set, at most")
    parser.add_argument("--model", default="qwen2.5-coder-1.5b-instruct", help="whose tokens are counted")
    parser.add_argument("--record", action=Record, help="append to results/read_in_time.jsonl")
    options = parser.parse_args(arguments)
    llm = LlamaCppLLM(model=options.model)
    for name in options.sets:
        asked = list(found(name, options.limit))
        for room in options.rooms:
            still = {"stretches": 0, "first": 0}
            for ranking, answers in asked:
                for way, documents in kept(ranking, llm, room).items():
                    still[way] += _says(documents, answers)
            shares = {way: round(n / len(asked), 4) for way, n in still.items()} if asked else {}
            line = {"set": name, "questions": len(asked), "room": room, "model": options.model, "read": shares}
            print(line, flush=True)
            if options.record:
                record("read_in_time", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
