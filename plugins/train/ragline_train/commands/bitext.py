"""texts in two languages -> pairs that say the same, by an encoder that knows both"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

from rag.commands import positive, progress_bar, say, say_json, warn, writable
from rag.errors import SpecError
from rag.evaluate import read_questions
from rag.files import write_atomically
from rag.indexes import SentenceEncoder
from ragline_train.bitext import LEAST, Mined, mine


def options(parser: ArgumentParser) -> None:
    texts_help = ".jsonl: a JSON object a line, id and text; .txt: a text a line"
    parser.add_argument("left", metavar="LEFT", help=texts_help)
    parser.add_argument("right", metavar="RIGHT", help="the same in the other language")
    encoder_help = "packaged name, folder or hub id of an encoder that was trained on both languages"
    parser.add_argument("--encoder", required=True, metavar="NAME", help=encoder_help)
    parser.add_argument("--revision", metavar="REV", help="hub revision")
    parser.add_argument("--out", required=True, metavar="F.jsonl", help="pairs to write, the best first")
    by_help = "margin: cosine by that of both texts' neighbours (default); cosine: that of the pair alone"
    parser.add_argument("--by", choices=("margin", "cosine"), default="margin", help=by_help)
    parser.add_argument("--least", type=float, metavar="X", help="what a pair has to reach (margin: 1.06; cosine: 0.8)")
    parser.add_argument("--mutual", action="store_true", help="only pairs of texts that are each other's best")
    parser.add_argument(
        "--neighbours", type=positive, default=4, metavar="K", help="of a text, for margins (default: 4)"
    )
    role_help = "prompt of the model that texts get, where it has any; of E5 models: query (default: document)"
    parser.add_argument("--role", choices=("query", "document"), default="document", help=role_help)
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N texts of each file")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(given: Namespace) -> int:
    """Pair the texts of two files, and write a line for every pair."""
    out = writable(given.out)
    left, right = (list(read_questions(Path(file), limit=given.limit)) for file in (given.left, given.right))
    for file, texts in ((given.left, left), (given.right, right)):
        if not texts:
            raise SpecError(f"{file} has no texts")
    encoder = SentenceEncoder(model=given.encoder, revision=given.revision)
    if len(encoder.languages) == 1:
        warn(
            f"{given.encoder} was made for '{encoder.languages[0]}' alone. Pairs of two languages need an encoder that was "
            "trained on both"
        )
    with progress_bar() as progress:
        mined = mine(
            left,
            right,
            encode=partial(encoder.encode, role=given.role, progress=progress),
            k=given.neighbours,
            by=given.by,
            least=given.least,
            mutual=given.mutual,
            progress=progress,
        )
    write_atomically(out, "".join(map(_line, mined)))
    least = LEAST[given.by] if given.least is None else given.least
    if given.json:
        say_json({"left": len(left), "right": len(right), "pairs": len(mined), "by": given.by, "least": least})
        return 0
    say(f"{len(left):,} and {len(right):,} texts; {len(mined):,} pairs of {given.by} {least:g} or more in {out}")
    return 0


def _line(pair: Mined) -> str:
    fields = {
        "left": pair.left.qid,
        "right": pair.right.qid,
        "left_text": pair.left.text,
        "right_text": pair.right.text,
        "margin": round(pair.margin, 6),
        "cosine": round(pair.cosine, 6),
    }
    return json.dumps(fields, ensure_ascii=False) + "\n"
