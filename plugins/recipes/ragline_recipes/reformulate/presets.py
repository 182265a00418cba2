"""The reformulators that are an instruction and a few numbers: one more is a prompt, and an entry here and in pyproject.toml."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from rag.writing import Recipe
from ragline_recipes.reformulate.expand import Expander
from ragline_recipes.reformulate.genqr import GenQR
from ragline_recipes.reformulate.genqr_feedback import GenQRWithFeedback
from ragline_recipes.reformulate.lines import LinesReformulator
from ragline_recipes.reformulate.preset import Preset, component_of


def lines(about: str, *, prompt: str, n: int, max_tokens: int = 128, n_is: str, all_wanted: bool = False) -> Preset:
    """Queries that a model writes, one a line."""
    return Preset(
        about=about,
        component=LinesReformulator,
        defaults={"n": n, "prompt": prompt, "max_tokens": max_tokens},
        attributes={"all_wanted": all_wanted},
        meanings={"n": n_is},
    )


def expander(
    about: str,
    *,
    fixed: Mapping[str, Any],
    meanings: Mapping[str, str],
    attributes: Mapping[str, Any] | None = None,
    **defaults: Any,
) -> Preset:
    """The query with what a model writes about it."""
    return Preset(
        about=about,
        component=Expander,
        defaults=defaults,
        fixed=fixed,
        attributes=attributes or {},
        meanings=meanings,
    )


def keywords(about: str, *, joined: bool, feedback: bool = False) -> Preset:
    """Keywords by several wordings of one instruction, joined in one query or each in a query of its own."""
    return Preset(
        about=about,
        component=GenQRWithFeedback if feedback else GenQR,
        attributes={"joined": True, "one_per_query": True} if joined else {},
    )


PRESETS: Mapping[str, Preset] = {
    "multi_query": lines(
        """Several wordings of one query, to be retrieved and fused (RAG-Fusion: Rackauckas 2024, arXiv 2402.03367).

        The model is asked for one wording per line. Fewer wordings than asked for is outcome `repaired`.
        """,
        prompt="multi_query",
        n=3,
        n_is="wordings asked for.",
        all_wanted=True,
    ),
    "step_back": lines(
        """A more general question whose answer helps with the asked one (Step-Back: Zheng et al., ICLR 2024, arXiv 2310.06117).

        Both questions are retrieved; fuse them, and generate from the asked one.
        """,
        prompt="step_back",
        n=1,
        max_tokens=64,
        n_is="general questions, at most.",
    ),
    "decompose": lines(
        """Sub-questions of a question that has several parts, each retrieved for itself (Press et al. 2023, arXiv 2210.03350).

        The model decides how many there are, up to `n`; a question that it gives back unchanged stays alone.
        """,
        prompt="decompose",
        n=4,
        n_is="sub-questions, at most.",
    ),
    "tool_query": lines(
        """One search query per tool that a request needs, in the manner of a catalogue (zero-shot form of arXiv 2412.03573).

        The request itself is one of the queries, so a reply that cannot be read costs nothing but itself. Follow it with a
        retriever over tool descriptions and `fuse.interleave`.
        """,
        prompt="tool_query",
        n=8,
        max_tokens=256,
        n_is="tools, at most.",
    ),
    "hyde": expander(
        """Hypothetical documents (HyDE: Gao et al., ACL 2023, arXiv 2212.10496): dense search by passages not yet found.

        The model writes `n` passages that would answer the query. Dense legs search with the mean of the query's vector
        and theirs, 1 / (n + 1) each; the passages are encoded as documents. With a model of unit vectors every vector is
        normalised before the mean, which the paper's was not. Lexical legs see the plain query.
        """,
        attributes={"stop": ("\n\n\n",)},
        fixed={"index": None, "repeat": 1.0, "separator": "", "top_p": 1.0},
        n=8,
        prompt="hyde",
        max_tokens=512,
        temperature=0.7,
        meanings={
            "n": "passages; each is one call.",
            "prompt": "name or path of a prompt with the variable query. The paper has one per task: hyde, hyde_claim, "
            "hyde_counterargument, hyde_abstract, hyde_finance, hyde_entity, hyde_news.",
            "max_tokens": "most tokens of a passage.",
            "temperature": "above 0 if n is above 1.",
            "seed": "of the first passage; the others count up from it.",
        },
    ),
    "sl_hyde": expander(
        """One greedy hypothetical document, averaged half and half with the query (SL-HyDE's inference, arXiv 2410.20050).

        The method's gain comes from a generator and an encoder that were trained on the corpus; with others this is HyDE
        with n = 1. The document is encoded as a document, without the query's instruction. Lexical legs see the plain query.
        """,
        fixed={"index": None, "n": 1, "repeat": 1.0, "separator": "", "temperature": 0.0, "top_p": 1.0, "seed": 0},
        prompt="sl_hyde",
        max_tokens=512,
        meanings={
            "prompt": "name or path of a prompt with the variable query: sl_hyde answers a question, sl_hyde_title expands "
            "a title, sl_hyde_similar writes a text like the given one.",
            "max_tokens": "most tokens of the document.",
        },
    ),
    "query2doc": expander(
        """The query with one pseudo-document behind it (Query2doc: Wang et al., EMNLP 2023, arXiv 2303.07678).

        The prompt shows four queries with their passages; `prompt: hyde` asks without examples. Lexical legs count each
        term of the query `repeat` times beside those of the passage; dense legs encode query and passage as one query.
        """,
        attributes={"joined": True},
        fixed={"n": 1, "top_p": 1.0},
        repeat=5.0,
        prompt="query2doc",
        meanings={
            "index": "the index whose analyzer makes the terms.",
            "repeat": "weight of the query's terms where those of the passage count 1; 5 suits passages of 60 to 100 words.",
            "separator": "what stands between query and passage for dense legs; BERT encoders read [SEP] as their own mark.",
            "max_tokens": "most tokens of the passage.",
            "temperature": "0 writes the likeliest passage.",
            "seed": "of the sampling.",
        },
    ),
    "think": expander(
        """Thoughts about the query, each embedded with it (O1 Embedder's inference form, arXiv 2502.07555).

        Dense legs search with the mean over thoughts of the vector of "query thought"; equal thoughts are encoded once and
        weigh as often as they came. An empty thought is none: in its place stands the bare query. The paper's model is
        trained to think and embed at once; with others this is only its shape, near to HyDE without document style. Lexical
        legs see the plain query.
        """,
        attributes={"joined": True},
        fixed={"index": None, "repeat": 1.0},
        n=3,
        prompt="think",
        temperature=0.1,
        top_p=0.9,
        meanings={
            "llm": "the model that thinks.",
            "n": "thoughts; each is one call.",
            "separator": "what stands between query and thought.",
            "max_tokens": "most tokens of a thought.",
            "temperature": "above 0 if n is above 1.",
            "seed": "of the first thought; the others count up from it.",
        },
    ),
    "code": expander(
        """Example programs for a query to a code search (GAR, the query side of ReCo: ACL 2024, arXiv 2401.04514).

        The prompt shows four descriptions with their code. Query and programs weigh half each: lexical legs count the
        query's terms as often as there are programs, dense legs average unit vectors, programs encoded as documents.
        """,
        attributes={"halved": True, "writes": "code"},
        fixed={"repeat": 1.0, "separator": ""},
        n=4,
        prompt="code_example",
        max_tokens=256,
        top_p=0.99,
        meanings={
            "index": "the index whose analyzer makes the terms.",
            "n": "programs; each is one call.",
            "max_tokens": "most tokens of a program.",
            "temperature": "above 0 if n is above 1.",
            "seed": "of the first program; the others count up from it.",
        },
    ),
    "genqr_ensemble": keywords(
        """Keywords by ten wordings of one instruction, all appended to the query (GenQREnsemble: ECIR 2024, arXiv 2404.03746).

        A term weighs as often as it was written, over all keyword sets: agreement is the signal, so nothing is taken out.
        The paper samples with top-k 200 and repetition penalty 1.2 as well, which are not offered here. A reproduction
        with 7B models lost to plain BM25 on several sets: compare with `reformulate.query2doc`.
        """,
        joined=True,
    ),
    "genqr_fusion": keywords(
        """One query per instruction, to be retrieved and fused (GenQRFusion: arXiv 2405.17658).

        The paper's fusion is not known here; follow it with a retriever of k 1000 and `fuse.rrf` (constant 60).
        """,
        joined=False,
    ),
    "genqr_ensemble_rf": keywords(
        """GenQREnsemble with feedback documents before every instruction (GenQREnsemble-RF, arXiv 2404.03746).""",
        joined=True,
        feedback=True,
    ),
    "genqr_fusion_rf": keywords(
        """GenQRFusion with feedback documents before every instruction (arXiv 2405.17658).""",
        joined=False,
        feedback=True,
    ),
}

_RECIPES: Mapping[str, tuple[str, str]] = {
    "code": ("ReCo", "Li et al., ACL 2024, arXiv 2401.04514"),
    "genqr": ("GenQREnsemble and GenQRFusion", "Dhole and Agichtein, ECIR 2024, arXiv 2404.03746 and 2405.17658"),
    "sl_hyde": ("SL-HyDE (AutoMIR)", "Li et al., Findings of EMNLP 2025, arXiv 2410.20050"),
    "think": ("O1 Embedder", "Yan et al., arXiv 2502.07555"),
    "tool_query": ("Tool retrieval by query generation", "Kachuee et al., COLING 2025 Industry, arXiv 2412.03573"),
}


@cache
def __getattr__(name: str) -> type[Any]:
    """The class of a preset, made when it is first asked for."""
    if name not in PRESETS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = component_of(PRESETS[name], name=name, module=__name__)
    if said := _RECIPES.get("genqr" if name.startswith("genqr_") else name):
        made.recipe = Recipe(system=said[0], source=said[1])
    return made
