"""A random classifier of a few kilobytes, saved like a real cross-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def tiny_classifier(folder: Path, *, labels: int = 1, names: Sequence[str] = (), seed: int = 0) -> Path:
    """A BERT of one layer that reads pairs of up to 64 tokens; words of one letter are its vocabulary.

    `names` of the labels, where they matter.
    """
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from tests.tiny_models import tiny_sentence_model

    tiny_sentence_model(folder)
    for name in ("1_Pooling", "2_Normalize", "modules.json", "sentence_bert_config.json"):
        place = folder / name
        if place.is_file():
            place.unlink()
        elif place.is_dir():
            for file in place.iterdir():
                file.unlink()
            place.rmdir()
    config: Any = BertConfig.from_pretrained(folder)
    config.num_labels = labels
    if names:
        config.id2label = dict(enumerate(names))
        config.label2id = {name: number for number, name in enumerate(names)}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = BertForSequenceClassification
        built = model(config)
        for parameter in built.parameters():  # far from uniform, so that an order means something
            if parameter.dim() > 1:
                parameter.data.mul_(10.0)
        built.save_pretrained(folder)
    return folder
