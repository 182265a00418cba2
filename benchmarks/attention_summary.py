"""The attention reranker's figures beside their targets, from the recorded lines alone; writes nothing, asks no model.

What is missing is said to be missing. Quality is of the last head sets and setups that each method was run with, over
the queries of the committed samples that both methods have; what was run on all judged queries is told once more below.

    python -m benchmarks.attention_summary
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.attention import WORK
from benchmarks.make_samples import JUDGEMENTS, read_sample
from benchmarks.record import latest
from benchmarks.work_lines import Work
from rag.evaluate.significance import Significance, holm, paired_randomisation

Values = dict[str, dict[tuple[str, str], float]]
"""Method -> (set, qid) -> nDCG@10."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """`met`: None where the target is only to be printed."""

    what: str
    target: str
    found: str
    met: bool | None = None

    def __str__(self) -> str:
        verdict = "" if self.met is None else "met" if self.met else "missed"
        return f"| {self.what} | {self.target} | {self.found} | {verdict} |"


def read_values(work: Work) -> Values:
    """Of every method and set the lines with the setup that came last."""
    return {
        method: {(name, line["qid"]): line["nDCG@10"] for name in JUDGEMENTS for line in work.latest(method, name)}
        for method in work.methods
    }


def sampled(values: Values) -> Values:
    """Without what lies outside the committed lists."""
    samples = {(name, qid) for name in JUDGEMENTS for qid in read_sample(name)}
    return {method: {at: v for at, v in found.items() if at in samples} for method, found in values.items()}


def against(values: Values, method: str, baseline: str) -> Significance | None:
    shared = sorted(set(values.get(method, {})) & set(values.get(baseline, {})))
    if not shared:
        return None
    return paired_randomisation([values[method][at] for at in shared], [values[baseline][at] for at in shared])


def worse_sets(values: Values, method: str, baseline: str) -> list[str]:
    """Sets on which the method is significantly below the baseline, corrected over the sets."""
    found = {}
    for name in JUDGEMENTS:
        some = {each: {at: v for at, v in values[each].items() if at[0] == name} for each in (method, baseline)}
        tested = against(some, method, baseline)
        if tested is not None:
            found[name] = tested
    corrected = holm([each.p for each in found.values()])
    return [name for (name, each), p in zip(found.items(), corrected, strict=True) if each.difference < 0 and p < 0.05]


def told(found: Significance, n: int) -> str:
    return f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}], p {found.p:.3f}, n {n}"


def gain(
    values: Values, what: str, method: str, baseline: str, target: str, met: Callable[[float], bool] | None
) -> Row:
    found = against(values, method, baseline)
    if found is None:
        return Row(what=what, target=target, found="not measured")
    return Row(
        what=what,
        target=target,
        found=told(found, len(set(values[method]) & set(values[baseline]))),
        met=None if met is None else met(found.difference),
    )


def time_rows() -> Iterator[Row]:
    line = latest("attention_latency")
    if line is None:
        yield Row(what="latency", target="", found="not measured")
        return
    seconds, few = line["seconds"], line.get("at_eager") or {}
    cold = seconds["icr"] / seconds["cold"]
    yield Row(what="cold, against (a) at 40", target=">= 4x, aim 6x", found=f"{cold:.1f}x", met=cold >= 4)
    for name, ratio in (
        ("(b) eager attention, at 20", few and few["eager"] / few["cold"]),
        ("(c) listwise, at 40", seconds.get("listwise", 0) / seconds["cold"]),
    ):
        what = f"cold, against {name}"
        yield (
            Row(what=what, target=">= 10x", found=f"{ratio:.1f}x", met=ratio >= 10)
            if ratio
            else Row(what=what, target=">= 10x", found="not measured")
        )
    warm = seconds["icr"] / seconds["warm"]
    yield Row(what="warm, against (a) at 40", target=">= 35x, aim 100x", found=f"{warm:.0f}x", met=warm >= 35)
    exponent = line.get("exponent")
    if exponent is not None:
        yield Row(what="growth of cold time, exponent", target="<= 1.05", found=f"{exponent:.2f}", met=exponent <= 1.05)


def profile_rows() -> Iterator[Row]:
    line = latest("attention_profile")
    if line is not None:
        share = float(line["outside_products"])
        yield Row(what="time outside matrix products, cold", target="< 25%", found=f"{share:.1%}", met=share < 0.25)


def quality_rows(values: Values) -> Iterator[Row]:
    yield gain(values, "alone, against (a), shuffled", "alone", "icr-shuffled", ">= +0.15", lambda found: found >= 0.15)
    yield gain(values, "alone, against (a), in order", "alone", "icr", "aim > 0", None)
    changes = [
        abs(values["alone"][at] - value)
        for method in ("alone-shuffled", "alone-reversed")
        for at, value in values.get(method, {}).items()
        if at in values.get("alone", {})
    ]
    if changes:
        most = max(changes)
        yield Row(
            what="alone, change when shuffled or reversed", target="< 0.001", found=f"{most:.4f}", met=most < 0.001
        )
    yield gain(values, "(a), change when shuffled", "icr-shuffled", "icr", "printed", None)
    for method, baseline, least in (("fused", "identity", 0.02), ("hybrid-fused", "hybrid", 0.01)):
        enough = partial(operator.le, least)
        row = gain(values, f"{method}, against {baseline}", method, baseline, f">= {least:+}", enough)
        yield row
        if row.met is not None:
            worse = worse_sets(values, method, baseline)
            told_of = ", ".join(worse) or "none"
            yield Row(what=f"{method}: sets significantly worse", target="none", found=told_of, met=not worse)
    yield gain(values, "fused, against alone", "fused", "alone", "> 0", lambda found: found > 0)
    for what, method in (("from unjudged queries", "alone"), ("from the corpus alone", "alone-free")):
        named = f"heads {what}, against judgements"
        yield gain(values, named, method, "alone-judged", "within 0.01, or above", lambda found: found >= -0.01)
    yield gain(
        values, "states as int8, against bfloat16", "alone-int8", "alone", "within 0.003", lambda f: abs(f) <= 0.003
    )


def means(values: Values) -> Iterator[str]:
    """A line for every method: nDCG@10 on each set, their mean, and how many queries."""
    for method, found in values.items():
        by_set = {name: [v for at, v in found.items() if at[0] == name] for name in JUDGEMENTS}
        cells = " | ".join(f"{np.mean(each):.3f}" if each else "-" for each in by_set.values())
        mean = np.mean([np.mean(each) for each in by_set.values() if each])
        yield f"| {method} | {cells} | {mean:.3f} | {len(found)} |"


def main() -> None:
    everything = read_values(Work(WORK))
    values = sampled(everything)
    print("| | target | measured | |", "| --- | --- | --- | --- |", sep="\n")
    print(*time_rows(), *profile_rows(), *quality_rows(values), sep="\n")
    print("", *means(values), sep="\n")
    whole = {method: found for method, found in everything.items() if len(found) > len(values[method])}
    if whole:
        print("\nall judged queries:", *means(whole), sep="\n")
    for method, first in (("alone", "identity"), ("fused", "identity"), ("hybrid-fused", "hybrid")):
        if {method, first} <= set(whole):
            print(gain(whole, f"{method}, against {first}", method, first, "printed", None))
            print(f"  significantly worse: {', '.join(worse_sets(whole, method, first)) or 'none'}")


if __name__ == "__main__":
    main()
