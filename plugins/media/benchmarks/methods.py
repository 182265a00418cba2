"""Methods that need no training, on pictures and captions of `multimodal/`: what each changes, and on how many questions.

The tower is EfficientNet-Lite0, its space that of all-MiniLM by a ridge regression on `train`; all is told on `dev`.

    policy     a weak tower (a fit on few pairs) moved by what the whole fit thinks
    parts      which of two texts that differ in a word is right, by the cells of the photo
    names      emoji asked for by a rare name, and by its most frequent synonym
    frequency  what is found against how often its words were seen
    pairs      two emoji and their names crosswise, as a woman and a man at the same work
    binding    two coloured things in one picture, and the colour of either
    geometry   how both sides of the space lie
    memory     pictures brought to where texts are
    alignment  which two frozen networks are brought together best, told before by how alike they are
    tokens     photos again by words against cells, of the first ten
    postings   pictures as words, found by the sum of the words that a caption has
    signals    electrocardiograms to their reports, against the most frequent report
    sounds     sounds that are no speech to captions, and through captions to pictures
    described  the same captions in the words of a model of what they sound like
    anchored   questions about a part of a picture over texts, by the names of what it is like

    RAGLINE_EVAL_DATA=... python -m plugins.media.benchmarks.methods [NAME ...] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from generators.llm.llama_cpp import LlamaCppLLM
from plugins.media.benchmarks import anchored
from plugins.media.benchmarks.coloured import bindings
from plugins.media.benchmarks.heard import in_words, sounds
from plugins.train.benchmarks.tower_beds import Bed, usual
from plugins.train.benchmarks.tower_features import TONE, Picture, Read, lines, read, texts, words
from plugins.train.benchmarks.tower_losses import gain
from rag.evaluate import mean_interval
from ragline_media.evaluation.measures import concept_counts, geometry, linear_cka, pair_scores, trend
from ragline_media.methods.described import frequent_name
from ragline_media.methods.in_words import PicturesInWords, word_weights
from ragline_media.methods.vectors import among_texts, matched_parts, moved, score_by_parts, score_by_tokens
from ragline_media.signals import heart_features
from ragline_media.tower.fitting import spoken
from ragline_train.losses.towers import Pairs, Towers

Vectors = NDArray[np.float32]
_WEAK = 200
MODEL = "efficientnet-lite0, fitted to all-minilm-l6-v2"
WRITER = "qwen2.5-coder-1.5b-instruct"
_PEOPLE = frozenset({"man", "woman", "boy", "girl", "child", "people", "lady", "kid", "skier", "player"})
_WORD = re.compile(r"[a-z]{3,}")
_PLAIN = frozenset({"the", "and", "with", "for", "its", "from", "that", "are"})


class Space:
    """The fit on all pairs, one on few, and what is seen by them."""

    def __init__(self, data: Path, *, limit: int | None = None) -> None:
        self.data = data
        self.known: Read = read(data, limit=limit)
        self.bed: Bed = usual(data, limit=limit)
        self.whole = Towers.ridge(self.bed.pairs)
        drawn = torch.randperm(len(self.bed.pairs), generator=torch.Generator().manual_seed(0))[:_WEAK]
        self.weak = Towers.ridge(Pairs(media=self.bed.pairs.media[drawn], texts=self.bed.pairs.texts[drawn]))
        self.captions = [caption for _, caption in self.bed.rows]

    def dev(self, name: str, *, style: str = "", tones: bool = False) -> list[int]:
        """Places of a set's pictures in dev."""
        return [
            place
            for place, each in enumerate(self.known.pictures)
            if (each.set, each.style, each.split) == (name, style, "dev") and (tones or not TONE.search(each.key))
        ]

    def seen(self, places: Sequence[int], towers: Towers | None = None) -> Vectors:
        """float32 [n, 384]."""
        with torch.no_grad():
            return (towers or self.whole).media(torch.from_numpy(self.known.whole[list(places)])).numpy()

    def cells(self, place: int) -> Vectors:
        """float32 [16, 384]."""
        with torch.no_grad():
            return self.whole.media(torch.from_numpy(self.known.cells[place].astype(np.float32))).numpy()

    def pictures(self, places: Sequence[int]) -> list[Picture]:
        """What is known of them."""
        return [self.known.pictures[place] for place in places]


