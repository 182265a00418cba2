"""SPTAR on a judged set: queries that a frozen model writes for documents that nobody judged, and what they teach an encoder.

    start   all-MiniLM as it is
    pairs   taught by twenty judged pairs
    plain   by these, and by queries of SmolLM2 of 135M, told in words what to write
    sptar   by these, and by its queries after ten vectors that the twenty pairs taught

Twenty queries, drawn by the seed, teach, each with one relevant document; the others tell. Documents without any judgement get a
query each, an example and the document in the prompt. A query stays where BM25 finds its document among the first thirty. Encoders
are taught alike: multiple negatives ranking of sentence-transformers, an epoch of the weak pairs and then one of the judged.

nDCG@10 with 95% intervals, and paired differences to `start` and, of `sptar`, to `plain`.
Needs the folder that RAGLINE_EVAL_DATA names.

    python -m plugins.train.benchmarks.soft_prompts [--set cranfield] [--documents 150] [--seed 0] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag import build_index
from rag.evaluate import Evaluation, compare_runs, evaluate, load_beir, mean_interval
from rag.indexes import LocalIndex, SentenceEncoder
from ragline_train.soft_prompt import FrozenWriter, Pair, PromptSettings, round_trip, teach_prompt
from ragline_train.teaching.loop import on_threads
from ragline_train.teaching.recipes.opened import KEPT, encoder_folder

SET, ENCODER, WRITER, MEASURE = "cranfield", "all-minilm-l6-v2", "smollm2-135m-instruct", "nDCG@10"
TAUGHT = 20
_FEWEST = 8
"""Pairs that teach where it is only tried."""


class Drawn:
    """The set: twenty pairs, documents that nobody judged, and the questions that tell."""

    def __init__(self, name: str, *, documents: int, limit: int | None, seed: int) -> None:
        dataset = load_beir(data_folder() / name)
        self.name = name
        qrels = dataset.qrels()
        self.texts = {each.doc_id: each.index_text for each in dataset.documents()}
        chance = random.Random(seed)
        queries = [query for query in dataset.queries_of(qrels) if max(qrels[query.qid].values()) > 0]
        chance.shuffle(queries)
        judged = {doc_id for grades in qrels.values() for doc_id in grades}
        alone = [doc_id for doc_id, text in self.texts.items() if doc_id not in judged and len(text.split()) >= 20]
        self.weak = chance.sample(alone, min(documents, len(alone)))
        teaching, self.telling = queries[:TAUGHT], queries[TAUGHT:]
        if limit is not None:
            teaching, self.telling = teaching[:_FEWEST], self.telling[:limit]
        self.pairs: list[Pair] = [(self.texts[_best(qrels[query.qid])], query.text) for query in teaching]
        self.qrels = {query.qid: qrels[query.qid] for query in self.telling}
        self.corpus = dataset.corpus
        if limit is not None:
            kept = {*self.weak, *(doc_id for grades in self.qrels.values() for doc_id in grades)}
            self.texts = {doc_id: text for doc_id, text in self.texts.items() if doc_id in kept}


def _best(grades: Mapping[str, int]) -> str:
    return min(grades, key=lambda doc_id: (-grades[doc_id], doc_id))


def taught(pairs: Sequence[Sequence[Pair]], out: Path, *, seed: int) -> Path:
    """The encoder after an epoch of each list of pairs."""
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer import losses
    from transformers import PrinterCallback

    model = SentenceTransformer(str(encoder_folder(ENCODER).path), **KEPT)
    own, model.max_seq_length = model.max_seq_length, 128
    model.model_card_data.local_files_only = True
    with TemporaryDirectory() as room, on_threads(1):
        for part in (each for each in pairs if len(each) > 1):  # one pair alone has nothing to be told from
            arguments = SentenceTransformerTrainingArguments(
                output_dir=room,
                num_train_epochs=1,
                per_device_train_batch_size=10,
                learning_rate=2e-5,
                warmup_steps=1,
                seed=seed,
                use_cpu=True,
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
                dataloader_pin_memory=False,
            )
            rows = {"query": [query for _, query in part], "document": [document for document, _ in part]}
            loss = losses.MultipleNegativesRankingLoss(model)
            data = Dataset.from_dict(rows)
            trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=data, loss=loss)
            trainer.remove_callback(PrinterCallback)
            trainer.train()
    model.max_seq_length = own
    model.save_pretrained(str(out), create_model_card=False)
    return out


def measured(drawn: Drawn, encoder: str) -> Evaluation:
    """Of an encoder over the whole corpus."""
    model = SentenceEncoder(model=encoder)
    doc_ids = list(drawn.texts)
    documents = model.encode([*drawn.texts.values()], role="document")
    asked = model.encode([query.text for query in drawn.telling], role="query")
    places = np.argsort(-(asked @ documents.T), axis=1, kind="stable")[:, :100]
    run = {query.qid: [doc_ids[at] for at in each] for query, each in zip(drawn.telling, places, strict=True)}
    return evaluate(run, drawn.qrels, [MEASURE])


def weak_pairs(
    drawn: Drawn, index: LocalIndex, settings: PromptSettings
) -> Iterator[tuple[str, list[Pair], dict[str, Any]]]:
    """The pairs that plain words and learnt vectors make, and how many were written."""
    writer = FrozenWriter(WRITER)
    learnt = teach_prompt(writer, drawn.pairs, settings)
    told = {"loss_before": learnt.losses[0], "loss": min(learnt.losses)}
    texts = [drawn.texts[doc_id] for doc_id in drawn.weak]
    for way, vectors in (("plain", None), ("sptar", learnt.vectors)):
        written = writer.write(vectors, learnt.example, texts, words=settings.words)
        kept = [(drawn.texts[doc_id], query) for query, doc_id in round_trip(index, written, drawn.weak)]
        print(
            f"{way}: {len(kept)} of {len(written)} lead back, such as {kept[0][1]!r}" if kept else f"{way}: none",
            flush=True,
        )
        yield way, kept, {"written": len(written), "kept": len(kept), **(told if way == "sptar" else {})}


def lines(drawn: Drawn, seed: int, settings: PromptSettings) -> Iterator[dict[str, Any]]:
    """A line for each way."""
    facts: dict[str, dict[str, Any]] = {"start": {}, "pairs": {}}
    of = {"start": measured(drawn, ENCODER)}
    with TemporaryDirectory(prefix="sptar-") as name:
        room = Path(name)
        of["pairs"] = measured(drawn, str(taught([drawn.pairs], room / "pairs", seed=seed)))
        build_index(drawn.corpus, room / "index", legs=("lexical",))
        with LocalIndex.open(room / "index") as index:
            for way, pairs, told in weak_pairs(drawn, index, settings):
                of[way] = measured(drawn, str(taught([pairs, drawn.pairs], room / way, seed=seed)))
                facts[way] = told
    for way, evaluation in of.items():
        interval = mean_interval([*evaluation.per_query[MEASURE].values()])
        line: dict[str, Any] = {
            "set": drawn.name,
            "encoder": ENCODER,
            "writer": WRITER,
            "way": way,
            "seed": seed,
            "queries": evaluation.n_queries,
            MEASURE: evaluation.measures[MEASURE],
            "low_of_mean": interval.low,
            "high_of_mean": interval.high,
            **facts[way],
        }
        for base in ("start", "plain"):
            if way != base and (base == "start" or way == "sptar"):
                test = compare_runs(of[base], {"other": evaluation}, measures=[MEASURE])["other"][0].test
                line |= {
                    f"to_{base}": test.difference,
                    f"{base}_low": test.low,
                    f"{base}_high": test.high,
                    f"{base}_p": test.p,
                }
        yield line


def show(line: Mapping[str, Any]) -> None:
    """A line in words."""
    beside = "".join(
        f"  to {base} {line[f'to_{base}']:+.4f} [{line[f'{base}_low']:+.4f}, {line[f'{base}_high']:+.4f}]"
        for base in ("start", "plain")
        if f"to_{base}" in line
    )
    print(
        f"{line['way']:6} {line[MEASURE]:.4f} [{line['low_of_mean']:.4f}, {line['high_of_mean']:.4f}]{beside}",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default=SET, metavar="NAME", help=f"a judged set ({SET})")
    parser.add_argument("--documents", type=int, default=150, help="that get a query (150)")
    parser.add_argument("--epochs", type=int, default=5, help="of the soft prompt, at most (5)")
    parser.add_argument("--words", type=int, default=80, help="of a document that the writer reads (80)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="questions that tell, over few documents; all when left out")
    parser.add_argument("--record", action=Record, help="append to results/soft_prompts.jsonl")
    options = parser.parse_args(arguments)
    drawn = Drawn(options.set, documents=options.documents, limit=options.limit, seed=options.seed)
    settings = PromptSettings(
        epochs=options.epochs, examples=min(2, options.epochs), words=options.words, seed=options.seed
    )
    for line in lines(drawn, options.seed, settings):
        show(line)
        if options.record:
            record("soft_prompts", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
