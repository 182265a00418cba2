"""Small random models in real formats, made in a second and loaded by the real code."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any


def tiny_sentence_model(folder: Path, *, seed: int = 0, dim: int = 16) -> Path:
    """A random BERT of one layer as a sentence-transformers folder: mean pooling, unit norm, words of one letter."""
    _tiny_bert(folder, "BertModel", seed=seed, dim=dim)
    parts = ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(parts)
    ]
    _write(folder / "modules.json", modules)
    (folder / "1_Pooling").mkdir()
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": dim, "pooling_mode_mean_tokens": True})
    _write(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
    return folder


def tiny_masked_model(folder: Path, *, seed: int = 0) -> Path:
    """A random masked BERT of one layer, nothing else, with logits far enough from 0 to weigh something."""
    import torch

    model = _tiny_bert(folder, "BertForMaskedLM", seed=seed, dim=16)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model.cls.predictions.bias.data.normal_(0, 1)
        model.bert.embeddings.word_embeddings.weight.data.normal_(0, 0.5)
    model.save_pretrained(folder)
    return folder


def tiny_splade(folder: Path, *, table: bool = False, **pooling: Any) -> Path:
    """The same as sentence-transformers saves a SparseEncoder. `table`: queries are weighed by a table, token n by n / 10."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sparse_encoder import modules

    reader: Any = modules.MLMTransformer(str(tiny_masked_model(folder.with_name(f"{folder.name}-masked"))))
    documents = [reader, modules.SpladePooling(**pooling)]
    whole: Any = documents
    if table:
        weight = torch.arange(len(reader.tokenizer)) / 10
        static = modules.SparseStaticEmbedding(tokenizer=reader.tokenizer, weight=weight, frozen=True)
        whole = [Router.for_query_document(query_modules=[static], document_modules=documents)]
    SparseEncoder(modules=whole, device="cpu").save_pretrained(str(folder))
    return folder


def _tiny_bert(folder: Path, kind: str, *, seed: int, dim: int) -> Any:
    import torch
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *string.ascii_lowercase, *string.digits]
    vocabulary += [f"##{character}" for character in string.ascii_lowercase + string.digits]
    numbers = {token: number for number, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    fast: Any = transformers.PreTrainedTokenizerFast
    fast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = transformers.BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=dim,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=2 * dim,
            max_position_embeddings=64,
        )
        bert: Any = {"BertModel": transformers.BertModel, "BertForMaskedLM": transformers.BertForMaskedLM}[kind]
        model = bert(config).eval()
        model.save_pretrained(folder)
        return model


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
