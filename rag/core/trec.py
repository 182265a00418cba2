"""Run and qrels files of TREC. Their `docno` and six columns end here.

    run:   qid Q0 doc_id rank score tag
    qrels: qid 0 doc_id grade

Evaluators sort a run by score, as 32-bit numbers, and break ties in ways of their own. So runs are written in
our rank order with scores that fall strictly even as 32-bit numbers. Ids with white space have no place in a
run; where there is one, all ids are percent-encoded and the tag ends in `+quoted`, which `read_run` undoes.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rag.core.errors import ContractError, SpecError
from rag.core.lines import numbered
from rag.core.types import Ranking

QUOTED = "+quoted"

Qrels = dict[str, dict[str, int]]
RunFile = dict[str, list[tuple[str, float]]]


def write_run(rankings: Sequence[Ranking], path: Path, *, tag: str = "ragline") -> None:
    """Write a run file, whole or not at all. A score that would not fall is lowered until it does.

    Raises:
        ValueError: the tag is empty or has white space.
        ContractError: an id is empty, a score is not finite, or a qid or a qid's document comes twice.
    """
    if not tag or _needs_quotes(tag) or tag.endswith(QUOTED):
        raise ValueError(f"the tag of a run is one word that does not end in {QUOTED}, got {tag!r}")
    _require_writable(rankings)
    quoted = any(_needs_quotes(one) for ranking in rankings for one in (ranking.qid, *ranking.doc_ids))
    quote = _quote if quoted else str
    end = tag + QUOTED if quoted else tag
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            for ranking in rankings:
                falling = strictly_falling([hit.score for hit in ranking.hits])
                for rank, (hit, score) in enumerate(zip(ranking.hits, falling, strict=True), start=1):
                    file.write(f"{quote(ranking.qid)} Q0 {quote(hit.doc_id)} {rank} {score!r} {end}\n")
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def strictly_falling(scores: Iterable[float]) -> list[float]:
    """The scores, each lowered where needed to the 32-bit number below the one before it.

    >>> strictly_falling([3.0, 2.0, 2.0])
    [3.0, 2.0, 1.9999998807907104]
    """
    import numpy as np

    falling: list[float] = []
    before: Any = np.float32(np.inf)
    with np.errstate(over="ignore"):
        for score in scores:
            single = np.float32(score)
            if single >= before:
                single = np.nextafter(before, np.float32(-np.inf))
                score = float(single)
            falling.append(float(score))
            before = single
    return falling


def read_run(path: Path) -> RunFile:
    """qid -> (doc_id, score), best first, ties by doc_id ascending. Ranks are ignored, as in trec_eval.

    Raises:
        SpecError: the file cannot be read, or a line is malformed or repeats a document; says `file:line`.
    """
    run: dict[str, dict[str, float]] = {}
    for number, (qid, _, doc_id, _, text, tag) in _rows(path, "qid Q0 doc_id rank score tag"):
        if tag.endswith(QUOTED):
            qid, doc_id = unquote(qid), unquote(doc_id)
        hits = run.setdefault(qid, {})
        if doc_id in hits:
            raise SpecError(f"{path}:{number}: document '{doc_id}' of qid '{qid}' is in the run twice")
        hits[doc_id] = _score(text, f"{path}:{number}")
    return {qid: sorted(hits.items(), key=lambda hit: (-hit[1], hit[0])) for qid, hits in run.items()}


def read_qrels(path: Path) -> Qrels:
    """qid -> doc_id -> grade.

    Raises:
        SpecError: the file cannot be read, or a line is malformed, or gives a pair a second grade.
    """
    qrels: Qrels = {}
    for number, (qid, _, doc_id, grade) in _rows(path, "qid 0 doc_id grade"):
        add_judgement(qrels, qid, doc_id, grade, place=f"{path}:{number}")
    return qrels


def add_judgement(qrels: Qrels, qid: str, doc_id: str, grade: str, *, place: str) -> None:
    """Add one judgement. `place`: file and line, for the message.

    Raises:
        SpecError: the grade is no whole number, or the pair has another grade already.
    """
    try:
        value = float(grade)
        whole = int(value)
    except (ValueError, OverflowError):
        raise SpecError(f"{place}: grade {grade!r} is not a whole number") from None
    if whole != value:
        raise SpecError(f"{place}: grade {grade!r} is not a whole number")
    if qrels.setdefault(qid, {}).setdefault(doc_id, whole) != whole:
        raise SpecError(f"{place}: document '{doc_id}' of qid '{qid}' was judged {qrels[qid][doc_id]} before")


def _rows(path: Path, columns: str) -> Iterator[tuple[int, list[str]]]:
    wanted = columns.count(" ") + 1
    for number, line in numbered(path):
        cells = re.split(r"[ \t]+", line.strip(" \t"))
        if len(cells) != wanted:
            raise SpecError(f"{path}:{number}: {wanted} columns are wanted ({columns}), this line has {len(cells)}")
        yield number, cells


def _score(text: str, place: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise SpecError(f"{place}: score {text!r} is not a finite number")
    return score


def _require_writable(rankings: Sequence[Ranking]) -> None:
    qids: set[str] = set()
    for ranking in rankings:
        if not ranking.qid or ranking.qid in qids:
            raise ContractError(f"a run has every qid once and none empty, got {ranking.qid!r}")
        qids.add(ranking.qid)
        if "" in ranking.doc_ids or len(set(ranking.doc_ids)) != len(ranking.hits):
            raise ContractError(f"the ranking of qid '{ranking.qid}' has an empty doc_id or one of them twice")
        for hit in ranking.hits:
            if not math.isfinite(hit.score):
                raise ContractError(
                    f"document '{hit.doc_id}' of qid '{ranking.qid}' has the score {hit.score}; a run needs a"
                    " finite number"
                )


def _needs_quotes(text: str) -> bool:
    return any(character.isspace() or not character.isprintable() for character in text)


def _quote(text: str) -> str:
    """Percent-encode white space, what cannot be printed, and '%'."""
    return "".join(
        "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
        if character == "%" or _needs_quotes(character)
        else character
        for character in text
    )
