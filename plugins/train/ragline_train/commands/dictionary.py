"""pairs of texts in two languages -> a dictionary for reformulate.code_switch; an index -> a glossary of its acronyms"""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag.commands import positive, say, say_json, writable
from rag.errors import SpecError
from rag.files import records, write_atomically
from rag.indexes import open_index
from ragline_train.dictionary import acronyms_of, dictionary_lines, dictionary_of


def options(parser: ArgumentParser) -> None:
    pairs_of = "JSONL with left_text and right_text, as rag bitext writes it"
    parser.add_argument("pairs", nargs="?", metavar="PAIRS", help=pairs_of)
    parser.add_argument("--language", metavar="CODE", help="ISO 639-1 language of the right texts")
    acronyms = "in place of pairs: an index whose texts explain acronyms, as in paid time off (PTO)"
    parser.add_argument("--acronyms-of", metavar="DIR", help=acronyms)
    parser.add_argument("--out", required=True, metavar="FILE", help="entries to write: .tsv, of acronyms .yaml")
    pairs_help = "pairs that two phrases have to come in together (default: 2)"
    parser.add_argument("--least-pairs", type=positive, default=2, metavar="N", help=pairs_help)
    parser.add_argument(
        "--least", type=float, default=0.5, metavar="X", help="least share of pairs in common (default: 0.5)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(given: Namespace) -> int:
    """Make a dictionary of the pairs of a file, or a glossary of an index, and write a line for every entry."""
    out = writable(given.out)
    if bool(given.pairs) == bool(given.acronyms_of):
        raise SpecError("give pairs of texts, or an index (--acronyms-of), and not both")
    if given.acronyms_of:
        return _acronyms(given, out)
    if given.language is None:
        raise SpecError("--language: the ISO 639-1 code of the right texts is wanted, such as de")
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


def _acronyms(given: Namespace, out: Path) -> int:
    with open_index(given.acronyms_of) as index:
        found = acronyms_of((document.text for document in index.documents), least=given.least_pairs)
    lines = "".join(
        f"  - [{json.dumps(short)}, {json.dumps(long, ensure_ascii=False)}]\n" for short, long in found.items()
    )
    write_atomically(out, f"terms:\n{lines}" if lines else "terms: []\n")
    if given.json:
        say_json({"acronyms": len(found)})
    else:
        say(
            f"{len(found):,} acronym{'' if len(found) == 1 else 's'} in {out}, for reformulate.glossary: look through them first"
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
