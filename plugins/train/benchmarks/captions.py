"""A small writer of captions: told how well captions fit (NoC), and taught from texts alone (zero-shot audio captioning).

Pictures of `multimodal/`, by EfficientNet-Lite0 in the space of all-MiniLM. What is written of a picture of `dev` is read again:
the share whose own picture is the nearest one (of coco's, among the first five), and F1 of the words that were written and those
of its own caption. Three seeds; intervals by drawing pictures again.

    noise   a third of the captions of `train` are of other pictures, as in the web; a writer that is told the fit of each, asked
            for a good and for a bad one, against a writer that is told nothing
    texts   writers that learnt from vectors of texts, plain or blurred, given a picture's vector, the same brought among texts, and
            that with the two nearest of a thousand labels

    RAGLINE_EVAL_DATA=... python -m plugins.train.benchmarks.captions [noise] [texts] [--steps 500] [--seeds 3] [--limit N]
        [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from plugins.train.benchmarks.tower_beds import Bed, usual
from plugins.train.benchmarks.tower_features import TONE, Read, read, texts
from plugins.train.benchmarks.tower_losses import Scores, line, mean_of
from ragline_media.methods.vectors import among_texts, nearest_texts
from ragline_media.tower.space import concepts_of
from ragline_train.losses.towers import Towers
from ragline_train.writer import LEVELS, Writer, fit_levels, mixed_texts, teach_writer

MODEL = "a recurrent writer over efficientnet-lite0 and all-minilm-l6-v2"
_SETS = (("emoji", "om", 1), ("tux", "", 1), ("coco", "", 5))
_NOISE, _TAGS = 1 / 3, 2


class Pictures:
    """What is written about, and the space it lies in."""

    def __init__(self, data: Path, *, limit: int | None) -> None:
        self.bed: Bed = usual(data, limit=limit)
        self.known: Read = read(data, limit=limit)
        self.ids, self.mask = self.bed.pairs.fixed["word_ids"], self.bed.pairs.fixed["word_mask"]
        self.dev = {
            name: [
                place
                for place, each in enumerate(self.known.pictures)
                if (each.set, each.style, each.split) == (name, style, "dev") and not TONE.search(each.key)
            ]
            for name, style, _ in _SETS
        }

    def seen(self, towers: Towers, name: str) -> Tensor:
        """[n, d], pictures of a set."""
        with torch.no_grad():
            return towers.media(torch.from_numpy(self.known.whole[self.dev[name]]))

    def judged(self, towers: Towers, write: Callable[[Tensor], list[list[int]]]) -> Scores:
        """What is found by what was written, and the words that are right in it."""
        found: Scores = {}
        for name, _, k in _SETS:
            seen = self.seen(towers, name)
            said = [self.spelt(ids) for ids in write(seen)]
            scores = torch.from_numpy(texts(said)) @ seen.T
            best = scores.topk(min(k, scores.shape[1]), dim=1).indices
            found[name] = (best == torch.arange(len(seen))[:, None]).any(dim=1).double().numpy()
            own = [self.known.pictures[place].captions for place in self.dev[name]]
            found[f"{name} words"] = np.array(
                [max(_f1(text, each) for each in one) for text, one in zip(said, own, strict=True)]
            )
        return found

    def spelt(self, ids: Sequence[int]) -> str:
        """Tokens as a text."""
        return " ".join(self.bed.word_names[each] for each in ids).replace(" ##", "")


def _f1(text: str, caption: str) -> float:
    own, right = {*text.split()}, {*caption.split()}
    both = len(own & right)
    return 2 * both / (len(own) + len(right)) if both else 0.0


def by_noise(pictures: Pictures, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """NoC."""
    ways: dict[str, int | None] = {"told nothing": None, **{f"level {n} of {LEVELS}": n - 1 for n in (LEVELS, 5, 1)}}
    found: dict[str, list[Scores]] = {name: [] for name in ways}
    for seed in range(options.seeds):
        rows = _shuffled(len(pictures.ids), seed)
        pairs = replace(pictures.bed.pairs, texts=pictures.bed.pairs.texts[rows])
        towers = Towers.ridge(pairs)
        with torch.no_grad():
            v = towers.media(pairs.media)
        levels = fit_levels((v * pairs.texts).sum(dim=1))[:, None]
        ids, mask = pictures.ids[rows], pictures.mask[rows]
        plain = _written(pictures, [v], ids, mask, seed, options)
        told = _written(pictures, [v, levels], ids, mask, seed, options, n_told=LEVELS)
        for name, level in ways.items():
            writer = plain if level is None else told
            found[name].append(pictures.judged(towers, lambda seen, w=writer, at=level: w.write(seen, _all(seen, at))))
    base = mean_of(found["told nothing"])
    for name, scores in found.items():
        yield line(name, {}, mean_of(scores), None if name == "told nothing" else base)


def _all(seen: Tensor, level: int | None) -> Tensor | None:
    return None if level is None else torch.full((len(seen), 1), level)


def _shuffled(n: int, seed: int) -> NDArray[np.int64]:
    """Places in order, but a third of them, which change with one another."""
    draw = np.random.default_rng(seed)
    rows = np.arange(n)
    some = draw.permutation(n)[: round(_NOISE * n)]
    rows[some] = np.roll(some, 1)
    return rows


def by_texts(pictures: Pictures, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Zero-shot captioning: the writer sees no picture while it is taught."""
    towers = Towers.ridge(pictures.bed.pairs)
    t = pictures.bed.pairs.texts
    kept = np.unique(t.numpy(), axis=0, return_index=True)[1]
    memory, ids, mask = t[kept], pictures.ids[kept], pictures.mask[kept]
    labels = concepts_of(texts)

    def near(vectors: Tensor) -> Tensor:
        return torch.from_numpy(nearest_texts(vectors.numpy(), labels, k=_TAGS))

    def among(seen: Tensor) -> Tensor:
        return torch.from_numpy(among_texts(seen.numpy(), memory.numpy(), temperature=0.03))

    found: dict[str, list[Scores]] = {}
    for seed in range(options.seeds):
        blurred = mixed_texts(memory, share=0.7, noise=0.5, drawing=torch.Generator().manual_seed(seed))
        plain = _written(pictures, [memory], ids, mask, seed, options)
        soft = _written(pictures, [blurred], ids, mask, seed, options)
        hard = _written(pictures, [blurred, near(memory)], ids, mask, seed, options, n_told=len(labels))
        ways: dict[str, Callable[[Tensor], list[list[int]]]] = {
            "plain": plain.write,
            "plain, among texts": lambda seen, w=plain: w.write(among(seen)),
            "blurred": soft.write,
            "blurred, among texts": lambda seen, w=soft: w.write(among(seen)),
            "blurred, among texts, told labels": lambda seen, w=hard: w.write(among(seen), near(seen)),
        }
        for name, way in ways.items():
            found.setdefault(name, []).append(pictures.judged(towers, way))
    base = mean_of(found["plain"])
    for name, scores in found.items():
        yield line(name, {}, mean_of(scores), None if name == "plain" else base)


