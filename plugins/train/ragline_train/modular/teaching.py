"""Teaches modules, and leaves the model that they are for as it was, to the bit.

Sparse masks are those of lottery tickets (Ansell et al., ACL 2022, arXiv 2110.07560): all weights are taught under a price on how
far they move, those that moved most are chosen, the model is set back, and these alone are taught from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn

from rag.errors import SpecError
from rag.writing import require_positive
from ragline_train.modular.adapters import Adapters, Sockets
from ragline_train.modular.differences import Base, Difference, difference_of, weights_of
from ragline_train.modular.lessons import Lesson, MaskedHead
from ragline_train.teaching.loop import on_threads
from ragline_train.teaching.recipes.opened import KEPT, encoder_folder, prompts_of, require_trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSettings:
    """How much is taught.

    Args:
        steps: updates.
        learning_rate: the highest: it rises over a tenth of the steps, and falls to nothing.
        price: of how far weights move on average, while a mask is looked for.
        seed: of dropout; lessons have their own.
        threads: of torch.
    """

    steps: int = 40
    learning_rate: float = 5e-5
    price: float = 0.1
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        require_positive("modules", steps=self.steps, threads=self.threads)
        if not (self.learning_rate > 0 and self.price >= 0):
            raise ValueError("modules: learning_rate must be above 0, and price 0 or above")


class Teachable:
    """An encoder that modules are taught for. Its weights are as they were whenever nothing is taught.

    Args:
        encoder: a packaged name, a folder, or a hub id.
    Raises:
        MissingDependency: sentence-transformers is not installed.
        MissingModel: the encoder is not here and cannot be fetched.
        SpecError: it says nothing of pooling, or has no transformer.
    """

    def __init__(self, encoder: str) -> None:
        require_trainer()
        from sentence_transformers import SentenceTransformer

        folder = encoder_folder(encoder)
        self.model: Any = SentenceTransformer(str(folder.path), **KEPT)
        self.prompts = prompts_of(folder)
        transformer = self.model.transformers_model
        if transformer is None:
            raise SpecError(f"model folder '{folder.path}' has no transformer, so there is nothing to put modules into")
        self.base = Base(transformer.eval())

    @cached_property
    def sockets(self) -> Sockets:
        return Sockets(self.base)


def teach_all(base: Base, lesson: Lesson, settings: ModuleSettings) -> tuple[Difference, list[float]]:
    """What teaching all weights changes, and the loss of each step: what modules are compared with.

    Layer norms and the table of tokens stay as they are, as with a mask.
    """
    names = tunable(base.model)
    with _set_back(base, names) as before:
        losses = _descended(base, [_of(base, name) for name in names], lesson, settings)
        return difference_of(base, before), losses


def teach_masks(
    base: Base, lesson: Lesson, settings: ModuleSettings, *, sizes: Sequence[int]
) -> list[tuple[Difference, list[float]]]:
    """Differences of so many entries at most, each with the loss of each step. The weights that move most are found once for all.

    Raises:
        SpecError: a size is more than there are weights; or the loss is no number any more.
    """
    names = tunable(base.model)
    weights = {name: _of(base, name) for name in names}
    n = sum(each.numel() for each in weights.values())
    require_positive("modules", **{f"size {at}": size for at, size in enumerate(sizes)})
    if max(sizes) > n:
        raise SpecError(
            f"a mask of {max(sizes):,} entries is asked for, and {n:,} weights can be taught. Ask for fewer"
        )
    with _set_back(base, names) as before:

        def priced(step: int) -> Tensor:
            far = torch.stack([(weight - before[name]).abs().sum() for name, weight in weights.items()]).sum()
            return lesson(step) + settings.price * far / n

        _descended(base, [*weights.values()], priced, settings)
        moved = torch.cat([(weight.detach() - before[name]).abs().view(-1) for name, weight in weights.items()])
    return [_masked(base, lesson, settings, weights, moved, size) for size in sizes]


def _masked(
    base: Base, lesson: Lesson, settings: ModuleSettings, weights: Mapping[str, nn.Parameter], moved: Tensor, size: int
) -> tuple[Difference, list[float]]:
    chosen = torch.zeros(len(moved), dtype=torch.bool)
    chosen[moved.topk(size).indices] = True
    parts = cast(Any, chosen).split([each.numel() for each in weights.values()])
    masks = {name: part.view(weights[name].shape) for name, part in zip(weights, parts, strict=True)}
    some = [name for name, mask in masks.items() if bool(mask.any())]
    with _set_back(base, some) as before:
        taught = [weights[name] for name in some]
        losses = _descended(base, taught, lesson, settings, masks=[masks[name] for name in some])
        return difference_of(base, before), losses


def teach_adapters(
    base: Base,
    sockets: Sockets,
    taught: Adapters,
    lesson: Lesson,
    settings: ModuleSettings,
    *,
    on: Sequence[Adapters] = (),
) -> list[float]:
    """Teach adapters in place, and give the loss of each step.

    Args:
        on: frozen ones below them, such as those of the language that teaches ranking.
    """
    with sockets.added(*on, taught):
        losses = _descended(base, [*taught.parameters()], lesson, settings)
    taught.requires_grad_(False)
    return losses


def teach_head(base: Base, head: MaskedHead, lesson: Lesson, settings: ModuleSettings) -> list[float]:
    """Teach a head for hidden words in place, and nothing below it."""
    losses = _descended(base, [*head.parameters()], lesson, settings)
    head.requires_grad_(False)
    return losses


def tunable(model: nn.Module) -> list[str]:
    """Names of the weights that differences are made of: all but layer norms and tables."""
    kept = {
        id(weight)
        for module in model.modules()
        if isinstance(module, nn.LayerNorm | nn.Embedding)
        for weight in module.parameters()
    }
    return [name for name, weight in weights_of(model) if id(weight) not in kept]


def _descended(
    base: Base,
    weights: Sequence[nn.Parameter],
    lesson: Lesson,
    settings: ModuleSettings,
    *,
    masks: Sequence[Tensor] = (),
) -> list[float]:
    """`masks`: which numbers of each weight are taught; all, where there are none."""
    losses = list[float]()
    warm = max(1, settings.steps // 10)
    with torch.random.fork_rng(devices=[]), on_threads(settings.threads), _only(base.model, weights):
        torch.manual_seed(settings.seed)
        optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: min((step + 1) / warm, (settings.steps - step) / max(1, settings.steps - warm))
        )
        for step in range(settings.steps):
            loss = lesson(step)
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise SpecError(f"the loss is {losses[-1]} after {step} steps. A lower learning rate may help")
            optimiser.zero_grad()
            cast(Any, loss).backward()
            for weight, mask in zip(weights, masks, strict=False):
                if weight.grad is not None:
                    weight.grad *= mask
            optimiser.step()
            schedule.step()
    return losses


@contextmanager
def _only(model: nn.Module, weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Gradients of these alone, and dropout, meanwhile."""
    before = [(each, each.requires_grad) for each in model.parameters()]
    model.train()
    for each, _ in before:
        each.requires_grad_(False)
    for each in weights:
        each.requires_grad_(True)
    try:
        yield
    finally:
        model.eval()
        for each, required in before:
            each.requires_grad_(required)
            each.grad = None


@contextmanager
def _set_back(base: Base, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Weights as they are now, which they are afterwards too."""
    before = {name: _of(base, name).detach().clone() for name in names}
    try:
        yield before
    finally:
        with torch.no_grad():
            for name, weight in before.items():
                _of(base, name).copy_(weight)


def _of(base: Base, name: str) -> nn.Parameter:
    return base.model.get_parameter(name)
