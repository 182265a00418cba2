"""Answers with one mangled number: how often the model that is asked again puts it right.

Questions whose reference answer holds a number of two digits or more, with the passage that has it and another one. The
answer is the reference with one digit changed, so that no passage has the number. A model mangles in other ways, and
seldom: this says what asking again does, not how often it is needed.

    RAGLINE_EVAL_DATA=... python -m benchmarks.mangled_copies [SET ...] [--n 20] [--model NAME] [--record]
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from generators.cited import CitedGenerator
from generators.copies import Copies
from generators.llm.llama_cpp import LlamaCppLLM
from rag.core.types import Context, Document, Query, ScoredDocument
from rag.evaluate.beir import load_beir
from rag.stages.checks.exact import missing_in

SETS = ("xquad/en", "xquad/de", "poquad")
_NUMBER = re.compile(r"\d{2,}")


def mangled(name: str, n: int) -> Iterator[tuple[Context, str, str]]:
    """At most `n` questions of a set with their passages, the answer, and the answer with a digit changed; always the same."""
    dataset, chance = load_beir(data_folder() / name), random.Random(0)
    documents = {document.doc_id: document for document in dataset.documents()}
    items = [item for item in dataset.items() if item.answerable and len(item.supporting) == 1]
    chance.shuffle(items)
    for item in items:
        right = next((answer for answer in item.answers if _NUMBER.search(answer)), "")
        own = documents.get(item.supporting[0])
        if n == 0 or own is None or not right or right not in own.text:
            continue
        passages = (own, documents[chance.choice(sorted(documents.keys() - {own.doc_id}))])
        if wrong := _mangled(right, item.question, passages, chance):
            n -= 1
            hits = tuple(ScoredDocument(document=passage, score=1.0) for passage in passages)
            yield Context(query=Query(qid=item.qid, text=item.question), passages=hits), right, wrong


def _mangled(right: str, question: str, passages: Sequence[Document], chance: random.Random) -> str:
    """The answer with one digit of its first number changed, to a number that nothing has; empty where none is found."""
    number = _NUMBER.search(right)
    assert number is not None
    for _ in range(20):
        place = chance.randrange(number.start() + 1, number.end())
        text = right[:place] + chance.choice("0123456789") + right[place + 1 :]
        if missing_in(text, [question, *(passage.full_text for passage in passages)]):
            return text
    return ""


def put_right(text: str, context: Context, generator: CitedGenerator) -> str:
    """What becomes of an answer."""
    question = context.query.text
    prompt = generator.prompt.render(passages=generator.shown(context), question=question)
    sources = [hit.document.full_text for hit in context.passages]
    copies = Copies(generator.llm, prompt, question=question, passages=sources)
    return copies.add(text) + copies.finish()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print for each set how many are right, wrong in another way, or left as they were."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=SETS, help=f"default: {' '.join(SETS)}")
    parser.add_argument("--n", type=int, default=20, help="questions of each set, at most")
    parser.add_argument("--model", default="qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--record", action=Record, help="append to results/mangled_copies.jsonl")
    options = parser.parse_args(arguments)
    generator = CitedGenerator(llm=LlamaCppLLM(model=options.model), prompt="answer_found")
    for name in options.sets:
        found = Counter[str]()
        for context, right, wrong in mangled(name, options.n):
            text = put_right(wrong, context, generator)
            found["right" if text == right else "left" if text == wrong else "another one"] += 1
        line = {"set": name, "model": options.model, "found": dict(found.most_common())}
        print(line, flush=True)
        if options.record:
            record("mangled_copies", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
