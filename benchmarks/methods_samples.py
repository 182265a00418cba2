"""Writes the lists that `benchmarks.methods` needs beside the samples of `benchmarks.make_samples`, once; then committed.

toollens                 twenty requests, and twenty more for the larger study
cosqa-300                twenty queries, the functions they ask for, and others up to 300, drawn with the seed
backtracing-lecture-300  the first 300 sentences of the lecture with the most questions, and twenty of the questions
                         that they caused
backtracing-news         twenty questions about articles

RAGLINE_EVAL_DATA=... python -m benchmarks.methods_samples
"""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

from benchmarks.make_samples import SAMPLES, SEED, data_folder, draw, read_sample
from rag.core.trec import Qrels
from rag.evaluate.beir import load_beir

QUERIES, ITEMS = 20, 300


def toollens() -> dict[str, Any]:
    qrels = load_beir(data_folder() / "toollens").qrels()
    first = _drawn("toollens", qrels)
    rest = {qid: grades for qid, grades in qrels.items() if qid not in first["qids"]}
    return {"set": "toollens", **first, "qids": [*first["qids"], *_drawn("toollens, more", rest)["qids"]]}


def functions() -> dict[str, Any]:
    dataset = load_beir(data_folder() / "cosqa")
    qids, qrels = read_sample("cosqa")[:QUERIES], dataset.qrels()
    wanted = sorted({doc_id for qid in qids for doc_id, grade in qrels[qid].items() if grade > 0})
    others = sorted(document.doc_id for document in dataset.documents() if document.doc_id not in wanted)
    seed = f"{SEED}:cosqa-{ITEMS}"
    drawn = random.Random(seed).sample(others, ITEMS - len(wanted))
    return {"set": "cosqa", "judgements": "qrels/test.tsv", "seed": seed, "qids": qids, "doc_ids": wanted + drawn}


def sentences() -> dict[str, Any]:
    dataset = load_beir(data_folder() / "backtracing-lecture", within="group")
    asked = Counter(str((query.where or {})["group"]) for query in dataset.queries)
    lecture = max(sorted(asked), key=lambda group: asked[group])
    said = [d.doc_id for d in dataset.documents() if d.metadata["group"] == lecture][:ITEMS]
    known = set(said)
    caused = {
        query.qid: {doc_id: grade for doc_id, grade in dataset.qrels()[query.qid].items() if doc_id in known}
        for query in dataset.queries
        if query.where == {"group": lecture}
    }
    judged = {qid: grades for qid, grades in caused.items() if any(grades.values())}
    return {"set": "backtracing-lecture", **_drawn(f"backtracing-lecture-{ITEMS}", judged), "doc_ids": said}


def articles() -> dict[str, Any]:
    return {
        "set": "backtracing-news",
        **_drawn("backtracing-news", load_beir(data_folder() / "backtracing-news").qrels()),
    }


def _drawn(name: str, qrels: Qrels) -> dict[str, Any]:
    seed = f"{SEED}:{name}"
    return {"judgements": "qrels/test.tsv", "seed": seed, "qids": draw(qrels, seed=seed, size=QUERIES)}


def main() -> None:
    made = {
        "toollens": toollens,
        f"cosqa-{ITEMS}": functions,
        f"backtracing-lecture-{ITEMS}": sentences,
        "backtracing-news": articles,
    }
    for name, make in made.items():
        sample = make()
        (SAMPLES / f"{name}.json").write_text(json.dumps(sample, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {len(sample['qids'])} queries, {len(sample.get('doc_ids', ())) or 'all'} documents")


if __name__ == "__main__":
    main()
