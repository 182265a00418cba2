"""The pictures of docs/attention_reranking.md: nDCG of every head, nDCG by depth, seconds by candidates.

Head scores come from the work folder of `plugins.train.benchmarks.attention_heads` (what is missing is computed), seconds from the
last line of benchmarks/results/attention_latency.jsonl. Needs matplotlib: the extra [bench].

    RAGLINE_EVAL_DATA=... python -m plugins.train.benchmarks.attention_pictures [--limit 40] [--depth 40]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.icr_cost import default_llm
from benchmarks.make_samples import HEADS, JUDGEMENTS
from benchmarks.record import latest
from plugins.train.benchmarks.attention_heads import WORK, judged, kept_scores
from plugins.train.benchmarks.attention_steps import left_out
from rag.writing import EveryHead
from ragline_train.heads.search_heads import CaseScores
from ragline_train.heads.weighings import Example, ndcg, ndcg_per_head
from rerankers.attention.heads.head_sets import read_head_set

PICTURES = Path(__file__).parents[3] / "docs" / "pictures"
PENALTY = 0.05  # the one that cross-validation chooses at most depths
INK, ACCENT, QUIET = "#1d2b36", "#c8553d", "#8a979f"


def examples(scores: Sequence[CaseScores], heads: slice = slice(None), strength: float = 0.0) -> list[Example]:
    return [each.example(heads, strength) for each in scores]


def first_stage(by_set: Mapping[str, Sequence[CaseScores]]) -> float:
    """Mean over sets of nDCG@10 of the order that candidates came in."""
    means = [
        np.mean([ndcg(-np.arange(len(each.grades), dtype=np.float64), each.grades) for each in scores])
        for scores in by_set.values()
    ]
    return float(np.mean(means))


def draw_heads(axes: Any, plan: EveryHead, by_set: Mapping[str, Sequence[CaseScores]]) -> None:
    """Layers across, heads up, colour is nDCG@10 alone; those of the shipped set have a frame."""
    values = np.mean([ndcg_per_head(examples(scores, strength=1.0)) for scores in by_set.values()], axis=0)
    layers, heads = (max(each) + 1 for each in zip(*plan.names, strict=True))
    grid = np.full((heads, layers), np.nan)
    for (layer, head), value in zip(plan.names, values, strict=True):
        grid[head, layer] = value
    shown = axes.imshow(grid, cmap="cividis", origin="lower", aspect="auto")
    axes.figure.colorbar(shown, ax=axes, label="nDCG@10 of one head alone")
    shipped = read_head_set(HEADS / "all.json")
    for names, line in ((shipped.prior, ":"), (shipped.weights, "-")):
        for name in names:
            layer, head = map(int, name.split("-"))
            axes.add_patch(_frame(layer, head, line))
    axes.set(xlabel="layer", ylabel="head", xticks=range(0, layers, 2), yticks=range(heads))
    axes.set_title(
        "Few heads find documents (framed: read for the query; dotted: for the prior)", loc="left", color=INK
    )


def _frame(layer: int, head: int, line: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((layer - 0.5, head - 0.5), 1, 1, fill=False, edgecolor=ACCENT, linewidth=2, linestyle=line)


def draw_depths(axes: Any, plan: EveryHead, by_set: Mapping[str, Sequence[CaseScores]]) -> None:
    deepest = sorted({layer for layer, _ in plan.names})[2:]
    values = []
    for last in deepest:
        heads = slice(sum(layer <= last for layer, _ in plan.names))
        values.append(left_out({name: examples(scores, heads) for name, scores in by_set.items()}, "joint", PENALTY))
    axes.plot(
        deepest, values, marker="o", markersize=4, color=ACCENT, label="attention alone, heads found on other sets"
    )
    axes.axhline(first_stage(by_set), color=QUIET, linestyle="--", label="BM25's order")
    axes.axvline(read_head_set(HEADS / "all.json").deepest, color=QUIET, lw=0.8)
    axes.set(xlabel="deepest layer that is run", ylabel="nDCG@10, mean over sets", xticks=deepest[::2])
    axes.set_title("What each further layer brings (line: where the shipped set ends)", loc="left", color=INK)
    axes.legend(frameon=False, loc="lower right")


def draw_seconds(axes: Any, line: Mapping[str, Any]) -> None:
    cold = {int(n): seconds for n, seconds in line["by_depth"].items()} | {line["documents"]: line["seconds"]["cold"]}
    at_few = {name: {line["eager_documents"]: s} for name, s in line.get("at_eager", {}).items()}
    curves = {name: {**at_few.get(name, {}), line["documents"]: s} for name, s in line["seconds"].items()}
    curves["cold"] = {**at_few.get("cold", {}), **cold}
    if "eager" in at_few:
        curves["eager"] = at_few["eager"]
    names = {
        "eager": "eager attention, all layers kept",
        "listwise": "listwise, generated",
        "icr": "rerank.icr",
        "cold": "rerank.attention, cold",
        "warm": "rerank.attention, states kept",
    }
    for name, label in names.items():
        if name in curves:
            points = sorted(curves[name].items())
            colour = ACCENT if name in ("cold", "warm") else QUIET
            style = "--" if name == "warm" else "-"
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, color=colour, linestyle=style)
            below = -14 if name == "eager" else 4
            axes.annotate(label, points[-1], xytext=(6, below), textcoords="offset points", color=INK, fontsize=8)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="candidates",
        ylabel="seconds per query, two cores",
        xlim=(16, 1200),
        ylim=(0.01, 60),
    )
    axes.set_yticks([0.01, 0.1, 1, 10], labels=["0.01", "0.1", "1", "10"])
    axes.set_xticks([20, 40, 80, 160, 320], labels=["20", "40", "80", "160", "320"])
    axes.minorticks_off()
    axes.set_title("Seconds by number of candidates", loc="left", color=INK)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=40, help="queries per set, the first of its sample")
    parser.add_argument("--depth", type=int, default=40, help="candidates per query")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--to", type=Path, default=PICTURES)
    options = parser.parse_args()
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "ragline", "axes.spines.top": False, "axes.spines.right": False})
    from matplotlib import pyplot as plt

    llm, by_set = default_llm(options.model), dict[str, list[CaseScores]]()
    for name in JUDGEMENTS:
        cases = judged(name, depth=options.depth, limit=options.limit)
        plan, by_set[name] = kept_scores(llm, f"{name}-{options.depth}", cases, options.work)
    latency = latest("attention_latency")
    assert latency is not None, "python -m benchmarks.attention_latency --baselines --record comes first"
    drawings = {
        "heads_by_layer": lambda axes: draw_heads(axes, plan, by_set),
        "ndcg_by_layer": lambda axes: draw_depths(axes, plan, by_set),
        "seconds_by_depth": lambda axes: draw_seconds(axes, latency),
    }
    options.to.mkdir(parents=True, exist_ok=True)
    for name, draw in drawings.items():
        figure, axes = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
        draw(axes)  # type: ignore[no-untyped-call, unused-ignore]
        figure.savefig(options.to / f"attention_{name}.svg", metadata={"Date": None})
        plt.close(figure)  # type: ignore[no-untyped-call, unused-ignore]
        print(options.to / f"attention_{name}.svg")


if __name__ == "__main__":
    main()