def _written(
    pictures: Pictures,
    inputs: Sequence[Tensor],
    ids: Tensor,
    mask: Tensor,
    seed: int,
    options: argparse.Namespace,
    *,
    n_told: int = 0,
) -> Writer:
    """A writer that was taught."""
    torch.manual_seed(seed)
    writer = Writer(n_words=len(pictures.bed.word_names), dim=inputs[0].shape[1], n_told=n_told)
    teach_writer(writer, inputs, ids, mask, steps=options.steps, seed=seed)
    return writer


TABLES = {"noise": by_noise, "texts": by_texts}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}; all unless named")
    parser.add_argument("--steps", type=int, default=500, help="of teaching")
    parser.add_argument("--seeds", type=int, default=3, help="how often each is taught")
    parser.add_argument("--limit", type=int, help="pictures of each set and split, at most")
    parser.add_argument("--record", action=Record, help="append to results/captions.jsonl")
    options = parser.parse_args(arguments)
    if unknown := set(options.tables) - TABLES.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; known: {', '.join(TABLES)}")
    pictures = Pictures(data_folder() / "multimodal", limit=options.limit)
    for table in options.tables or TABLES:
        for each in TABLES[table](pictures, options):
            print(table, each["loss"], each["found"], each["gain"], flush=True)
            if options.record:
                way = {key: value for key, value in each.items() if key != "loss"} | {"way": each["loss"]}
                settings = {"table": table, "steps": options.steps, "seeds": options.seeds, "model": MODEL}
                record("captions", settings | way)
    return 0


if __name__ == "__main__":
    sys.exit(main())