def captioned(space: Space, places: Sequence[int]) -> tuple[list[str], NDArray[np.bool_]]:
    """Captions of some pictures, each once; and which picture each is of: bool [captions, pictures]."""
    some = space.pictures(places)
    said = list(dict.fromkeys(caption for each in some for caption in each.captions))
    return said, np.array([[caption in each.captions for each in some] for caption in said])


def by_policy(space: Space) -> Iterator[dict[str, Any]]:
    """RLCF."""
    for name, style in (("emoji", "om"), ("tux", ""), ("coco", "")):
        places = space.dev(name, style=style)
        said, right = captioned(space, places)
        asked, weak, whole = texts(said), space.seen(places, space.weak), space.seen(places)

        def first(
            step: float, asked: Vectors = asked, weak: Vectors = weak, whole: Vectors = whole, right: Any = right
        ) -> NDArray[np.float64]:
            questions = [moved(one, weak, whole @ one, step=step) for one in asked]
            return np.array([right[n, (weak @ one).argmax()] for n, one in enumerate(questions)], dtype=np.float64)

        base = first(0.0)
        direct = np.array([right[n, (whole @ one).argmax()] for n, one in enumerate(asked)], dtype=np.float64)
        for step in (0.01, 0.05, 0.2, 1.0):
            found = first(step)
            yield {
                "set": name,
                "n": len(said),
                "step": step,
                "weak": round(base.mean(), 4),
                "R@1": round(found.mean(), 4),
                "gain": gain(found, base),
                "whole tower": round(direct.mean(), 4),
            }


def by_parts(space: Space) -> Iterator[dict[str, Any]]:
    """ComCLIP: things are words of a caption that boxes of photos have as labels, and words for people, with two words before."""
    by_key = {each.key: place for place, each in enumerate(space.known.pictures)}
    swaps = [line for line in lines(space.data / "coco", "swaps") if line["split"] == "dev" and line["image"] in by_key]
    labels = _PEOPLE | {box["label"] for each in space.known.pictures for box in each.boxes}
    told: dict[str, list[bool]] = {}
    n_things = []
    for line in swaps:
        place = by_key[line["image"]]
        picture, cells = space.seen([place])[0], space.cells(place)
        scores: dict[str, list[float]] = {}
        for side in ("positive", "negative"):
            caption = spoken(line[side])
            things = _things(caption, labels)
            n_things.append(len(things))
            text = texts([caption])[0]
            nouns = texts([noun for noun, _ in things]) if things else np.zeros((0, len(text)), np.float32)
            phrases = texts([phrase for _, phrase in things]) if things else nouns
            own = cells[matched_parts(nouns, cells)] if things else nouns
            scores.setdefault("whole", []).append(float(text @ picture))
            for form in ("published", "softmax", "entities"):
                scores.setdefault(form, []).append(score_by_parts(text, picture, phrases, own, form=form))  # type: ignore[arg-type]
        for form, (right, wrong) in scores.items():
            told.setdefault(form, []).append(right > wrong)
    base = np.array(told["whole"], dtype=np.float64)
    for form, values in told.items():
        found = np.array(values, dtype=np.float64)
        yield {
            "form": form,
            "n": len(swaps),
            "things a text": round(float(np.mean(n_things)), 2),
            "accuracy": round(found.mean(), 4),
            "gain": gain(found, base),
        }


def _things(caption: str, labels: set[str]) -> list[tuple[str, str]]:
    """Nouns that a box has as its label, each with the two words before it."""
    words = re.findall(r"\w+", caption)
    found = [n for n, word in enumerate(words) if word in labels or word.removesuffix("s") in labels]
    return [(words[n], " ".join(words[max(0, n - 2) : n + 1])) for n in found]


def by_names(space: Space) -> Iterator[dict[str, Any]]:
    """REAL: a name that fewer than five captions of train have, and the keyword that most have."""
    places = space.dev("emoji", style="om")
    pictures = space.pictures(places)
    words = sorted({word for each in pictures for word in (each.captions[0], *map(str.lower, each.keywords))})
    counts = concept_counts(space.captions, words)
    swapped = [
        (n, each.captions[0], frequent_name(each.captions[0], [word.lower() for word in each.keywords], counts))
        for n, each in enumerate(pictures)
    ]
    rare = [(n, name, other) for n, name, other in swapped if other != name]
    seen = space.seen(places)
    ranks = {}
    for which, place in (("as asked", 1), ("most frequent", 2)):
        asked = texts([each[place] for each in rare])
        order = np.argsort(-(asked @ seen.T), axis=1, kind="stable")
        ranks[which] = np.array([int(np.flatnonzero(row == each[0])[0]) for row, each in zip(order, rare, strict=True)])
    both = texts([each[1] for each in rare]) + texts([each[2] for each in rare])
    order = np.argsort(-(both @ seen.T), axis=1, kind="stable")
    ranks["both"] = np.array([int(np.flatnonzero(row == each[0])[0]) for row, each in zip(order, rare, strict=True)])
    base = (ranks["as asked"] < 5).astype(np.float64)
    for which, found in ranks.items():
        top = (found < 5).astype(np.float64)
        yield {"names": which, "n": len(rare), "R@5": round(top.mean(), 4), "gain": gain(top, base)}


