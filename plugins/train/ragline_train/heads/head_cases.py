"""Cases that heads are found on: judged queries, queries that people asked, or questions that a corpus asks of itself."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Literal

from rag.evaluate import load_beir, read_questions
from rag.indexes import Index
from rag.protocols import LLM
from ragline_train.pseudo import Case, Questions, judged_cases, pseudo_cases, unjudged_cases
from ragline_train.taught import taught

Teacher = Literal["auto", "index", "source"]

_WORDS = {
    "keywords": "salient words of documents",
    "titles": "titles and first sentences",
    "generated": "written by the model",
}
_BY_INDEX = ", graded by the index's lexical and dense leg"


def head_cases(
    index: Index,
    *,
    n: int,
    depth: int,
    seed: int,
    judged: tuple[str, str] | None,
    asked: Path | None,
    questions: Questions,
    teacher: Teacher,
    llm: LLM,
) -> tuple[list[Case], str]:
    """At most `n` cases of `depth` candidates each, and what they are, in words.

    Args:
        judged: a BEIR-layout folder and its split; its judgements grade.
        asked: a JSONL file of questions; the legs of the index grade what is found for each.
        questions: where neither is given, what the corpus is asked.
        teacher: of such questions, who grades: the index's legs together, the question's source alone, or the legs where
            the index has both (auto).
    """
    if judged is not None:
        folder, split = judged
        dataset = load_beir(folder)
        qrels = dataset.qrels(split)
        cases = judged_cases(index, dataset.queries_of(qrels)[:n], qrels, depth=depth)
        return cases, f"{len(cases)} judged queries of {dataset.name} {split}"
    if asked is not None:
        queries = list(read_questions(asked))
        drawn = random.Random(seed).sample(queries, min(n, len(queries)))
        cases = taught(index, unjudged_cases(index, drawn, depth=depth))
        return cases, f"{len(cases)} queries of {asked.name}, seed {seed}{_BY_INDEX}"
    cases = pseudo_cases(index, n=n, depth=depth, seed=seed, questions=questions, llm=llm)
    words = f"{len(cases)} pseudo-queries ({_WORDS[questions]}), seed {seed}"
    if teacher == "index" or (teacher == "auto" and "dense" in index.legs):
        return taught(index, cases), f"{words}{_BY_INDEX}"
    return cases, words
