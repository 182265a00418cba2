"""What a model must be able to do, and whether it can: some methods are there in name, and serve only some instances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from rag.core import llm_protocols, protocols
from rag.core.contents import TEXT_ALONE
from rag.core.llm_protocols import CanKeepForms, KnowsItsLimits
from rag.core.load import TellsLoad
from rag.core.memory import TellsMemory
from rag.core.protocols import LLM, ChoosingLLM, ScoringLLM


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """A small protocol that a part may keep, and what that means in words: "a model that can ..."."""

    protocol: Any
    words: str

    @property
    def members(self) -> frozenset[str]:
        """Methods and attributes that the protocol asks for."""
        kept = {
            name for base in self.protocol.__mro__ for name in (*vars(base), *vars(base).get("__annotations__", ()))
        }
        return frozenset(name for name in kept if not name.startswith("_"))

    def kept_by(self, component: type[Any]) -> bool:
        """Whether every instance of a class keeps the protocol, as far as its class says."""
        return all(any(name in vars(base) for base in component.__mro__) for name in self.members)


LLM_POWERS = {
    "choose": Power(protocol=llm_protocols.CanChoose, words="choose from a closed list"),
    "score": Power(protocol=llm_protocols.CanScore, words="score given texts"),
    "stream": Power(protocol=llm_protocols.CanStream, words="write piece by piece"),
    "weights": Power(protocol=llm_protocols.HasWeights, words="lend its weights"),
}
"""Method -> the power that has it, of what a component may ask of its model."""

POWERS = {
    **LLM_POWERS,
    "keep forms": Power(protocol=llm_protocols.CanKeepForms, words="hold an answer to a form"),
    "stream together": Power(protocol=llm_protocols.CanStreamTogether, words="write open streams in one batch"),
    "join calls": Power(protocol=llm_protocols.JoinsCalls, words="work on calls of several threads in one batch"),
    "stream answers": Power(protocol=protocols.CanStreamAnswers, words="hand out an answer piece by piece"),
    "read kinds": Power(protocol=protocols.ReadsKinds, words="say which kinds of content it reads"),
    "show kinds": Power(protocol=protocols.ShowsKinds, words="put bytes of contents before a model that looks at them"),
    "look at contents": Power(
        protocol=protocols.LooksAtContents, words="look at bytes of contents before they are indexed"
    ),
    "sample": Power(protocol=protocols.CanSample, words="write with a caller's sampling"),
    "read ahead": Power(protocol=protocols.CanReadAhead, words="read documents before anybody asks"),
    "keep states": Power(protocol=protocols.KeepsStates, words="keep what a model made of documents"),
    "search a leg": Power(protocol=protocols.SearchesLeg, words="search one leg of the index"),
    "score documents": Power(protocol=protocols.ScoresDocuments, words="score documents that it did not find"),
    "want scores": Power(protocol=protocols.WantsScores, words="have its lists completed before it fuses them"),
    "explain hits": Power(protocol=protocols.ExplainsHits, words="say of what parts a score is the sum"),
    "explain fusion": Power(protocol=protocols.ExplainsFusion, words="say what each list adds to a score"),
    "one per query": Power(protocol=protocols.WritesOnePerQuery, words="write one query for each query"),
    "know its room": Power(protocol=protocols.KnowsItsRoom, words="say how many tokens of passages fit"),
    "check sources": Power(protocol=protocols.ChecksSources, words="check the nodes that its parameters name"),
    "warm up": Power(protocol=protocols.CanWarmUp, words="load before the first call"),
    "load beside": Power(protocol=protocols.CanLoadBeside, words="load while other work is done"),
    "release": Power(protocol=protocols.CanRelease, words="give back its memory"),
    "tell memory": Power(protocol=TellsMemory, words="say what memory it needs"),
    "tell load": Power(protocol=TellsLoad, words="say what it works on now"),
    "describe": Power(protocol=protocols.CanDescribe, words="say what its output depends on beside its parameters"),
    "load models": Power(protocol=protocols.LoadsModels, words="name the models that it loads"),
    "sign": Power(protocol=llm_protocols.SignsItsWork, words="say which weights wrote a text"),
    "say what it computes in": Power(protocol=protocols.ComputesIn, words="say which data type and device it came to"),
    "say its state": Power(protocol=llm_protocols.SaysState, words="say whether it is there"),
}
"""What a part can do beyond its stage's protocol. `rag list` prints them; a new one is one protocol and one line."""


class LacksPower(ValueError):
    """A model cannot do what a component asks of it. `methods`: what it would need; the graph's check names who has it."""

    def __init__(self, message: str, *, methods: Sequence[str]) -> None:
        self.methods = tuple(methods)
        super().__init__(message)


def reads_of(part: object) -> frozenset[str]:
    """The kinds of content that a part reads: text alone where it does not say."""
    return part.reads if isinstance(part, protocols.ReadsKinds) else TEXT_ALONE


def lacking(llm: object, methods: Iterable[str]) -> dict[str, str]:
    """Those of `methods` that the model cannot serve -> why, as it says; empty where it has no such method."""
    known = llm.lacks if isinstance(llm, KnowsItsLimits) else {}
    return {
        name: known.get(name, "") for name in methods if name in known or not isinstance(llm, LLM_POWERS[name].protocol)
    }


def in_words(methods: Iterable[str]) -> str:
    """What these methods are for: "choose from a closed list and score given texts"."""
    return " and ".join(LLM_POWERS[name].words for name in sorted(methods))


def require_choosing(llm: LLM, *, by: str, instead: str = "") -> ChoosingLLM:
    """The same model, known to choose from a closed list.

    Args:
        instead: a sentence on what can be done without.

    Raises:
        LacksPower: it cannot.
    """
    _require("choose", llm, by, instead)
    return cast(ChoosingLLM, llm)


def require_scoring(llm: LLM, *, by: str) -> ScoringLLM:
    """The same model, known to score given texts.

    Raises:
        LacksPower: it cannot.
    """
    _require("score", llm, by, "")
    return cast(ScoringLLM, llm)


def kept_forms(llm: LLM) -> frozenset[str]:
    """The forms, of choices, regex and json_schema, that the model can be held to."""
    return llm.keeps_forms if isinstance(llm, CanKeepForms) else frozenset()


def _require(method: str, llm: LLM, by: str, instead: str) -> None:
    missing = lacking(llm, [method])
    if missing:
        why = f" ({missing[method]})" if missing[method] else ""
        said = f"{by} needs a model that can {in_words([method])}; this one cannot{why}. {instead}"
        raise LacksPower(said.rstrip(), methods=(method,))
