"""The form of an answer with citations: what it lets through, and a real engine that is held to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import regex

from generators.cited import CitedGenerator
from generators.cited_form import cited_form
from generators.llm.llama_cpp import LlamaCppLLM
from generators.llm.scripted import ScriptedLLM
from rag.core.types import Document
from tests.generators.test_cited import FRAMES, LEAVE, context, streamed
from tests.rag.test_models_gguf import write

FORM = cited_form(12, "I don't know")


@pytest.mark.parametrize(
    "text",
    [
        "I don't know",
        "I don't know.",
        "Steel. [1]",
        "Steel . [1]",
        "Steel [1].",
        "Steel [1][12]. Tin, say some. [2] [3]",
        "Steel [1], and tin [2].",
        'He said "yes." [1]',
        'To get rid of the "You can\'t print yet!" message, see "Why?", on page 3. [1]',
        "It was 3.5 m in 1984. [1] Then it grew [2].",
        "The U.S. Army and Dr. J. Low (e.g. here) use `a. B[7]` and node.js! [1]",
        "`` Diamonds '' is by Rihanna. [1]",
        "Do this:\n1. Open `x`. [1]\n2. Close it [2].\n\n```bash\nfoo [99] bar.\nbaz\n```\n- Done. [4]",
        "**Steps:**\n* One [1]\n* Two [2]",
        "骨架是钢的。[1]",
        "On Jan. 5 it began. [1]",
        "Es endet am 31. März. [1] Am 2. Weltkrieg, z.B. bzw. im 19. Jahrhundert [2].",
        "Le 3 janv. 2020, M. Dupont vint. [1]",
        "Это было в 2019 г. в июне. [1]",
        "3 [1]",
        "In 1984. [1]",
        "12 of 40. [2]",
        "Run this:\n```\nls -l\n```\nIt lists files. [1]",
        f"Run `{'a' * 200} {' b' * 19}`. [1]",
        "It opens at 10:30. [1] Use `std::vector` or std::list [2].",
    ],
)
def test_what_can_be_written(text: str) -> None:
    assert regex.fullmatch(FORM, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "Steel",
        "Steel.",
        "Steel. Tin. [1]",
        'He said "Stop!" Then he went. [1]',
        "Steel [1]. Tin.",
        "Steel [13].",
        "Run the following command: [2]",
        "运行：[1]",
        "Steel [0].",
        "Steel [citation needed] [1].",
        "Steel [1].\n",
        "Do this:",
        f"Run `{'a ' * 22}`. [1]",
        "Run `a\nb`. [1]",
        "I don't know. Or steel.",
        "骨架是钢的。很轻。[1]",
        "1. [1]",
        "1984. [1]",
        "Steel. [1] 2. [2]",
    ],
)
def test_what_cannot(text: str) -> None:
    assert not regex.fullmatch(FORM, text)


def test_a_prompt_without_a_refusal_has_none() -> None:
    assert not regex.fullmatch(cited_form(2, ""), "I don't know.")
    assert regex.fullmatch(cited_form(2, "No (nothing). "), "No (nothing).")


def test_the_form_follows_the_model_unless_it_is_set() -> None:
    free, held = ScriptedLLM(), LlamaCppLLM(threads=1)
    assert CitedGenerator(llm=free).describe() == {"markers": "free"}
    assert CitedGenerator(llm=held).describe() == {"markers": "form"}
    assert CitedGenerator(llm=held, markers="free").describe() == {"markers": "free"}
    with pytest.raises(ValueError, match=r"markers: form needs a model that can hold .* llm\.llama_cpp"):
        CitedGenerator(llm=free, markers="form")
    with pytest.raises(ValueError, match="one of auto, form, free, got 'both'"):
        CitedGenerator(llm=free, markers="both")  # type: ignore[arg-type]


def test_a_prompt_that_begins_the_answer_is_continued_freely(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("variables: [passages, question]\nuser: '{passages} {question}'\nassistant: 'By ['")
    held = LlamaCppLLM(threads=1)
    assert CitedGenerator(llm=held, prompt=str(path)).describe() == {"markers": "free"}
    with pytest.raises(ValueError, match="begins the answer"):
        CitedGenerator(llm=held, prompt=str(path), markers="form")


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> LlamaCppLLM:
    """A real engine with random weights: all order in what it writes comes from the form."""
    pytest.importorskip("xllamacpp")
    return LlamaCppLLM(
        model=str(write(tmp_path_factory.mktemp("gguf") / "tiny.gguf", floats=True, window=1024)), threads=1
    )


def test_even_noise_cites_passages_that_exist(noise: LlamaCppLLM) -> None:
    contexts = [context(FRAMES, LEAVE, qid="two"), context(FRAMES, qid="one")]
    ended = 0
    for seed in range(8):
        generator = CitedGenerator(llm=noise, max_tokens=120, temperature=1.0, seed=seed, attribute=False)
        for given, found in zip(contexts, generator.generate(contexts), strict=True):
            assert "removed_markers" not in found.outcome.counts
            if found.finish_reason == "stop" and found.status == "answered" and not found.outcome.counts.get("loops"):
                ended += 1
                assert found.citations
            assert all(1 <= citation.marker <= len(given.passages) for citation in found.citations)
    assert ended


def test_what_is_streamed_is_held_to_the_form_too(noise: LlamaCppLLM) -> None:
    generator = CitedGenerator(llm=noise, max_tokens=60, attribute=False)
    pieces, found = streamed(generator, context(FRAMES, LEAVE))
    [whole] = generator.generate([context(FRAMES, LEAVE)])
    assert "".join(pieces) == found.text == whole.text


def test_a_prompt_is_read_once_for_whether_it_is_enough_and_for_the_answer_also_in_batches(noise: LlamaCppLLM) -> None:
    texts = [
        Document(doc_id=f"d{n}", text=f"Number {n}: " + " ".join([f"word{n}x{i}" for i in range(12)]))
        for n in range(12)
    ]
    contexts = [context(each, qid=each.doc_id) for each in texts]
    asking = CitedGenerator(
        llm=noise, prompt="answer_found", enough="answer_enough", least=-99, max_tokens=4, markers="free"
    )
    alone = [asking.generate([each])[0].usage for each in contexts]
    together = [found.usage for found in asking.generate(contexts)]
    assert noise.kept_prompts < len(contexts)
    assert sum(each.cached_tokens for each in together) > 0.9 * sum(each.cached_tokens for each in alone)
