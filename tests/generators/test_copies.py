"""What a model did not copy is asked for again, among what the passages have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from generators.cited import CitedGenerator
from generators.copies import Copies, can_be_asked_again
from generators.llm.scripted import ScriptedLLM
from rag.core.errors import StageError
from rag.core.types import Completion, Context, Document, Message, Prompt, Query, SamplingParams, ScoredDocument

PASSAGE = "In Peru sind 91 % der 587.000 km2 Weiden, sagte Zoë Gedächtnis am 3. Mai 1996; 12 kg kosten 40 €."
QUESTION = "Wie viel ist 70 und 77?"


class Choosing(ScriptedLLM):
    """Takes the first choice that it is told to like, and finds every text as likely as it is told, or else 0."""

    keeps_forms = frozenset({"choices", "regex", "json_schema"})

    def __init__(self, *, likes: Sequence[str] = (), likely: dict[str, float] | None = None, **more: Any) -> None:
        super().__init__(**more)
        self.likes, self.likely, self.asked = likes, likely or {}, list[tuple[str, ...]]()

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        if not params.choices:
            return super().complete(prompts, params)
        self.asked.append(params.choices)
        best = next((choice for choice in params.choices if choice.strip() in self.likes), params.choices[0])
        return [Completion(text=best, prompt_tokens=1, completion_tokens=1) for _ in prompts]

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[np.float32]:
        self.seen.extend(prompts)
        return np.array([[self.likely.get(choice.strip(), 0.0) for choice in choices] for _ in prompts], np.float32)


def put_right(
    text: str, llm: Choosing, pieces: Sequence[str] = (), *, question: str = QUESTION, passage: str = PASSAGE
) -> tuple[str, int]:
    copies = Copies(llm, (Message(role="user", content=question),), question=question, passages=[passage])
    said = "".join(copies.add(piece) for piece in pieces or [text]) + copies.finish()
    return said, copies.mended


@pytest.mark.parametrize(
    ("text", "right", "mended"),
    [
        ("Es sind 79 % [1].", "Es sind 91 % [1].", 1),
        ("79% [1]", "91% [1]", 1),
        ("Am 4. Mai kosten 12 g 77.", "Am 3. Mai kosten 12 kg 77.", 2),
        ("Am 3. Mai sind es 587000 [1].", "Am 3. Mai sind es 587000 [1].", 0),
        ("[12] Es sind 8.\n10. Es sind 91", "[12] Es sind 8.\n10. Es sind 91", 0),
        ("In Chile 91.", "In Chile 91.", 0),
        ("", "", 0),
    ],
)
def test_each_place_becomes_what_the_passage_has(text: str, right: str, mended: int) -> None:
    llm = Choosing(likes=["91", "12 kg", "3. Mai"])
    assert put_right(text, llm) == (right, mended)
    assert put_right(text, llm, list(text)) == (right, mended)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("It was Zoe Gedachtnis.", "It was Zoë Gedächtnis."),
        ("It was Jahnston.", "It was Johnston."),
        ("It was Johnson.", "It was Johnson."),
        ("It was Ana.", "It was Ana."),
        ("It was Müller.", "It was Müller."),
    ],
)
def test_a_name_becomes_one_that_is_nearly_the_same(text: str, right: str) -> None:
    passage = "Once there was Zoë Gedächtnis, who knew Ada and Johnston well, and nobody else."
    assert put_right(text, Choosing(), question="Who was it?", passage=passage)[0] == right


def test_it_chooses_among_its_own_kind_after_what_was_written_before() -> None:
    llm = Choosing(likes=["91"])
    put_right("Es sind 79 %.", llm)
    [choices] = llm.asked
    assert choices == (" 91", " 587.000", " 2", " 3", " 1996", " 12", " 40")
    assert [turn.content for turn in llm.seen[-1]] == [QUESTION, "Es sind"]


def test_what_the_model_is_sure_of_stays() -> None:
    assert put_right("Zusammen 147.", Choosing(likes=["91"], likely={"91": -9.0})) == ("Zusammen 147.", 0)
    assert put_right("Zusammen 147.", Choosing(likes=["91"], likely={"91": -1.0})) == ("Zusammen 91.", 1)


def test_a_row_of_numbers_is_no_choice_and_without_room_nothing_is_asked() -> None:
    row = " ".join(str(number) for number in range(11, 61))
    llm = Choosing(likes=["91"])
    assert put_right("Es sind 79.", llm, passage=f"Eins ist 91 und nicht 92. Werte: {row}") == ("Es sind 91.", 1)
    assert llm.asked == [(" 91", " 92")]
    assert put_right("Es sind 79.", Choosing(likes=["91"], context_window=40)) == ("Es sind 79.", 0)


def test_where_the_model_fails_the_text_stays_and_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Choosing):
        def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[np.float32]:
            raise StageError("the server has no logprobs")

    assert put_right("Es sind 79.", Failing()) == ("Es sind 79.", 0)
    assert "'79' is in no passage, and was not asked for again: the server has no logprobs" in caplog.text


def test_nothing_is_held_back_before_the_first_place_but_what_may_become_one() -> None:
    copies = Copies(Choosing(likes=["91"]), (), question=QUESTION, passages=[PASSAGE])
    handed = [
        copies.add(piece) for piece in ("Es ", "sind ", "am ", "3. ", "Mai ", "dort ", "79 ", "da ", "und ", "so.")
    ]
    assert handed == ["", "Es sind ", "am ", "", "", "", "3. Mai dort ", "", "", ""]
    assert copies.finish() == "91 da und so."


@given(text=st.text(st.sampled_from("37 .ZoëMai€kg[]\n,of"), max_size=40), data=st.data())
def test_it_does_not_depend_on_how_the_text_was_cut_up(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    unlikely = dict.fromkeys(("91", "12 kg", "3. Mai", "Zoë"), -99.0) if data.draw(st.booleans()) else {}
    assert put_right(text, Choosing(likely=unlikely), pieces) == put_right(text, Choosing(likely=unlikely))


def test_a_model_that_cannot_is_not_asked_and_its_text_stays() -> None:
    assert not can_be_asked_again(ScriptedLLM())
    assert can_be_asked_again(Choosing())
    passage = ScoredDocument(document=Document(doc_id="d", text=PASSAGE), score=1.0)
    context = Context(query=Query(qid="q", text=QUESTION), passages=(passage,))
    for llm, text, counts in (
        (ScriptedLLM(replies=("Es sind 79 % der Weiden [1].",)), "Es sind 79 % der Weiden [1].", {}),
        (
            Choosing(replies=("Es sind 79 % der Weiden [1].",), likes=["91"]),
            "Es sind 91 % der Weiden [1].",
            {"mended_copies": 1},
        ),
    ):
        generator = CitedGenerator(llm=llm, copy_exactly=True, markers="free")
        [answer] = generator.generate([context])
        assert (answer.text, dict(answer.outcome.counts)) == (text, counts)
        assert answer.citations[0].start == text.index("[1]")
        [*pieces, last] = generator.stream(context)
        assert "".join(piece.text for piece in pieces) == text
        assert last.answer is not None
        assert (last.answer.text, last.answer.outcome) == (answer.text, answer.outcome)
    assert (
        CitedGenerator(llm=Choosing(replies=("Es sind 79 %.",)), markers="free").generate([context])[0].text
        == "Es sind 79 %."
    )