def by_frequency(space: Space) -> Iterator[dict[str, Any]]:
    """Let It Wag!: a caption's rarest word, and whether its picture is among the first five."""
    for name, style in (("emoji", "om"), ("tux", ""), ("clipart", "")):
        places = space.dev(name, style=style)
        pictures, seen = space.pictures(places), space.seen(places)
        said = [each.captions[0] for each in pictures]
        first = np.argsort(-(texts(said) @ seen.T), axis=1)[:, :5]
        found = {caption: float(n in row) for n, (caption, row) in enumerate(zip(said, first, strict=True))}
        held = {caption: [word for word in _WORD.findall(caption) if word not in _PLAIN] for caption in found}
        counts = concept_counts(space.captions, sorted({word for words in held.values() for word in words}))
        rarest = {caption: min((counts[word] for word in words), default=0) for caption, words in held.items()}
        fit = trend(found, rarest)
        never = [found[caption] for caption, count in rarest.items() if not count]
        yield {
            "set": name,
            "n": fit.n,
            "slope for ten times as often": round(fit.slope, 4),
            "r2": round(fit.r2, 4),
            "R@5 of words never seen": round(float(np.mean(never)), 4) if never else None,
            "never seen": len(never),
        }


def by_pairs(space: Space) -> Iterator[dict[str, Any]]:
    """CompA's scores: a man and a woman, or a light and a dark skin, with all else alike, in both drawings."""
    drawings = []
    for style in ("om", "noto"):
        places = space.dev("emoji", style=style, tones=True)
        drawings.append({each.captions[0]: place for place, each in zip(places, space.pictures(places), strict=True)})
    for name, one, other in (("gender", r"\bman\b", "woman"), ("tone", "light skin tone", "dark skin tone")):
        items = [
            space.seen([by_caption[caption], by_caption[turned]]) @ texts([caption, turned]).T
            for by_caption in drawings
            for caption in by_caption
            if re.search(one, caption) and (turned := re.sub(one, other, caption)) in by_caption
        ]
        if not items:
            yield {"pairs": name, "n": 0}
            continue
        found = pair_scores(np.stack(items))
        yield {
            "pairs": name,
            "n": found.n,
            "text": round(found.text, 4),
            "media": round(found.media, 4),
            "group": round(found.group, 4),
        }


def by_binding(space: Space) -> Iterator[dict[str, Any]]:
    """CAB."""
    return bindings(space.data, space.known, space.whole)


def by_sounds(space: Space) -> Iterator[dict[str, Any]]:
    """LanguageBind's and CoAVT's way from a sound to a picture, by what both are called."""
    return sounds(space.data, space.known, space.whole)


def by_described(space: Space) -> Iterator[dict[str, Any]]:
    """ReCLAP's two steps, by the packaged model."""
    for row in in_words(space.data, LlamaCppLLM(model=WRITER)):
        yield {**row, "model": WRITER}


def by_anchored(space: Space) -> Iterator[dict[str, Any]]:
    """RoRA-VLM, its first two steps."""
    yield from anchored.questions(space.known, space.whole)


def by_geometry(space: Space) -> Iterator[dict[str, Any]]:
    """Of pairs of dev, by the fit on few pairs and by that on all."""
    for name, style in (("emoji", "om"), ("tux", ""), ("coco", "")):
        places = space.dev(name, style=style)
        said = texts([each.captions[0] for each in space.pictures(places)])
        for which, towers in (("weak", space.weak), ("whole", space.whole)):
            found = geometry(space.seen(places, towers), said)
            yield {
                "set": name,
                "tower": which,
                "n": len(places),
                "gap": round(found.gap, 4),
                "alignment": round(found.alignment, 4),
                "relative alignment": round(found.relative_alignment, 4),
                "uniformity": round(found.uniformity, 4),
            }


