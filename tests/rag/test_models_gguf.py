"""Conversion of GGUF files, against the reader that transformers has, on small random models."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.core.errors import MissingModel
from rag.models.folder import require_complete
from rag.models.gguf import convert, halves_of_heads, transformers_name

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
HEADS, KV_HEADS, HIDDEN, INNER, LAYERS = 4, 2, 64, 96, 2
TENSORS = {
    "attn_norm": (HIDDEN,),
    "attn_q": (HIDDEN, HIDDEN),
    "attn_k": (HIDDEN // 2, HIDDEN),
    "attn_v": (HIDDEN // 2, HIDDEN),
    "attn_output": (HIDDEN, HIDDEN),
    "ffn_norm": (HIDDEN,),
    "ffn_gate": (INNER, HIDDEN),
    "ffn_up": (INNER, HIDDEN),
    "ffn_down": (HIDDEN, INNER),
}


def write(
    path: Path,
    *,
    tied: bool = True,
    leave_out: str = "",
    architecture: str = "llama",
    floats: bool = False,
    template: bool = True,
    window: int = 128,
) -> Path:
    """A random Llama or Qwen2 of two layers in 4-bit blocks, with a byte-level tokenizer that knows two merges.

    Args:
        floats: float32 instead of 4-bit blocks, numbers that bfloat16 holds too.
    """
    from gguf import GGMLQuantizationType, GGUFWriter, quantize
    from tokenizers import pre_tokenizers

    tokens = SPECIAL + sorted(pre_tokenizers.ByteLevel.alphabet()) + ["ĊĊ", "Ġa"]
    random = np.random.default_rng(7)
    writer = GGUFWriter(str(path), architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(window)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm" if architecture == "llama" else architecture)
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    writer.add_token_merges(["Ċ Ċ", "Ġ a"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    if architecture == "llama":
        writer.add_unk_token_id(0)
    if template:
        writer.add_chat_template(TEMPLATE)
    shapes = {f"blk.{i}.{name}.weight": shape for i in range(LAYERS) for name, shape in TENSORS.items()}
    shapes |= {"token_embd.weight": (len(tokens), HIDDEN), "output_norm.weight": (HIDDEN,)}
    if architecture == "qwen2":
        names = ("attn_q", "attn_k", "attn_v")
        shapes |= {f"blk.{i}.{name}.bias": TENSORS[name][:1] for i in range(LAYERS) for name in names}
    if not tied:
        shapes["output.weight"] = (len(tokens), HIDDEN)
    for name, shape in shapes.items():
        values = random.normal(size=shape).astype(np.float32)
        if floats:
            values = (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        quantised = len(shape) == 2 and not floats
        kind = GGMLQuantizationType.Q4_1 if quantised else GGMLQuantizationType.F32
        if name != leave_out:
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("tied", [True, False])
def test_weights_are_those_that_transformers_reads_from_the_same_file(
    tmp_path: Path, tied: bool, architecture: str
) -> None:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    source = write(tmp_path / "tiny.gguf", tied=tied, architecture=architecture)
    (folder := tmp_path / "model").mkdir()
    convert(source, folder)
    require_complete(folder, cure="")
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    reader: Any = load_gguf_checkpoint
    read = reader(str(source), return_tensors=True, model_to_load=model)
    mine = dict(model.named_parameters())
    assert mine.keys() == read["tensors"].keys()
    for name, values in read["tensors"].items():
        assert torch.equal(mine[name], values.to(torch.bfloat16)), name
    config = read["config"]
    assert model.config.rms_norm_eps == pytest.approx(config["rms_norm_eps"], rel=1e-6)
    assert model.config.rope_parameters["rope_theta"] == 10000.0
    assert model.config.tie_word_embeddings is tied
    assert model.generation_config.eos_token_id == 2


def test_the_tokenizer_splits_digits_and_keeps_special_tokens_and_template(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    (folder := tmp_path / "model").mkdir()
    convert(write(tmp_path / "tiny.gguf"), folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("x\n\n12 a") == ["x", "ĊĊ", "1", "2", "Ġa"]
    assert tokenizer.decode(tokenizer.encode("naïve 😀 12")) == "naïve 😀 12"
    assert tokenizer.encode("<|im_end|>") == [2]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    assert tokenizer.model_max_length == 128
    turns = [{"role": "user", "content": "hi"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == "<|im_start|>user\nhi<|im_end|>\n"


def test_the_tokenizer_of_qwen2_is_that_of_transformers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, Qwen2Tokenizer

    (folder := tmp_path / "model").mkdir()
    convert(write(tmp_path / "tiny.gguf", architecture="qwen2"), folder)
    own: Any = AutoTokenizer.from_pretrained(folder)
    merges = [("Ċ", "Ċ"), ("Ġ", "a")]
    theirs: Any = Qwen2Tokenizer(vocab=own.get_vocab(), merges=merges, unk_token=None)
    for text in ("x\n\n12 a", "It's A'LL 3.14\t  b", "cafe\u0301 naïve 😀", " \u3000x\r\n\r\n", "日本語 a  a"):
        assert own.encode(text) == theirs.encode(text), text
        assert own.decode(own.encode(text)) == unicodedata.normalize("NFC", text)


def test_a_file_without_one_of_its_tensors_is_refused_by_name(tmp_path: Path) -> None:
    source = write(tmp_path / "tiny.gguf", leave_out="blk.1.ffn_up.weight")
    with pytest.raises(MissingModel, match=r"model\.layers\.1\.mlp\.up_proj\.weight"):
        convert(source, tmp_path)


def test_rotary_rows_go_from_pairs_to_halves() -> None:
    rows = np.arange(8, dtype=np.float32).reshape(8, 1)  # two heads of size 4: pairs (0 1)(2 3), (4 5)(6 7)
    assert halves_of_heads(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


@pytest.mark.parametrize("name", ["blk.1.ffn_gate_exps.weight", "blk.x.attn_q.weight", "rope_freqs.weight"])
def test_a_tensor_without_a_place_is_refused(name: str) -> None:
    with pytest.raises(MissingModel, match="has no place"):
        transformers_name(name)


def test_a_gguf_file_of_another_architecture_is_refused(tmp_path: Path) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(str(tmp_path / "bert.gguf"), "bert")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(MissingModel, match=r"general.architecture is 'bert'"):
        convert(tmp_path / "bert.gguf", tmp_path)
