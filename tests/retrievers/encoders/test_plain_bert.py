"""A BERT in torch alone, and tokens by their file alone: to the bit what transformers gives, without its import."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from rag.core.errors import SpecError
from retrievers.encoders.kinds import Compute
from retrievers.encoders.plain_bert import PlainBert
from retrievers.encoders.tokenizer import TextTokens, file_says_all, readable
from retrievers.encoders.transformer import load_transformer
from tests.tiny_models import tiny_sentence_model

TEXTS = ["abc de f", "", "Über-maß, naïve?\n\t12 34 \x00 end", "日本語 [SEP] [MASK] <s>", "a b " * 500, "\ud800x"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sentence_model(tmp_path_factory.mktemp("models") / "tiny", dim=32)


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("capability", ["AVX512", "AVX2"])
def test_it_gives_what_transformers_gives(
    tiny: Path, compute: Compute, masked: bool, capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if capability != torch.backends.cpu.get_cpu_capability():
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    ids = torch.randint(5, 60, (4, 21), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(4, 21, dtype=torch.long)
    mask[1, 13:] = mask[3, 1:] = 0
    models = PlainBert(tiny, compute=compute), load_transformer(tiny, compute=compute)
    with torch.inference_mode():
        ours, theirs = (
            model(input_ids=ids, attention_mask=mask if masked else None).last_hidden_state for model in models
        )
    assert torch.equal(ours, theirs)


def test_a_folder_of_something_else_is_told_of(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((tiny / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "model.safetensors").write_bytes(b"none")
    with pytest.raises(SpecError, match="is not that of a BERT"):
        PlainBert(tmp_path, compute="float32")


def test_tokens_are_those_of_transformers(tiny: Path) -> None:
    assert file_says_all(tiny)
    theirs, ours = AutoTokenizer.from_pretrained(tiny), TextTokens.load(tiny, max_length=64, lower_case=False)
    texts = [*map(readable, TEXTS)]
    assert ours.ids(TEXTS) == theirs(texts, truncation=True, max_length=64)["input_ids"]
    assert ours.pieces(TEXTS) == theirs(texts, add_special_tokens=False, verbose=False)["input_ids"]
    spans = theirs(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    assert ours.spans(TEXTS) == [[tuple(span) for span in one] for one in spans]
    assert set(ours.special_ids) == set(theirs.all_special_ids)
    assert ours.pad_id == theirs.pad_token_id
    assert ours.names(range(20)) == theirs.convert_ids_to_tokens(list(range(20)))
    assert ours.opening_ids() == theirs("a")["input_ids"][:1]


@pytest.mark.parametrize(
    "said",
    [
        {"pad_token": None},
        {"tokenizer_class": "XLMRobertaTokenizer"},
        {"tokenizer_class": "BertTokenizer", "do_lower_case": "unlike the file"},
        {"extra_special_tokens": ["<more>"]},
        {"model_type": "qwen2"},
    ],
    ids=lambda said: next(iter(said)),
)
def test_a_file_that_does_not_say_all_is_left_to_transformers(
    tiny: Path, tmp_path: Path, said: dict[str, object]
) -> None:
    for name in ("config.json", "tokenizer_config.json"):
        config = json.loads((tiny / name).read_text(encoding="utf-8"))
        (tmp_path / name).write_text(json.dumps(config | said))
    (tmp_path / "tokenizer.json").write_text((tiny / "tokenizer.json").read_text(encoding="utf-8"))
    assert not file_says_all(tmp_path)


def test_transformers_is_not_imported_for_it(tiny: Path) -> None:
    code = f"""
        import sys
        from pathlib import Path
        from retrievers.encoders.plain_encoder import PlainEncoder

        encoder = PlainEncoder(Path({str(tiny)!r}), requested="float32")
        assert sum(len(rows) for rows, _ in encoder.batches(["abc de"] * 9, "document")) == 9
        assert "_transformer" in encoder.__dict__
        assert "torch" in sys.modules and "transformers" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
