"""A language model as a dense encoder, in every way that `index.dense.encoding` has: nDCG@10 of each.

Nothing here was trained to retrieve, so most of it loses to a small encoder that was; that is what the table is for. All
ways read the same documents and queries, drawn from each set so that two cores are done in minutes. Search is exact.

    RAGLINE_EVAL_DATA=... python -m benchmarks.decoder_encoders [SET ...] [--model NAME] [--ways mean echo ...]
        [--documents 300] [--queries 50] [--record]
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from benchmarks.encoded import MEASURE, Drawn, beside, drawn, judged, nearest, texts_of
from benchmarks.record import Record, record
from rag.evaluate import Evaluation
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.encoders.settings import Encoding

SETS = ("scifact", "cranfield", "codebase-chunks")
TRAINED = "all-minilm-l6-v2"
INSTRUCTION = "Given a question, find the passage that answers it.\nQuestion: "
WAYS = {
    "last token": Encoding(pooling="lasttoken"),
    "mean": Encoding(pooling="mean"),
    "echo": Encoding(echo=True),
    "instruction": Encoding(pooling="mean", query_prompt=INSTRUCTION),
    "echo, instruction": Encoding(echo=True, query_prompt=INSTRUCTION),
    "bidirectional": Encoding(pooling="mean", attention="bidirectional"),
    "weighted mean": Encoding(pooling="weightedmean"),
}
_LONGEST = 256


def _with_limit(way: Encoding, tokens: int) -> Encoding:
    """Twice as many tokens for an echo, so that every way reads as much of a text."""
    return way.model_copy(update={"max_tokens": 2 * tokens + 48 if way.echo else tokens})


def measured(some: Drawn, model: str, ways: Sequence[str], *, tokens: int) -> dict[str, Evaluation]:
    """The trained encoder and every way. Ways that differ in the prompt of queries alone share their documents."""
    texts, questions = texts_of(some)
    asked = {TRAINED: (TRAINED, Encoding(max_tokens=tokens))}
    asked |= {way: (model, _with_limit(WAYS[way], tokens)) for way in ways}
    documents: dict[tuple[str, Encoding], NDArray[np.float32]] = {}
    systems: dict[str, Evaluation] = {}
    for way, (name, encoding) in asked.items():
        begun = perf_counter()
        encoder = SentenceEncoder(model=name, encoding=encoding)
        reads = encoding.model_copy(update={"query_prompt": None})
        if (name, reads) not in documents:
            documents[name, reads] = encoder.encode(texts, role="document")
        queries = encoder.encode(questions, role="query")
        systems[way] = judged(some, nearest(some, documents[name, reads], queries))
        encoder.release()
        seconds = perf_counter() - begun
        print(
            f"{some.name} {way}: {systems[way].measures[MEASURE]:.4f} in {seconds:.0f} s", file=sys.stderr, flush=True
        )
    return systems


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every set and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"{', '.join(SETS)} when left out")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a decoder: packaged name, folder or hub id")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--documents", type=int, default=300, help="of each set; those that are relevant come first")
    parser.add_argument("--queries", type=int, default=50, help="the first N of each set")
    parser.add_argument("--tokens", type=int, default=_LONGEST, help="of a text that are read")
    parser.add_argument("--record", action=Record, help="append to results/decoder_encoders.jsonl")
    options = parser.parse_args(arguments)
    logging.getLogger("retrievers.encoders.sentence_folder").setLevel(
        logging.ERROR
    )  # that the folder is silent is the point
    for name in options.sets or SETS:
        some = drawn(name, documents=options.documents, queries=options.queries)
        systems = measured(some, options.model, options.ways, tokens=options.tokens)
        differences = beside(systems, to=TRAINED)
        for way, evaluation in systems.items():
            value = evaluation.measures[MEASURE]
            print(f"{name:16} {way:20} {value:.4f}  {differences.get(way, '')}", flush=True)
            if options.record:
                line = {"set": name, "model": TRAINED if way == TRAINED else options.model, "way": way, MEASURE: value}
                counts = {"documents": len(some.documents), "queries": len(some.queries), "tokens": options.tokens}
                record("decoder_encoders", line | counts | {"to_trained": differences.get(way, "")})
    return 0


if __name__ == "__main__":
    sys.exit(main())
