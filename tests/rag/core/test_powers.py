"""What a part can do is a protocol that it keeps; a new one is a protocol and a line in `POWERS`."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import pytest

import rag
from generators.llm import LLMS
from generators.llm.scripted import ScriptedLLM
from rag.cli.listing import component
from rag.core.powers import LLM_POWERS, POWERS, Power, in_words, lacking
from rag.core.types import Ranking
from rag.stages import FUSERS
from rerankers import RERANKERS
from retrievers import RETRIEVERS

ROOT = Path(rag.__file__).parents[1]


@runtime_checkable
class CanCount(Protocol):
    """A part that counts what it is given."""

    def count(self) -> int: ...


class CountingReranker:
    """Passes rankings on and counts them."""

    def __init__(self) -> None:
        self._n = 0

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """The same rankings."""
        self._n += len(rankings)
        return list(rankings)

    def count(self) -> int:
        return self._n


def test_a_power_is_a_protocol_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POWERS, "count", Power(protocol=CanCount, words="count what it is given"))
    monkeypatch.setitem(RERANKERS._table, "test_counting", CountingReranker)
    assert component("rerank", "test_counting")["powers"] == ["count what it is given"]
    assert "count what it is given" not in component("rerank", "identity")["powers"]
    assert isinstance(CountingReranker(), CanCount)


@pytest.mark.parametrize(
    ("table", "name", "words"),
    [
        (RETRIEVERS, "bm25", {"search one leg of the index", "say of what parts a score is the sum"}),
        (FUSERS, "weighted", {"say what each list adds to a score"}),
        (RERANKERS, "attention", {"read documents before anybody asks", "keep what a model made of documents"}),
        (RERANKERS, "cross_encoder", {"name the models that it loads", "give back its memory"}),
        (LLMS, "transformers", {"lend its weights", "choose from a closed list", "say which weights wrote a text"}),
        (LLMS, "server", {"say whether it is there", "hold an answer to a form"}),
    ],
)
def test_the_list_says_what_parts_can_do(table: object, name: str, words: set[str]) -> None:
    stage = table.stage  # type: ignore[attr-defined]
    assert words <= set(component(stage, name)["powers"])


def test_what_a_model_lacks_is_told_by_method() -> None:
    class Plain:
        context_window = 9

    assert lacking(Plain(), LLM_POWERS) == dict.fromkeys(LLM_POWERS, "")
    assert lacking(ScriptedLLM(), ["choose", "stream"]) == {}
    assert in_words(["score", "choose"]) == "choose from a closed list and score given texts"


FOREIGN = {
    "backend_tokenizer", "chat_template", "attn_logit_softcapping", "model_type", "sliding_window",
    "attention_chunk_size", "use_sliding_window", "layer_types", "num_key_value_heads", "head_dim", "name_or_path",
    "rope_parameters", "rope_theta", "config", "is_causal", "_is_amx_tile_supported", "_is_avx512_bf16_supported",
    "_is_vnni_supported",
    "__path__", "__file__", "problem_mark", "problem", "anchor", "tag", "errno", "strerror", "trace", "owner", "path",
    "ipv4_mapped", "sched_getaffinity", "posix_fallocate", "stemmer",
}  # fmt: skip
"""What other libraries' objects may have or lack, by version, model or system; nothing of ours."""


def test_nothing_of_ours_is_found_by_name() -> None:
    probes = []
    for package in ("rag", "retrievers", "rerankers", "generators", "prompts"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                    continue
                if node.func.id == "hasattr" or (node.func.id == "getattr" and len(node.args) == 3):
                    name = node.args[1]
                    text = name.value if isinstance(name, ast.Constant) else "?"
                    if text not in FOREIGN:
                        probes.append(f"{file.relative_to(ROOT)}:{node.lineno}: {text}")
    assert probes == []


def test_no_message_names_a_protocol() -> None:
    classes = re.compile(r"""["'].*\bneeds a model that Can[A-Z]""")
    files = [f for p in ("rag", "rerankers", "generators") for f in (ROOT / p).rglob("*.py")]
    assert [str(f) for f in files if classes.search(f.read_text(encoding="utf-8"))] == []
