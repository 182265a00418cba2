"""Learned sparse terms for teaching: the same numbers and gradients as a model's own, without a score for every word.

A model of masked words scores each of some thirty thousand words at each token, and keeps of a word the highest score, if that
is above 0. Few are, and the others have no gradient. So which these are is looked up without gradients, a text at a time, and
they alone are computed again. A step is told from the library's own by its time and memory, and by nothing else.

Imported when sparse terms are taught, for it needs torch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import BertForMaskedLM


class FewTerms(torch.nn.Module):
    """A `SparseEncoder`, as a loss asks it.

    Args:
        model: of a masked BERT and the highest score of each word. One of another make is asked as it is.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._masked = _masked_bert(model)

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """`features` with `sentence_embedding`: weights of terms, float32 [texts, words]."""
        if self._masked is None:
            asked: dict[str, Any] = self.model(features)
            return asked
        inputs = {
            name: features[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in features
        }
        hidden = self._masked.cls.predictions.transform(self._masked.bert(**inputs).last_hidden_state)
        scores = self._masked.get_output_embeddings()
        twice = bool(self.model[1].activation_function == "log1p_relu")
        there = features["attention_mask"].bool()
        features["sentence_embedding"] = pooled(hidden, there, scores.weight, scores.bias, twice=twice)
        return features


def _masked_bert(model: Any) -> Any:
    """What scores the words; None where it is no BERT, or where scores are added up."""
    inner = model[0].model
    return inner if isinstance(inner, BertForMaskedLM) and model[1].pooling_strategy == "max" else None


def pooled(hidden: Tensor, there: Tensor, weight: Tensor, bias: Tensor, *, twice: bool = False) -> Tensor:
    """log(1 + the highest score of each word over a text's tokens), 0 where that is below 0: float [texts, words].

    Args:
        hidden: [texts, tokens, dim]. there: bool [texts, tokens], which of these are no padding.
        weight: [words, dim], and bias: [words], of the scores.
        twice: the logarithm is taken twice.
    """
    rows, tokens, terms = [], [], []
    with torch.no_grad():
        for row, (vectors, own) in enumerate(zip(hidden, there, strict=True)):
            places = own.nonzero()[:, 0]
            best, at = linear(vectors[places], weight, bias).max(dim=0)
            found = (best > 0).nonzero()[:, 0]
            rows.append(torch.full_like(found, row))
            tokens.append(places[at[found]])
            terms.append(found)
    which, term = torch.cat(rows), torch.cat(terms)
    scores = (hidden[which, torch.cat(tokens)] * weight[term]).sum(dim=1) + bias[term]
    values = scores.relu().log1p()
    return hidden.new_zeros(len(hidden), len(weight)).index_put((which, term), values.log1p() if twice else values)
