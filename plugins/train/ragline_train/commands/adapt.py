"""an index without judgements -> its encoder taught on its own texts, switched in only where it is shown to find more"""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from rag.commands import GRAPH_HELP, indexed, positive, progress_bar, say, say_json, warn
from ragline_train.commands.train import say_ahead, say_told, shared_data, taught_and_judged
from ragline_train.teaching.adapting import GRAPH, Adapted, adapt
from ragline_train.teaching.task import Settings


def options(parser: ArgumentParser) -> None:
    indexed(parser, needed=True)
    parser.add_argument("--graph", default=GRAPH, metavar="G", help=GRAPH_HELP)
    parser.add_argument("--out", default="taught-encoder", metavar="DIR", help="folder of the model (taught-encoder)")
    parser.add_argument("--own", type=positive, default=1200, metavar="N", help="questions of the corpus itself (1200)")
    parser.add_argument("--minutes", type=float, default=60.0, metavar="M", help="two thirds of them teach (60)")
    parser.add_argument("--keep", action="store_true", help="say what would be gained, and leave the index as it is")
    taught_and_judged(parser)


def run(given: Namespace) -> int:
    """Teach, ask both, and switch or not; both are good ends."""
    with progress_bar() as progress:
        adapted = adapt(
            given.index,
            out=Path(given.out),
            data=shared_data(given),
            settings=Settings(minutes=given.minutes, steps=given.steps, threads=given.threads, seed=given.seed),
            graph=given.graph,
            switch=not given.keep,
            resume=given.resume,
            command=f"rag {shlex.join(sys.argv[1:])}",
            ahead=say_ahead,
            say=say_told,
            progress=progress,
        )
    if given.json:
        test = None if adapted.test is None else asdict(adapted.test)
        told = {"before": adapted.before, "after": adapted.after, "test": test}
        say_json({"switched": adapted.switched, "why": adapted.why, "folder": given.out, **told})
        return 0
    show(adapted, given.index)
    return 0


def show(adapted: Adapted, index: str) -> None:
    """What came of it, and the way back."""
    if adapted.test is not None:
        test = adapted.test
        say(
            f"nDCG@10 {adapted.before:.4f} -> {adapted.after:.4f} ({test.difference:+.4f}"
            f" [{test.low:+.4f}, {test.high:+.4f}], p {test.p:.3f}), questions taken out of their passages"
        )
    if not adapted.switched:
        say(f"Nothing changed: {adapted.why}.")
        return
    old = adapted.result.facts["start"]["name"]
    say(f"{index} has the new encoder, {adapted.result.folder}: {adapted.why}.")
    warn(f"back: rag index --index {index} --shadow --encoder {old} --promote")
