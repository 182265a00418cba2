"""Encoders that are a table of a few words, so that it is known what they can tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WORDS = [f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]


def static_encoder(folder: Path, table: NDArray[np.float32]) -> Path:
    """As model2vec saves it. `table`: float32 [words, dim], a row for each of `WORDS`; other words are nothing."""
    from model2vec import StaticModel
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    vocabulary = {word: number for number, word in enumerate([*WORDS, "[UNK]"])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    vectors = np.vstack([table, np.full((1, table.shape[1]), 1e-6, np.float32)])
    StaticModel(vectors, tokenizer, normalize=True).save_pretrained(folder)
    return folder
