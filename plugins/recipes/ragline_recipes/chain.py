"""The steps of a question, planned at once, each asked with what those before it told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import prompts
from rag.protocols import LLM, Subgraph
from rag.types import Answer, Query, SamplingParams
from rag.writing import (
    Written,
    in_one_line,
    parse_wordings,
    require_positive,
    require_sampling,
    without_markers,
    without_reasoning,
    write,
)
from ragline_recipes.notes import FromNotes, Notes

_REFERENCE = re.compile(r"#(\d{1,2})\b")
_LABEL = re.compile(r"^#\d{1,2}\s*[:.)]\s*")  # "#1: Which team won?" numbers a step as it is referred to
_LONGEST = 160  # characters of an answer that stands in another question


@dataclass(slots=True, kw_only=True)
class _Steps(Notes):
    """Notes, and the steps that are planned. `told`: step -> what its answer says in short; None where it has none."""

    steps: list[str] = field(default_factory=list)
    told: dict[int, str | None] = field(default_factory=dict)

    def planned(self, written: Written, n: int) -> None:
        """Take the steps of a reply; the question itself where it has none that can be asked first."""
        self.usage += written.usage
        self.steps = [_LABEL.sub("", step) for step in parse_wordings("".join(written.texts), n=n, but_not="")]
        if all(self._needed(step) for step in range(len(self.steps))):  # none, or none that can be the first
            self.counts["unplanned"] += 1
            self.steps = [self.query.asked]

    def ready(self) -> list[int]:
        """Steps that were not asked yet and whose references are answered. Where one cannot be, the step is left out."""
        found = []
        for step in range(len(self.steps)):
            needed = self._needed(step)
            if step in self.told:
                continue
            if any(not 0 <= other < step or (other in self.told and self.told[other] is None) for other in needed):
                self.told[step] = None
                self.counts["left_out"] += 1
            elif all(other in self.told for other in needed):
                found.append(step)
        return found

    def question(self, step: int) -> str:
        """A step with the answers that it refers to."""
        return _REFERENCE.sub(lambda reference: self.told[int(reference.group(1)) - 1] or "", self.steps[step])

    def learn(self, step: int, question: str, answer: Answer) -> None:
        """Note a step's answer."""
        self.add(question, answer)
        said = in_one_line(without_markers(answer.text)).rstrip(".")
        self.told[step] = said[:_LONGEST] if answer.status == "answered" and said else None

    def _needed(self, step: int) -> list[int]:
        return [int(number) - 1 for number in _REFERENCE.findall(self.steps[step])]


class ChainGenerator:
    """The steps of a question, each asked with what those before it told (Khot et al., ICLR 2023, arXiv 2210.02406).

    The model splits the question once into steps of one fact each; a step writes #1 where the answer of the first belongs
    (the form of MuSiQue: Trivedi et al., TACL 2022, arXiv 2108.00573). An inner graph answers every step as soon as what
    it refers to is known, and the answer is written from all of them. Two calls, and `steps` runs of the inner graph, at
    most. Steps of all queries of a batch that are ready are one batch of the inner graph.

    A step that refers to one without an answer is left out and counted; so is one that refers to itself or to a later
    one. Where the model plans nothing that can be asked first, the inner graph is asked the question itself, outcome
    `fallback`.

    Args:
        llm: the model that plans, and answers in the end.
        answers: the inner graph that answers one step; short answers serve best, for they stand in the next step.
        steps: steps, at most.
        plan_prompt: name or path of a prompt with the variables question and n.
        prompt: name or path of a prompt with the variables passages and question, and a refusal; notes are its passages.
        plan_tokens: most tokens of the plan.
        max_tokens: most tokens of the answer.
        temperature: 0 writes the likeliest plan and answer.
        seed: of the sampling, when the temperature is above 0.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        answers: Subgraph[Answer],
        steps: int = 4,
        plan_prompt: str = "chain",
        prompt: str = "answer_notes",
        plan_tokens: int = 128,
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        by = "generate.chain"
        require_positive(by, steps=steps, plan_tokens=plan_tokens, max_tokens=max_tokens)
        require_sampling(by, temperature=temperature)
        self.llm, self.answers, self.steps = llm, answers, steps
        self.plan = prompts.load(plan_prompt)
        self.plan.require("question", "n", by=by)
        self._planning = SamplingParams(max_tokens=plan_tokens, temperature=temperature, seed=seed)
        self._writer = FromNotes(llm=llm, prompt=prompt, max_tokens=max_tokens, temperature=temperature, seed=seed)

    def generate(self, queries: Sequence[Query]) -> list[Answer]:
        """One answer per query, in order. Its context has the passages that the inner answers cite."""
        chains = [_Steps(query=query) for query in queries]
        rendered = [[self.plan.render(question=query.asked, n=str(self.steps))] for query in queries]
        plans = write(self.llm, rendered, self._planning, read=without_reasoning) if queries else []
        for chain, written in zip(chains, plans, strict=True):
            chain.planned(written, self.steps)
        while asked := [
            (chain, step, chain.question(step))
            for chain in chains
            if not self.answers.spent(chain.query)
            for step in chain.ready()
        ]:
            answers = self.answers.run([chain.inner(question) for chain, _, question in asked])
            for (chain, step, question), answer in zip(asked, answers, strict=True):
                chain.learn(step, question, answer)
        return self._writer.answers(chains)