def by_memory(space: Space) -> Iterator[dict[str, Any]]:
    """Pictures of dev brought among the captions of train: how near they come to their own caption, which is none of these."""
    memory = texts(sorted(set(space.captions)))
    for name, style in (("emoji", "om"), ("tux", ""), ("coco", "")):
        places = space.dev(name, style=style)
        said, seen = texts([each.captions[0] for each in space.pictures(places)]), space.seen(places)
        own = [((each * said).sum(axis=1)) for each in (seen, among_texts(seen, memory, temperature=0.03))]
        first = [
            ((each @ said.T).argmax(axis=1) == np.arange(len(said))).astype(np.float64)
            for each in (seen, among_texts(seen, memory, temperature=0.03))
        ]
        yield {
            "set": name,
            "n": len(places),
            "cosine to its caption": [round(float(each.mean()), 4) for each in own],
            "R@1 of captions": [round(float(each.mean()), 4) for each in first],
            "gain": gain(first[1], first[0]),
        }


def by_alignment(space: Space) -> Iterator[dict[str, Any]]:
    """Projector alignment: three views of pictures, two encoders of texts. CKA over train, of pairs and of shuffled pairs, and what
    a ridge regression finds on dev."""
    known, rows = space.known, space.bed.rows
    n = len(known.whole[0]) - 384 - 1000  # pooled numbers, then tags, then classes
    views = {"pooled": slice(0, n), "classes": slice(n + 384, None), "all": slice(None)}
    places = [place for place, _ in rows]
    shuffled = np.random.default_rng(0).permutation(len(rows))
    for encoder in ("all-minilm-l6-v2", "multilingual-e5-small"):
        said = texts([caption for _, caption in rows], encoder)
        for name, own in views.items():
            media = known.whole[places][:, own]
            found = {"CKA": linear_cka(media, said), "CKA, shuffled": linear_cka(media, said[shuffled])}
            towers = Towers.ridge(Pairs(media=torch.from_numpy(media.copy()), texts=torch.from_numpy(said)))
            for each, style, k in (("emoji", "om", 1), ("tux", "", 1), ("coco", "", 5)):
                dev = space.dev(each, style=style)
                captions, right = captioned(space, dev)
                with torch.no_grad():
                    seen = towers.media(torch.from_numpy(known.whole[dev][:, own].copy())).numpy()
                first = np.argsort(-(texts(captions, encoder) @ seen.T), axis=1)[:, :k]
                top = np.take_along_axis(right, first, axis=1).any(axis=1).astype(np.float64)
                ends = mean_interval(top.tolist())
                yield {
                    "set": each,
                    "pictures": name,
                    "encoder": encoder,
                    "n": len(captions),
                    f"R@{k}": round(float(top.mean()), 4),
                    "interval": [round(ends.low, 4), round(ends.high, 4)],
                    **{key: round(value, 4) for key, value in found.items()},
                }


def by_tokens(space: Space) -> Iterator[dict[str, Any]]:
    """FILIP's score at reading: the first ten photos of a caption in the order of tokens, and of both scores together."""
    places = space.dev("coco")
    said, right = captioned(space, places)
    whole = texts(said) @ space.seen(places).T
    vectors, mask, _, _ = words(said)
    cells = [space.cells(place) for place in places]
    first = np.argsort(-whole, axis=1, kind="stable")[:, :10]
    fine = np.full_like(whole, -np.inf)
    for n, row in enumerate(first):
        for place in row:
            fine[n, place] = score_by_tokens(cells[place], vectors[n].numpy(), mask[n].numpy())
    base = _right_first(whole, right)
    for which, scores in (("whole", whole), ("tokens", fine), ("both", whole + fine)):
        found = _right_first(scores, right)
        yield {"order": which, "n": len(said), "R@1": round(found.mean(), 4), "gain": gain(found, base)}


def _right_first(scores: Vectors, right: NDArray[np.bool_]) -> NDArray[np.float64]:
    return right[np.arange(len(scores)), scores.argmax(axis=1)].astype(np.float64)


