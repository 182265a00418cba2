from __future__ import annotations

from pathlib import Path

import pytest
import torch

from generators.llm.loading import choose_dtype
from rag.core.errors import SpecError
from retrievers.encoders.transformer import _matmul_attention, choose_compute, load_transformer
from tests.retrievers.tiny_encoders import write_json


class _Layer:
    def __init__(self, *, is_causal: bool) -> None:
        self.is_causal = is_causal


@pytest.mark.parametrize("mask", ["none", "bool", "additive"])
@pytest.mark.parametrize("causal", [False, True])
def test_matmul_attention_equals_torchs_own(mask: str, causal: bool) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 9, 8)
    kept = torch.arange(9) < torch.tensor([9, 5])[:, None]
    boolean = kept[:, None, None, :].expand(2, 1, 9, 9)
    additive = torch.zeros(2, 1, 9, 9).masked_fill(~boolean, torch.finfo(torch.float32).min)
    given = {"none": None, "bool": boolean, "additive": additive}[mask]
    found, _ = _matmul_attention(_Layer(is_causal=causal), query, key, value, given, scaling=0.3)
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=given, is_causal=causal and given is None, scale=0.3
    )
    torch.testing.assert_close(found, expected.transpose(1, 2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("amx", "avx512", "maker", "expected"),
    [
        (True, False, "GenuineIntel", "bfloat16"),
        (False, True, "AuthenticAMD", "bfloat16"),
        (False, True, "GenuineIntel", "float32"),
        (False, False, "AuthenticAMD", "float32"),
        (False, True, "", "float32"),
    ],
)
def test_auto_takes_bfloat16_only_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512: bool, maker: str, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
    monkeypatch.setattr("rag.models.processor.vendor", lambda: maker)
    flags = " ".join(["fpu", *["amx_tile"] * amx, *["avx512_bf16"] * avx512])
    for said in (flags, ""):  # by the system, and by torch where it says nothing
        monkeypatch.setattr("rag.models.processor._said", lambda _, said=said: said)
        assert choose_compute("auto") == expected
        assert choose_dtype("auto", "cpu") == getattr(torch, expected)
    assert choose_compute("bfloat16") == "bfloat16"


def test_a_model_that_transformers_does_not_know_is_a_spec_error(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": "no-such-model"})
    with pytest.raises(SpecError, match="transformers cannot load it"):
        load_transformer(tmp_path, compute="float32")


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_a_processor_without_avx512_gives_the_same_vectors(
    plain_bert: Path, monkeypatch: pytest.MonkeyPatch, compute: str
) -> None:
    ids = torch.tensor([[2, 6, 7, 8, 3], [2, 6, 3, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    fast = load_transformer(plain_bert, compute=compute)  # type: ignore[arg-type]
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    plain = load_transformer(plain_bert, compute=compute)  # type: ignore[arg-type]
    with torch.inference_mode():
        one, other = (m(input_ids=ids, attention_mask=mask).last_hidden_state.float() for m in (fast, plain))
    loose = 1e-5 if compute == "float32" else 0.05
    torch.testing.assert_close(one[mask.bool()], other[mask.bool()], atol=loose, rtol=loose)
