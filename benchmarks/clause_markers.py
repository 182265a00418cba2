"""Sentences that join facts of two passages: whether the first clause gets its own marker, and nothing else gets one.

A sentence is copied from each of two gold passages of a question, and they are joined by a comma, with the second one's
marker at the end. Then two of one passage, where nothing is to be added. Then all again with every third word left out, for a
model does not copy. Real answers are less even: this says what the rule does, not how often it is needed.

    RAGLINE_EVAL_DATA=... python -m benchmarks.clause_markers [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag.core.types import Document
from rag.evaluate.beir import load_beir
from rag.ingest.sentences import sentences
from rag.stages.clauses import ClauseMarks

SETS = ("hotpotqa-100", "musique-100")


def gold(name: str) -> Iterator[list[Document]]:
    """The first two relevant passages of each question."""
    dataset = load_beir(data_folder() / name)
    texts = {document.doc_id: document for document in dataset.documents()}
    for grades in dataset.qrels().values():
        relevant = [texts[doc_id] for doc_id, grade in grades.items() if grade > 0 and doc_id in texts]
        if len(relevant) > 1:
            yield relevant[:2]


def told(document: Document, number: int, *, thinned: bool) -> str:
    """A sentence of a passage without its full stop; thinned, without every third word."""
    start, end = list(sentences(document.text))[number]
    words = document.text[start:end].rstrip(".").split()
    return " ".join(word for place, word in enumerate(words, start=1) if not thinned or place % 3)


def judged(passages: Sequence[Document], first: str, second: str, marker: int) -> str:
    """What became of two clauses, of which the second is of the passage `marker`."""
    marks = ClauseMarks(passages)
    written = marks.add(f"{first}, {second} [{marker}].") + marks.finish()
    if marks.added == 0:
        return "nothing added"
    return "at the join" if marks.added == 1 and written.startswith(f"{first} [1],") else "elsewhere"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was added, for both kinds of sentence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=SETS, help=f"default: {' '.join(SETS)}")
    parser.add_argument("--record", action=Record, help="append to results/clause_markers.jsonl")
    options = parser.parse_args(arguments)
    for name in options.sets:
        for thinned in (False, True):
            kinds: dict[str, Counter[str]] = {"two passages": Counter(), "one passage": Counter()}
            for one, other in gold(name):
                both = [one, other]
                kinds["two passages"][
                    judged(both, told(one, 0, thinned=thinned), told(other, 0, thinned=thinned), 2)
                ] += 1
                if len(list(sentences(one.text))) > 1:
                    pair = [told(one, number, thinned=thinned) for number in (0, 1)]
                    kinds["one passage"][judged(both, *pair, 1)] += 1
            for kind, counts in kinds.items():
                words = "two of three words" if thinned else "all words"
                print(f"{name:14}{words:20}{kind:14}{dict(counts.most_common())}")
                if options.record:
                    line = {"set": name, "words": words, "kind": kind, "found": dict(counts.most_common())}
                    record("clause_markers", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
