"""What each query of a run got: rankings with scores, and an answer. Read from a run folder, or from what a graph just made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rag.errors import SpecError
from rag.evaluate import Outputs, RunFile, read_run
from rag.files import records

Hits = tuple[tuple[str, float], ...]
"""doc_id and score, best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer, as far as it is compared."""

    status: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """`rankings`: node -> its hits; a node that found nothing is not in it. `said`: None where there is no answer."""

    rankings: Mapping[str, Hits] = field(hash=False)
    said: Said | None = None


def seen_of(outputs: Outputs) -> dict[str, Seen]:
    """qid -> what a graph just made of it.

    Nodes that ranked several variants of a query are left out: their fusion tells.
    """
    rankings = {
        name: {
            ranking.qid: tuple((hit.doc_id, hit.score) for hit in ranking.hits) for ranking in outputs.rankings[name]
        }
        for name in outputs.ranking_once()
    }
    return _by_query(rankings, _said(outputs.lines))


def runs_in(run: Path, nodes: Iterable[str]) -> dict[str, Path]:
    """Node -> the run that `rag eval` wrote of it; those without one are not in it."""
    files = {name: run / RunFile.of_node(name) for name in nodes}
    shared = Counter(files.values())  # names that differ in signs alone have one file, which holds the last of them
    return {name: file for name, file in files.items() if file.is_file() and shared[file] == 1}


def seen_in_evaluation(run: Path, files: Mapping[str, Path], qids: Collection[str]) -> dict[str, Seen]:
    """qid -> what it got in a run of `rag eval`, of these queries alone.

    Args:
        files: as `runs_in` gives them.
    Raises:
        SpecError: a file is damaged.
    """
    rankings = {
        name: {qid: tuple(hits) for qid, hits in read_run(file).items() if qid in qids} for name, file in files.items()
    }
    answers = run / RunFile.ANSWERS
    lines = [line for line in answer_lines_in(answers) if line["id"] in qids] if answers.is_file() else []
    return _by_query(rankings, _said(lines))


def seen_in_lines(lines: Sequence[Mapping[str, Any]], nodes: Collection[str]) -> dict[str, Seen]:
    """qid -> what it got, by lines of `rag batch`. `nodes`: those that rank a query once."""
    rankings: dict[str, dict[str, Hits]] = {name: {} for name in nodes}
    for line in lines:
        for name, hits in line["stages"].items():
            if name in rankings:
                rankings[name][line["id"]] = tuple((hit["doc_id"], hit["score"]) for hit in hits)
    return _by_query(rankings, _said(lines))


def answer_lines_in(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of answers of a run, one after the other.

    Raises:
        SpecError: the file cannot be read, or a line is none of an answer.
    """
    for number, line in records(file):
        try:
            hits = [hit for found in line["stages"].values() for hit in found]
            whole = all(isinstance(hit["doc_id"], str) and isinstance(hit["score"], int | float) for hit in hits)
            texts = (line["id"], line["key"], line["question"], line["answer"], line["status"])
            if not whole or not all(isinstance(text, str) for text in texts):
                raise TypeError("a text or a number is of another kind")
        except (KeyError, TypeError, AttributeError) as cause:
            raise SpecError(f"{file}:{number}: no line of an answer, as rag batch writes them: {cause!r}") from None
        yield line


def _said(lines: Iterable[Mapping[str, Any]]) -> dict[str, Said]:
    # As a file holds a text: half of a surrogate pair has no place there.
    answers = ((line, line["answer"].encode("utf-8", "replace").decode("utf-8")) for line in lines)
    return {line["id"]: Said(status=line["status"], text=text) for line, text in answers}


def _by_query(rankings: Mapping[str, Mapping[str, Hits]], said: Mapping[str, Said]) -> dict[str, Seen]:
    qids = dict.fromkeys([*(qid for of_node in rankings.values() for qid in of_node), *said])
    return {
        qid: Seen(
            rankings={name: of_node[qid] for name, of_node in rankings.items() if of_node.get(qid)},
            said=said.get(qid),
        )
        for qid in qids
    }
