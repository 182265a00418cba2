"""Follow-up questions in rounds, each answered by an inner graph, and then the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import prompts
from rag.protocols import LLM, Subgraph
from rag.types import Answer, Prompt, Query, SamplingParams
from rag.writing import Written, parse_wordings, require_positive, require_sampling, without_reasoning, write
from ragline_recipes.notes import FromNotes, Notes

_NOTHING = "Nothing yet."
_WORD = re.compile(r"\w+")


@dataclass(slots=True, kw_only=True)
class _Rounds(Notes):
    """Notes, and which questions were asked: the words of each."""

    asked: set[tuple[str, ...]] = field(default_factory=set)
    going: bool = True

    def new(self, written: Written, n: int) -> list[str]:
        """The questions of a reply that were not asked before. Without one the rounds end, at first with the question itself."""
        self.usage += written.usage
        self.counts["rounds"] += 1
        fresh = []
        for text in parse_wordings("".join(written.texts), n=n, but_not=self.query.text):
            words = tuple(_WORD.findall(text.casefold()))
            if words in self.asked:
                self.counts["repeated"] += 1
            else:
                self.asked.add(words)
                fresh.append(text)
        self.going = bool(fresh)
        if not fresh and not self.notes:
            self.counts["unplanned"] += 1
            return [self.query.asked]
        return fresh


class FollowUpGenerator:
    """Follow-up questions in rounds, and then the answer (i-MedRAG: Xiong et al., PSB 2025, arXiv 2408.00727).

    In every round the model writes questions that would help; an inner graph answers each of them, and what it says goes
    back into the next round. In the end the answer is written from these notes. All questions of a round, of all queries
    of a batch, are one batch of the inner graph. At most `rounds` + 1 calls, and `rounds` times `questions` runs of the
    inner graph. Markers in notes and answer are numbers of the passages that the inner answers cite.

    Differs from the paper: the plan is one call and not two, its questions stand one a line; a question that was asked
    before is not asked again; a round without a new question is the last, for the next would be the same. Where the
    model writes none at all, the inner graph is asked the question itself, outcome `fallback`.

    Args:
        llm: the model that asks, and answers in the end.
        answers: the inner graph that answers one question.
        rounds: rounds of questions, at most.
        questions: questions of a round, at most.
        plan_prompt: name or path of a prompt with the variables question, notes and n.
        prompt: name or path of a prompt with the variables passages and question, and a refusal; notes are its passages.
        plan_tokens: most tokens of the questions of a round.
        max_tokens: most tokens of the answer.
        temperature: 0 writes the likeliest questions and answer.
        seed: of the sampling, when the temperature is above 0.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        answers: Subgraph[Answer],
        rounds: int = 4,
        questions: int = 3,
        plan_prompt: str = "follow_up",
        prompt: str = "answer_notes",
        plan_tokens: int = 128,
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        by = "generate.follow_up"
        require_positive(by, rounds=rounds, questions=questions, plan_tokens=plan_tokens, max_tokens=max_tokens)
        require_sampling(by, temperature=temperature)
        self.llm, self.answers, self.rounds, self.questions = llm, answers, rounds, questions
        self.plan = prompts.load(plan_prompt)
        self.plan.require("question", "notes", "n", by=by)
        self._planning = SamplingParams(max_tokens=plan_tokens, temperature=temperature, seed=seed)
        self._writer = FromNotes(llm=llm, prompt=prompt, max_tokens=max_tokens, temperature=temperature, seed=seed)

    def generate(self, queries: Sequence[Query]) -> list[Answer]:
        """One answer per query, in order. Its context has the passages that the inner answers cite."""
        loops = [_Rounds(query=query) for query in queries]
        for _ in range(self.rounds):
            going = [loop for loop in loops if loop.going and not self.answers.spent(loop.query)]
            if not going:
                break
            plans = write(self.llm, [[self._plan(loop)] for loop in going], self._planning, read=without_reasoning)
            asked = [
                (loop, text)
                for loop, written in zip(going, plans, strict=True)
                for text in loop.new(written, self.questions)
            ]
            answers = self.answers.run([loop.inner(text) for loop, text in asked])
            for (loop, text), answer in zip(asked, answers, strict=True):
                loop.add(text, answer)
        return self._writer.answers(loops)

    def _plan(self, loop: _Rounds) -> Prompt:
        return self.plan.render(question=loop.query.asked, notes=loop.text or _NOTHING, n=str(self.questions))
