"""Listwise loss of what is added to scores that are there: ListNet (Cao et al., ICML 2007) over their sum.

Imported when a reranker is taught, for it needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


class ResidualListNetLoss(torch.nn.Module):
    """Cross-entropy of softmax(first + logits) against softmax(labels), over each question's candidates.

    Args:
        model: a cross-encoder of one label.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        inputs: tuple[Sequence[str], Sequence[Sequence[str]], Sequence[Sequence[float]]],
        labels: Sequence[Tensor],
        prompt: str | None = None,
        task: str | None = None,
    ) -> Tensor:
        """Mean over questions, each of which has as many candidates as all others.

        Args:
            inputs: questions, the candidates of each, and the candidates' standardised scores of the first stage.
            labels: logarithms of the shares that each candidate should get.
        """
        questions, candidates, first = inputs
        pairs = [(question, text) for question, texts in zip(questions, candidates, strict=True) for text in texts]
        read = self.model.preprocess(pairs, prompt=prompt, task=task)
        scores = self.model(read)["scores"].float().view(len(questions), -1) + torch.tensor(first, dtype=torch.float32)
        return cross_entropy(scores, torch.stack(list(labels)).float().softmax(dim=1))
