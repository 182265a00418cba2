from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.core.errors import SpecError
from retrievers.encoders.sentence_folder import DenseLayer, read_sentence_folder
from tests.retrievers.tiny_encoders import DENSE, NORMALIZE, POOLING, TRANSFORMER, WIDTH, write_json

MEAN = {"pooling_mode": "mean"}
Make = Callable[..., Path]


def test_a_plain_folder_is_averaged_and_the_log_says_so(plain_bert: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        how = read_sentence_folder(plain_bert)
    assert (how.pooling, how.pooling_is_declared, how.normalise, how.dim) == (("mean",), False, True, WIDTH)
    assert "no modules.json" in caplog.text


@pytest.mark.parametrize(
    ("pooling", "modes"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ("cls",)),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, ("max", "mean")),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, ("mean_sqrt_len_tokens",)),
        ({"pooling_mode_weightedmean_tokens": True}, ("weightedmean",)),
        ({"pooling_mode_lasttoken": True}, ("lasttoken",)),
        ({"pooling_mode": "lasttoken"}, ("lasttoken",)),
        ({"pooling_mode": ["mean", "cls"]}, ("mean", "cls")),
        ({"pooling_mode": "cls", "pooling_mode_mean_tokens": True}, ("cls",)),
        ({}, ("mean",)),
    ],
)
def test_old_and_new_pooling_keys_are_read(sentence_folder: Make, pooling: dict[str, object], modes: object) -> None:
    how = read_sentence_folder(sentence_folder(pooling))
    assert how.pooling == modes
    assert how.dim == WIDTH * len(how.pooling)


@pytest.mark.parametrize(
    ("rest", "similarity", "normalise"),
    [
        ([("2_Normalize", NORMALIZE)], None, True),
        ([("2_Normalize", NORMALIZE)], "euclidean", True),  # among unit vectors the order is that of the cosine
        ([], "cosine", True),
        ([], "dot", False),
        ([], None, False),
    ],
)
def test_unit_length_follows_the_modules_and_the_similarity(
    sentence_folder: Make, rest: object, similarity: str | None, normalise: bool
) -> None:
    folder = sentence_folder(MEAN, rest=rest, options={"similarity_fn_name": similarity})
    assert read_sentence_folder(folder).normalise is normalise


@pytest.mark.parametrize(
    ("options", "query", "document"),
    [
        ({}, "", ""),
        ({"prompts": {"query": "q: ", "passage": "p: "}}, "q: ", "p: "),
        ({"prompts": {"query": "q: ", "document": "d: ", "passage": "p: "}}, "q: ", "d: "),
        ({"prompts": {"query": "q: ", "document": ""}, "default_prompt_name": None}, "q: ", ""),
        ({"prompts": {"both": "b: "}, "default_prompt_name": "both"}, "b: ", "b: "),
        ({"prompts": {"query": "q: "}, "default_prompt_name": "query"}, "q: ", ""),
        ({"prompts": {"clustering": "c: "}}, "", ""),
    ],
)
def test_prompts_by_role(sentence_folder: Make, options: dict[str, object], query: str, document: str) -> None:
    how = read_sentence_folder(sentence_folder(MEAN, options=options))
    assert how.prompts == {"query": query, "document": document}


def test_a_dense_layer_after_pooling_sets_the_size(sentence_folder: Make) -> None:
    folder = sentence_folder(MEAN, rest=[("2_Dense", DENSE), ("3_Normalize", NORMALIZE)])
    activation = "torch.nn.modules.activation.Tanh"
    write_json(
        folder / "2_Dense/config.json", {"in_features": 32, "out_features": 5, "activation_function": activation}
    )
    how = read_sentence_folder(folder)
    assert how.dim == 5
    assert how.after == (
        DenseLayer(path=folder / "2_Dense", in_features=32, out_features=5, bias=True, activation="Tanh"),
    )


def test_the_size_of_a_truncated_model_is_the_smaller_one(sentence_folder: Make) -> None:
    assert read_sentence_folder(sentence_folder(MEAN, options={"truncate_dim": 8})).dim == 8


@pytest.mark.parametrize(
    ("model", "tokenizer", "expected"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, {"model_max_length": 1e30}, 512),
        ({"model_type": "bert", "max_position_embeddings": 512}, {"model_max_length": 128}, 128),
        ({"model_type": "roberta", "max_position_embeddings": 514}, {}, 512),
        ({"model_type": "t5"}, {}, 512),
    ],
)
def test_without_a_declared_length_tokenizer_and_positions_limit_it(
    tmp_path: Path, model: dict[str, object], tokenizer: dict[str, object], expected: int
) -> None:
    write_json(tmp_path / "config.json", {"hidden_size": 4, **model})
    write_json(tmp_path / "tokenizer_config.json", tokenizer)
    assert read_sentence_folder(tmp_path).max_length == expected


def test_the_declared_length_wins(sentence_folder: Make) -> None:
    assert read_sentence_folder(sentence_folder(MEAN, max_length=7)).max_length == 7


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("modules.json", [{"path": "", "type": TRANSFORMER}], "Transformer"),
        ("modules.json", [{"path": "", "type": "sentence_transformers.models.CLIPModel"}], "CLIPModel"),
        ("modules.json", [{"path": "", "type": "my_code.Transformer"}], "my_code.Transformer"),
        ("modules.json", [{"path": "../..", "type": TRANSFORMER}, {"path": "p", "type": POOLING}], "leads out"),
        ("modules.json", {"not": "a list"}, "list of modules"),
        ("1_Pooling/config.json", {"pooling_mode": "median"}, "median"),
        ("1_Pooling/config.json", [], "JSON object"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "fill-mask"),
        ("sentence_bert_config.json", {"modality_config": {"message": {}}}, "chat template"),
        ("sentence_bert_config.json", {"max_seq_length": "many"}, "max_seq_length"),
        ("config_sentence_transformers.json", {"similarity_fn_name": "manhattan"}, "manhattan"),
    ],
)
def test_what_is_not_supported_is_named(sentence_folder: Make, file: str, content: object, named: str) -> None:
    folder = sentence_folder(MEAN, rest=[])
    write_json(folder / file, content)
    with pytest.raises(SpecError, match=named):
        read_sentence_folder(folder)


def test_an_unknown_module_after_pooling_is_named(sentence_folder: Make) -> None:
    folder = sentence_folder(MEAN, rest=[("2_LSTM", "sentence_transformers.models.LSTM")])
    with pytest.raises(SpecError, match="module LSTM is not supported"):
        read_sentence_folder(folder)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"in_features": 32, "out_features": 5, "activation_function": "os.system"}, "os.system"),
        ({"in_features": 32, "out_features": 5, "use_residual": True}, "only a Dense layer"),
        ({"in_features": 32}, "out_features"),
    ],
)
def test_a_dense_layer_of_another_kind_is_refused(sentence_folder: Make, config: dict[str, object], named: str) -> None:
    folder = sentence_folder(MEAN, rest=[("2_Dense", DENSE)])
    write_json(folder / "2_Dense" / "config.json", config)
    with pytest.raises(SpecError, match=named):
        read_sentence_folder(folder)


def test_broken_json_names_its_file(sentence_folder: Make) -> None:
    folder = sentence_folder(MEAN)
    (folder / "modules.json").write_text("[{", encoding="utf-8")
    with pytest.raises(SpecError, match=r"modules\.json: cannot be read as JSON"):
        read_sentence_folder(folder)
