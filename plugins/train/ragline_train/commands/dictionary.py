"""pairs of texts in two languages -> a dictionary for reformulate.code_switch"""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag.commands import positive, say, say_json, writable
from rag.errors import SpecError
from rag.files import records, write_atomically
from ragline_train.dictionary import dictionary_lines, dictionary_of


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("pairs", metavar="PAIRS", help="JSONL with left_text and right_text, as rag bitext writes it")
    parser.add_argument("--language", required=True, metavar="CODE", help="ISO 639-1 language of the right texts")
    parser.add_argument("--out", required=True, metavar="F.tsv", help="entries to write, the surest first")
    pairs_help = "pairs that two phrases have to come in together (default: 2)"
    parser.add_argument("--least-pairs", type=positive, default=2, metavar="N", help=pairs_help)
    parser.add_argument(
        "--least", type=float, default=0.5, metavar="X", help="least share of pairs in common (default: 0.5)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(given: Namespace) -> int:
    """Make a dictionary of the pairs of a file, and write a line for every entry."""
    out = writable(given.out)
    if not re.fullmatch("[a-z]{2,3}", given.language):
        raise SpecError(f"--language must be an ISO 639-1 code such as de, got {given.language!r}")
    if not 0 <= given.least <= 1:
        raise SpecError(f"--least must be from 0 to 1, got {given.least:g}")
    pairs = _pairs(Path(given.pairs))
    if not pairs:
        raise SpecError(f"{given.pairs} has no pairs")
    made = dictionary_of(pairs, least_pairs=given.least_pairs, least=given.least)
    names = ((entry.source, entry.target) for entry in made.entries)
    write_atomically(out, dictionary_lines(names, given.language))
    told = {"pairs": len(pairs), "too_long": made.too_long, "ambiguous": made.ambiguous, "entries": len(made.entries)}
    if given.json:
        say_json(told)
        return 0
    left = f" {made.too_long:,} pairs were too long." if made.too_long else ""
    say(
        f"{len(pairs):,} pairs; {len(made.entries):,} entries in {out}.{left} {made.ambiguous:,} phrases could mean several"
    )
    return 0


def _pairs(file: Path) -> list[tuple[str, str]]:
    """The texts of the lines that `rag bitext` writes."""
    pairs = []
    for number, record in records(file):
        left, right = record.get("left_text"), record.get("right_text")
        if not isinstance(left, str) or not isinstance(right, str):
            raise SpecError(f"{file}:{number}: left_text and right_text are wanted, as rag bitext writes them")
        pairs.append((left, right))
    return pairs
