"""A tokenizer without transformers gives the ids that transformers' own gives from the same folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import SpecError
from rag.core.types import Message, Prompt
from rag.models.chat import encode_prompt, encode_text, encode_text_spans, end_of_turn, turn_stops
from rag.models.light_tokenizer import LightTokenizer, light_tokenizer
from tests.rag.test_chat import HOSTILE
from tests.rag.tiny_tokenizers import FAMILIES, plain_tokenizer, tiny_tokenizer

USER, SYSTEM, ASSISTANT = (
    Message(role=role, content=f"{role} says: {HOSTILE}") for role in ("user", "system", "assistant")
)
PROMPTS: list[Prompt] = [
    (USER,),
    (SYSTEM, USER),
    (USER, ASSISTANT, USER),
    (SYSTEM, USER, ASSISTANT),
    (Message(role="user", content="Wie viele Tage? ü ñ 中文 \ud800"),),
]


def both(made: Any, folder: Path) -> tuple[LightTokenizer, Any]:
    from transformers import AutoTokenizer

    made.save_pretrained(folder)
    light = light_tokenizer(folder)
    assert light is not None
    return light, AutoTokenizer.from_pretrained(folder, local_files_only=True)


def told(tokenizer: Any, prompt: Prompt) -> list[int] | str:
    try:
        return encode_prompt(tokenizer, prompt)
    except SpecError as refused:
        return str(refused)


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_and_refusals_of_prompts_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    light, whole = both(tiny_tokenizer(family), tmp_path)
    for prompt in [*PROMPTS, (USER, USER), (ASSISTANT, SYSTEM)]:
        assert told(light, prompt) == told(whole, prompt)
    assert encode_text(light, HOSTILE) == encode_text(whole, HOSTILE)
    assert encode_text_spans(light, HOSTILE) == encode_text_spans(whole, HOSTILE)
    assert (end_of_turn(light), turn_stops(light)) == (end_of_turn(whole), turn_stops(whole))


@pytest.mark.parametrize("kind", ["bytes", "pieces", "bare"])
def test_without_a_template_lines_of_roles_are_laid_out_alike(kind: str, tmp_path: Path) -> None:
    light, whole = both(plain_tokenizer(["<unk>", "<s>", "</s>"], kind=kind), tmp_path)
    for prompt in PROMPTS:
        assert told(light, prompt) == told(whole, prompt)
    assert turn_stops(light) == turn_stops(whole) != ()


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{{ m | tojson }}{% endfor %}",
        "{{ bos_token }}{% if tools %}tools{% endif %}{{ strftime_now('%Y') }}\n{% for m in messages %}\n"
        "    {%- set who = m.role %}\n    {{ who }}: {{ m.content }}\n{% endfor %}",
    ],
)
def test_what_templates_may_use_is_there(template: str, tmp_path: Path) -> None:
    made = tiny_tokenizer("chatml")
    made.chat_template = template
    light, whole = both(made, tmp_path)
    assert told(light, (USER,)) == told(whole, (USER,))


def test_a_template_with_a_tag_of_transformers_own_is_left_to_it(tmp_path: Path) -> None:
    made = tiny_tokenizer("chatml")
    made.chat_template = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    made.save_pretrained(tmp_path)
    assert light_tokenizer(tmp_path) is None


def test_a_template_cannot_reach_what_is_not_its_own(tmp_path: Path) -> None:
    from jinja2.exceptions import SecurityError

    made = tiny_tokenizer("chatml")
    made.chat_template = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    light, _ = both(made, tmp_path)
    with pytest.raises(SecurityError):
        light.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False, add_generation_prompt=True)


def test_a_prompt_is_counted_without_transformers_and_torch(tmp_path: Path) -> None:
    tiny_tokenizer("chatml").save_pretrained(tmp_path)
    counted = (
        "import sys; from pathlib import Path; from rag.models.light_tokenizer import LightTokenizer;"
        "from rag.models.chat import encode_prompt; from rag.core.types import Message;"
        f"print(len(encode_prompt(LightTokenizer(Path({str(tmp_path)!r})), (Message(role='user', content='a'),))));"
        "assert not {'transformers', 'torch'} & set(sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", counted], capture_output=True, text=True, check=True)
    assert int(said.stdout) > 3