def by_postings(space: Space) -> Iterator[dict[str, Any]]:
    """VDR's other side: words are those of the captions of train."""
    names = sorted({word for caption in space.captions for word in _WORD.findall(caption) if word not in _PLAIN})
    vectors = texts(names)
    for name, style, k in (("emoji", "om", 1), ("tux", "", 1), ("coco", "", 5)):
        places = space.dev(name, style=style)
        said, right = captioned(space, places)
        seen = space.seen(places)
        dense = _right_among(texts(said) @ seen.T, right, k)
        for most in (8, 32, 128):
            postings = PicturesInWords(names, word_weights(seen, vectors, most=most))
            scores = np.array([postings.scores(caption) for caption in said])
            apart = max(
                abs(sum(postings.parts(caption, place).values()) - scores[n, place])
                for n, caption in enumerate(said)
                for place in range(len(places))
            )
            found = _right_among(scores, right, k)
            yield {
                "set": name,
                "n": len(said),
                "words of a picture": most,
                f"R@{k}": round(found.mean(), 4),
                "dense": round(dense.mean(), 4),
                "gain": gain(found, dense),
                "captions without a posting": int((scores.max(axis=1) == 0).sum()),
                "score less its words, at most": round(float(apart), 6),
            }


def _right_among(scores: NDArray[np.floating[Any]], right: NDArray[np.bool_], k: int) -> NDArray[np.float64]:
    """1 where a right one is among the first k that score above nothing."""
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    scored = np.take_along_axis(scores, first, axis=1) != 0
    return (np.take_along_axis(right, first, axis=1) & scored).any(axis=1).astype(np.float64)


def by_signals(space: Space) -> Iterator[dict[str, Any]]:
    """MoRE's signals with a text as their anchor: statements in English, each once, ranked for an electrocardiogram."""
    rows = [(line["split"], line["archive"], line["media"], line["captions"]["en"][-1]) for line in _hearts(space.data)]
    archives = {name: np.load(space.data / "ecg" / name, allow_pickle=False) for name in {row[1] for row in rows}}
    features = np.stack([heart_features(archives[archive][media]) for _, archive, media, _ in rows])
    taught, told = (np.array([row[0] == split for row in rows]) for split in ("train", "dev"))
    features = (features - features[taught].mean(axis=0)) / np.maximum(features[taught].std(axis=0), 1e-6)
    said = [spoken(row[3]) for row in rows]
    known = texts(said)
    pairs = Pairs(media=torch.from_numpy(features[taught]), texts=torch.from_numpy(known[taught]))
    towers = Towers.ridge(pairs, penalty=3000.0)
    own = [text for text, at in zip(said, told, strict=True) if at]
    statements = list(dict.fromkeys(own))
    with torch.no_grad():
        scores = towers.media(torch.from_numpy(features[told])).numpy() @ texts(statements).T
    frequent = Counter(text for text, at in zip(said, taught, strict=True) if at).most_common(5)
    order = np.argsort(-scores, axis=1, kind="stable")
    for k in (1, 5):
        found = np.array([own[n] in [statements[at] for at in row[:k]] for n, row in enumerate(order)], np.float64)
        majority = np.array([text in [each for each, _ in frequent[:k]] for text in own], np.float64)
        yield {
            "signals": "ecg",
            "n": len(own),
            "statements": len(statements),
            "k": k,
            f"R@{k}": round(found.mean(), 4),
            "the most frequent": round(majority.mean(), 4),
            "gain": gain(found, majority),
        }


def _hearts(data: Path) -> list[dict[str, Any]]:
    return [line for line in lines(data / "ecg", "pairs") if line["split"] in ("train", "dev")]


TABLES: dict[str, Callable[[Space], Iterator[dict[str, Any]]]] = {
    "policy": by_policy,
    "parts": by_parts,
    "names": by_names,
    "frequency": by_frequency,
    "pairs": by_pairs,
    "binding": by_binding,
    "geometry": by_geometry,
    "memory": by_memory,
    "alignment": by_alignment,
    "tokens": by_tokens,
    "postings": by_postings,
    "signals": by_signals,
    "sounds": by_sounds,
    "described": by_described,
    "anchored": by_anchored,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TABLES)}; all unless named")
    parser.add_argument("--limit", type=int, help="pictures of each set and split, at most")
    parser.add_argument("--record", action=Record, help="append to results/media_methods.jsonl")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - TABLES.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; known: {', '.join(TABLES)}")
    space = Space(data_folder() / "multimodal", limit=options.limit)
    for name in options.names or TABLES:
        for row in TABLES[name](space):
            print(name, *(f"{key} {value}" for key, value in row.items()), sep="  ", flush=True)
            if options.record:
                record("media_methods", {"method": name, "model": MODEL, **row})
    return 0


if __name__ == "__main__":
    sys.exit(main())
