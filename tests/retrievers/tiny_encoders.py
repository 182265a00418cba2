"""Random encoders of a few kilobytes in sentence-transformers format; nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# fmt: off
WORDS = [
    "the", "a", "of", "in", "is", "was", "day", "days", "leave", "paid", "bicycle", "frame", "warranty", "returns",
    "lost", "laptop", "safety", "wheel", "ride", "note",
]
# fmt: on
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [c for letter in "abcdefghijklmnopqrstuvwxyz0123456789" for c in (letter, f"##{letter}")]
WIDTH = 32
MAX_LENGTH = 24

TRANSFORMER, POOLING, NORMALIZE, DENSE = (
    f"sentence_transformers.models.{name}" for name in ("Transformer", "Pooling", "Normalize", "Dense")
)


def tiny_bert(folder: Path, *, seed: int = 0) -> Path:
    """A plain transformers folder: a BERT with random weights large enough to matter, and a WordPiece tokenizer."""
    return tiny_transformer(folder, "Bert", seed=seed)


def tiny_transformer(folder: Path, family: str, *, seed: int = 0, **more: Any) -> Path:
    """The same of another family: the prefix of its classes in transformers. `more`: for its configuration."""
    import torch
    import transformers

    n_words = _save_tokenizer(folder)
    names: dict[str, Any] = {
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "initializer_range": 0.4,
    }
    if family == "T5":
        names = {"d_model": WIDTH, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    if family == "DistilBert":
        names = {"dim": WIDTH, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "initializer_range": 0.4}
    torch.manual_seed(seed)
    # The tokenizer knows other special tokens than some families do by default.
    special = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    library: Any = transformers
    config = getattr(library, f"{family}Config")(vocab_size=n_words, **names, **special, **more)
    getattr(library, f"{family}Model")(config).save_pretrained(folder)
    return folder


def _save_tokenizer(folder: Path) -> int:
    """Write the tokenizer, and say how many words it has."""
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *WORDS, *LETTERS[2:], "##a", ".", ":", ","])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    library: Any = transformers
    library.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=MAX_LENGTH,
    ).save_pretrained(folder)
    return len(vocabulary)


def sentence_modules(
    folder: Path,
    pooling: Mapping[str, Any],
    *,
    rest: Sequence[tuple[str, str]] = (("2_Normalize", NORMALIZE),),
    options: Mapping[str, Any] | None = None,
    max_length: int | None = MAX_LENGTH,
) -> Path:
    """Turn a plain folder into one of sentence-transformers, with Transformer, Pooling and `rest` as modules."""
    modules = [("", TRANSFORMER), ("1_Pooling", POOLING), *rest]
    listed = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)]
    write_json(folder / "modules.json", listed)
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": WIDTH, **pooling})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    if options is not None:
        write_json(folder / "config_sentence_transformers.json", options)
    for path, _ in rest:
        (folder / path).mkdir(exist_ok=True)
    return folder


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def tiny_colbert(folder: Path, family: str = "Bert", *, seed: int = 0, attend: bool = False, **more: Any) -> Path:
    """A random checkpoint in ColBERT's layout: the weights of transformer and projection in one file, and its metadata.

    Words of the vocabulary are its markers: `ride` for queries, `note` for documents. `attend`: whether tokens of a query
    attend to the masks that it is filled up with. `more`: for the transformer's configuration.
    """
    import torch
    from safetensors.torch import load_file, save_file

    tiny_transformer(folder, family, seed=seed, **more)
    prefix = {"Bert": "bert", "Xmod": "roberta"}[family]
    weights = {f"{prefix}.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    weights["linear.weight"] = torch.randn(8, WIDTH, generator=torch.Generator().manual_seed(seed))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"architectures": ["HF_ColBERT"]})
    said = {"query_token_id": "ride", "doc_token_id": "note", "query_maxlen": 12, "doc_maxlen": 16}
    write_json(folder / "artifact.metadata", said | {"attend_to_mask_tokens": attend, "mask_punctuation": True})
    return folder


def tiny_towers(folder: Path, *, several: bool = False) -> Path:
    """A random CLIP, one tower for texts and one for pictures of eight by eight pixels, as sentence-transformers saves it.

    `several`: as a folder that gives a vector for each token or patch.
    """
    import sentence_transformers
    import transformers
    from sentence_transformers.base.modules import Transformer

    bare = folder.with_name(f"{folder.name}-bare")
    n_words = _save_tokenizer(bare)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    special = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    texts = {"vocab_size": n_words, "max_position_embeddings": MAX_LENGTH, "initializer_range": 0.4, **size, **special}
    library: Any = transformers
    config = library.CLIPConfig(
        text_config=texts, vision_config={"image_size": 8, "patch_size": 4, **size}, projection_dim=8
    )
    library.CLIPModel(config).save_pretrained(bare)
    pictures = library.CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    library.CLIPProcessor(pictures, library.AutoTokenizer.from_pretrained(bare)).save_pretrained(bare)
    if several:
        ways = {
            kind: {"method": f"get_{kind}_features", "method_output_name": "last_hidden_state"}
            for kind in ("text", "image")
        }
        reader = Transformer(str(bare), modality_config=ways, module_output_name="token_embeddings")
        sentence_transformers.MultiVectorEncoder(modules=[reader], device="cpu").save_pretrained(str(folder))
    else:
        modules = [Transformer(str(bare))]
        sentence_transformers.SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder))
    return folder


def tiny_static(folder: Path, *, seed: int = 0) -> Path:
    """Random static vectors of the same vocabulary, as model2vec saves them."""
    import numpy as np
    from model2vec import StaticModel
    from tokenizers import Tokenizer

    bare = folder.with_name(f"{folder.name}-words")
    _save_tokenizer(bare)
    tokenizer = Tokenizer.from_file(str(bare / "tokenizer.json"))
    vectors = np.random.default_rng(seed).normal(size=(tokenizer.get_vocab_size(), WIDTH)).astype(np.float32)
    StaticModel(vectors, tokenizer, normalize=True).save_pretrained(folder)
    return folder
