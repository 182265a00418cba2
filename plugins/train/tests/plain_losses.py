"""The losses once more, over lists and one number at a time, by their papers: what the real ones are held against."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations, product
from typing import Any

Vector = Sequence[float]
Given = Mapping[str, Any]
"""Fields of a batch as lists, with `v` and `t`."""


def dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def unit(a: Vector) -> list[float]:
    length = math.sqrt(dot(a, a))
    return [x / length for x in a]


def plus(a: Vector, b: Vector, *, times: float = 1.0) -> list[float]:
    return [x + times * y for x, y in zip(a, b, strict=True)]


def mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def middle(vectors: Sequence[Vector]) -> list[float]:
    return [mean(column) for column in zip(*vectors, strict=True)]


def surprise(scores: Sequence[float], right: int) -> float:
    return -math.log(math.exp(scores[right]) / sum(math.exp(each) for each in scores))


def contrast(v: Sequence[Vector], t: Sequence[Vector], *, temperature: float = 0.5, share: float = 0.5) -> float:
    forth = mean([surprise([dot(a, b) / temperature for b in t], i) for i, a in enumerate(v)])
    back = mean([surprise([dot(a, b) / temperature for b in v], i) for i, a in enumerate(t)])
    return share * forth + (1 - share) * back


def squared(a: Vector, b: Vector) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def anchored(given: Given) -> float:
    v, t = given["v"], given["t"]
    others, there = given["signal"], given["there"]
    kept = [i for i in range(len(t)) if there[i]]
    return contrast(v, t) + contrast([others[i] for i in kept], [t[i] for i in kept])


def gated(given: Given) -> float:
    v, t, c = given["v"], given["t"], given["captions"]
    total = 0.0
    for i in range(len(v)):
        pair = math.exp(2 * (dot(t[i], c[i]) - 1))
        by_text = math.exp(2 * (dot(v[i], t[i]) - 1)) if pair < 1 else 1.0
        by_caption = math.exp(2 * (dot(v[i], c[i]) - 1)) if pair < 1 else 1.0
        for other, weight in ((t, by_text), (c, by_caption)):
            forth = surprise([dot(v[i], each) / 0.5 for each in other], i)
            back = surprise([dot(each, other[i]) / 0.5 for each in v], i)
            total += min(1.0, pair) * weight * (forth + back) / 2
    return total / len(v)


def tokenwise(given: Given) -> float:
    patches, words = given["patches"], real_words(given)
    by_patches = [[mean([max(dot(p, w) for w in ws) for p in ps]) for ws in words] for ps in patches]
    by_words = [[mean([max(dot(p, w) for p in ps) for w in ws]) for ws in words] for ps in patches]
    n = len(patches)
    forth = mean([surprise([by_patches[i][j] / 0.5 for j in range(n)], i) for i in range(n)])
    back = mean([surprise([by_words[i][j] / 0.5 for i in range(n)], j) for j in range(n)])
    return (forth + back) / 2


def real_words(given: Given) -> list[list[Vector]]:
    return [
        [word for word, real in zip(words, mask, strict=True) if real]
        for words, mask in zip(given["words"], given["word_mask"], strict=True)
    ]


def smooth_match(given: Given) -> float:
    v, t, soft = given["v"], given["t"], 0.1 * given["progress"]
    n = len(v)
    total = 0.0
    for one, other in ((v, t), (t, v)):
        for i in range(n):
            for j in range(n):
                share = 1 - soft if i == j else soft / (n - 1)
                total += share * surprise([dot(one[i], each) / 0.5 for each in other], j) / (2 * n)
    matched = []
    for patches, words in zip(given["patches"], real_words(given), strict=True):
        pairs = [[dot(w, p) for p in patches] for w in words]
        ways = permutations(range(len(patches)), len(words))
        matched.append(max(mean([pairs[w][p] for w, p in enumerate(way)]) for way in ways))
    return total + 0.1 * (1 - mean(matched))


def mixup(given: Given) -> float:
    v, t, share = given["v"], given["t"], given["mix"]
    mixed = []
    for a, b in zip(v, t, strict=True):
        angle = math.acos(dot(a, b))
        mixed.append(
            [
                (math.sin((1 - share) * angle) * x + math.sin(share * angle) * y) / math.sin(angle)
                for x, y in zip(a, b, strict=True)
            ]
        )
    hard = 0.0
    for side in (v, t):
        for i, a in enumerate(side):
            scores = [dot(v[i], t[i]) / 0.07 if i == j else dot(a, m) / 0.07 for j, m in enumerate(mixed)]
            hard += surprise(scores, i) / (2 * len(v))
    epoch = 1 + int(given["progress"] * 9)
    return contrast(v, t) + 0.01 / epoch * hard


def confusion(given: Given) -> float:
    v, classes = given["v"], given["classes"]
    there = sorted(set(classes))
    apart = [
        mean([squared(v[i], v[j]) for i in range(len(v)) if classes[i] == a for j in range(len(v)) if classes[j] == b])
        for a, b in product(there, there)
        if a != b
    ]
    return contrast(v, given["t"]) + 0.05 * mean(apart)


def margin(given: Given) -> float:
    total = 0.0
    for vectors in (given["v"], given["captions"]):
        for a, own in zip(vectors, given["classes"], strict=True):
            cosines = [dot(a, unit(centre)) for centre in given["weights"]["centres"]]
            cosines[own] = math.cos(math.acos(cosines[own]) + 0.3)
            total += surprise([16 * each for each in cosines], own) / len(vectors)
    return total


def queue(given: Given) -> float:
    apart = 0.0
    for small, large in zip(given["v"], given["teacher"], strict=True):
        wanted = shares([dot(large, each) / 0.05 for each in given["teacher_bank"]])
        found = shares([dot(small, each) / 0.05 for each in given["bank"]])
        apart += sum(p * math.log(p / q) for p, q in zip(wanted, found, strict=True)) / len(given["v"])
    return contrast(given["v"], given["t"]) + apart


def shares(scores: Sequence[float]) -> list[float]:
    total = sum(math.exp(each) for each in scores)
    return [math.exp(each) / total for each in scores]


def bank(given: Given) -> float:
    found = []
    for i, (a, b) in enumerate(zip(given["v"], given["t"], strict=True)):
        question = unit(plus(a, b))
        seen = [j for j in range(len(given["bank"])) if not given["hidden"][i][j]]
        scores = [dot(question, given["bank"][j]) / 0.5 for j in seen]
        found.append(surprise(scores, seen.index(given["targets"][i])))
    return mean(found)


def pseudo_token(given: Given) -> float:
    asked = [*given["v"], *given["pseudo"]]
    frozen = [*given["t"], *given["references"]]
    return mean([surprise([dot(a, b) / 0.5 for b in frozen], i) for i, a in enumerate(asked)])


def instruct(given: Given) -> float:
    return contrast(given["v"], given["t"]) + contrast(given["composed"], given["composed_targets"])


def order(given: Given) -> float:
    v, t = given["v"], given["t"]
    turned_texts = [each for own in given["text_negatives"] for each in own]
    turned_media = [each for own in given["media_negatives"] for each in own]
    forth = mean([surprise([dot(a, b) / 0.5 for b in [*t, *turned_texts]], i) for i, a in enumerate(v)])
    back = mean([surprise([dot(a, b) / 0.5 for b in [*v, *turned_media]], i) for i, a in enumerate(t)])
    return (forth + back) / 2


def own_negatives(given: Given) -> float:
    v, t = given["v"], given["t"]
    forth = mean([surprise([dot(a, b) / 0.5 for b in [*t, *given["text_negatives"][i]]], i) for i, a in enumerate(v)])
    back = mean([surprise([dot(a, b) / 0.5 for b in v], i) for i, a in enumerate(t)])
    return (forth + back) / 2


def attribute_regions(given: Given) -> float:
    found = []
    for a, attribute in enumerate(given["attributes"]):
        projection = given["weights"]["projections"][a]
        best = [
            max(dot(unit([dot(row, patch) for row in projection]), attribute) / 0.5 for patch in patches)
            for patches in given["patches"]
        ]
        without = [score for score, has in zip(best, given["has"], strict=True) if not has[a]]
        found += [surprise([score, *without], 0) for score, has in zip(best, given["has"], strict=True) if has[a]]
    return mean(found)


def region_descriptions(given: Given) -> float:
    boxes = 0.0
    for (a, b, c, d), (e, f, g, h) in zip(given["boxes"], given["boxes_said"], strict=True):
        sides = abs(a - e) + abs(b - f) + abs(c - g) + abs(d - h)
        both = max(0.0, min(c, g) - max(a, e)) * max(0.0, min(d, h) - max(b, f))
        union = (c - a) * (d - b) + (g - e) * (h - f) - both
        around = (max(c, g) - min(a, e)) * (max(d, h) - min(b, f))
        boxes += (sides + 1 - (both / union - (around - union) / around)) / len(given["boxes"])
    return contrast(given["v"], given["t"]) + contrast(given["composed"], given["composed_targets"]) + boxes


def blocks(given: Given) -> float:
    where = [
        surprise([dot(patch, text) / 0.5 for patch in patches], own)
        for patches, text, own in zip(given["patches"], given["t"], given["block"], strict=True)
    ]
    return contrast(given["v"], given["t"]) + mean(where)


def captioning(given: Given) -> float:
    weights = given["weights"]
    found = []
    for v, ids, mask in zip(given["v"], given["word_ids"], given["word_mask"], strict=True):
        said: list[Vector] = [weights["words.weight"][-1]]
        for id_, real in zip(ids, mask, strict=True):
            state = [*middle(said), *v]
            layer = [
                gelu(dot(row, state) + b) for row, b in zip(weights["layer.weight"], weights["layer.bias"], strict=True)
            ]
            scores = [dot(row, layer) + b for row, b in zip(weights["out.weight"], weights["out.bias"], strict=True)]
            found += [surprise(scores, id_)] if real else []
            said.append(weights["words.weight"][id_])
    return contrast(given["v"], given["t"]) + 2 * mean(found)


def gelu(x: float) -> float:
    return x / 2 * (1 + math.erf(x / math.sqrt(2)))


def guided_mask(given: Given) -> float:
    weights, apart = given["weights"], []
    for patches, text in zip(given["patches"], given["t"], strict=True):
        places = sorted(range(len(patches)), key=lambda p: -dot(patches[p], text))
        hidden = places[: round(0.5 * len(patches))]
        left = unit([sum(column) for column in zip(*(patches[p] for p in places[len(hidden) :]), strict=True)])
        state = [*left, *text]
        told = unit(
            [dot(row, state) + b for row, b in zip(weights["layer.weight"], weights["layer.bias"], strict=True)]
        )
        apart += [1 - dot(patches[p], told) for p in hidden]
    return contrast(given["v"], given["t"]) + mean(apart)


def masking(given: Given) -> float:
    """All patches have the same chance where they are looked at alike, and of two kept of two the drawn are the best."""
    total = 0.0
    for _ in range(2):
        pooled = [unit(middle(patches)) for patches in given["patches"]]
        total += contrast(pooled, given["t"]) / 2
    return total


def score(given: Given) -> float:
    errors = []
    for v, t, noise, (left,) in zip(given["v"], given["t"], given["noise"], given["left"], strict=True):
        noisy = [math.sqrt(left) * x + math.sqrt(1 - left) * e for x, e in zip(v, noise, strict=True)]
        told = [
            math.sqrt(1 - left) * (x - math.sqrt(left) * y) / (1 - left + left * 0.1**2)
            for x, y in zip(noisy, t, strict=True)
        ]
        errors.append(squared(noise, told) / len(v))
    return contrast(given["v"], given["t"]) + 0.01 * mean(errors)


def dtw(given: Given) -> float:
    """By all ways through both, each written out: the softened minimum over steps is minus the log of a sum over ways."""
    sequences = real_words(given)
    n = len(sequences)
    scores = [[_through(ps, ws) for ws in sequences] for ps in given["patches"]]
    forth = mean([surprise([scores[i][j] / 0.5 for j in range(n)], i) for i in range(n)])
    back = mean([surprise([scores[i][j] / 0.5 for i in range(n)], j) for j in range(n)])
    return (forth + back) / 2


def _through(patches: Sequence[Vector], words: Sequence[Vector]) -> float:
    last = (len(patches) - 1, len(words) - 1)

    def ways(at: tuple[int, int]) -> list[float]:
        cost = 1 - dot(patches[at[0]], words[at[1]])
        if at == last:
            return [cost]
        steps = [(at[0] + 1, at[1]), (at[0], at[1] + 1), (at[0] + 1, at[1] + 1)]
        return [cost + rest for to in steps if to[0] <= last[0] and to[1] <= last[1] for rest in ways(to)]

    least = -0.1 * math.log(sum(math.exp(-each / 0.1) for each in ways((0, 0))))
    return 1 - least / (len(patches) + len(words) - 1)


def adversarial(given: Given) -> float:
    v, t, step = given["v"], given["t"], 1e-6
    moved = []
    for i, a in enumerate(v):
        slope = []
        for k in range(len(a)):
            ends = [
                [*v[:i], plus(a, [float(k == m) for m in range(len(a))], times=s), *v[i + 1 :]] for s in (step, -step)
            ]
            slope.append((contrast(ends[0], t) - contrast(ends[1], t)) / (2 * step))
        moved.append(unit(plus(a, unit(slope), times=0.1)))
    return contrast(v, t) + contrast(moved, t)


def short_captions(given: Given) -> float:
    """In one direction, which is found by multiplying on and on."""
    v = given["v"]
    centre = middle(v)
    rest = [plus(a, centre, times=-1) for a in v]
    direction = [1.0, 0.5, 0.25, 0.125][: len(centre)]
    for _ in range(2_000):
        direction = unit([sum(dot(r, direction) * r[k] for r in rest) for k in range(len(direction))])
    coarse = [unit(plus(centre, direction, times=dot(r, direction))) for r in rest]
    return contrast(v, given["t"]) + 0.1 * contrast(coarse, given["captions"])


def experts(given: Given) -> float:
    gates = given["gates"]
    n = len(gates[0])
    first = [mean([float(max(range(n), key=each.__getitem__) == e) for each in gates]) for e in range(n)]
    uneven = n * sum(first[e] * mean([each[e] for each in gates]) for e in range(n))
    return contrast(given["v"], given["t"]) + 0.01 * uneven


def inherited(given: Given) -> float:
    kept = mean([squared(a, b) for a, b in zip(given["v"], given["teacher"], strict=True)])
    return contrast(given["v"], given["t"]) + (1 - given["progress"]) * kept


def rewritten(given: Given) -> float:
    chosen = [
        c if dot(v, c) > dot(v, t) else t for v, t, c in zip(given["v"], given["t"], given["captions"], strict=True)
    ]
    return contrast(given["v"], chosen)


PLAIN: dict[str, Callable[[Given], float]] = {
    "infonce": lambda given: contrast(given["v"], given["t"], share=0.75),
    **{
        each.__name__: each
        for each in (
            *(anchored, gated, tokenwise, smooth_match, mixup, confusion, margin, queue, bank, pseudo_token, instruct),
            *(order, own_negatives, attribute_regions, region_descriptions, blocks, captioning, guided_mask, masking),
            *(score, dtw, adversarial, short_captions, experts, inherited, rewritten),
        )
    },
}
