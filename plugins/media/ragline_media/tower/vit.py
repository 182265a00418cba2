"""The network of CLIP (Radford et al., ICML 2021) and of what grew out of it: pictures and texts -> vectors of one space.

How wide, deep and long it is stands in the shapes of its weights; `How` says what these do not. It knows no file and no key
of a published layout.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

Turn = tuple[Tensor, Tensor]
"""Cosine and sine of the angles by which queries and keys are turned, [tokens, numbers of a head] each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What shapes do not say.

    Args:
        seen_heads, said_heads: of attention; None: 64 numbers a head.
        quick: `x sigmoid(1.702 x)` between the two layers, as OpenAI's weights want; else the exact GELU.
        epsilon: of the norms.
        used: experts that a token goes to, where there are any.
        theta: base of the angles, where places are turns.
    """

    seen_heads: int | None = None
    said_heads: int | None = None
    quick: bool = False
    epsilon: float = 1e-5
    used: int = 2
    theta: float = 10_000.0


class Mlp(nn.Module):
    """Two layers."""

    def __init__(self, width: int, inner: int, *, quick: bool) -> None:
        super().__init__()
        self.wide, self.narrow, self._quick = nn.Linear(width, inner), nn.Linear(inner, width), quick

    def forward(self, states: Tensor) -> Tensor:
        """float [..., width], and so for all below."""
        wide = self.wide(states)
        narrow: Tensor = self.narrow(wide * torch.sigmoid(1.702 * wide) if self._quick else functional.gelu(wide))
        return narrow


class Experts(nn.Module):
    """Several of them: each token goes to the few that its gate gives most, and they count by their shares."""

    def __init__(self, width: int, inner: int, n: int, *, quick: bool, used: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, n, bias=False)
        self.experts = nn.ModuleList(Mlp(width, inner, quick=quick) for _ in range(n))
        self._used = min(used, n)

    def forward(self, states: Tensor) -> Tensor:
        shares, chosen = self.gate(states).softmax(dim=-1).topk(self._used, dim=-1)
        shares = shares / shares.sum(dim=-1, keepdim=True)
        found = torch.zeros_like(states)
        for number, expert in enumerate(self.experts):
            own = torch.where(chosen == number, shares, 0).sum(dim=-1)
            going = own > 0
            found[going] += own[going][:, None] * expert(states[going])
        return found


class Attention(nn.Module):
    """Of several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.qkv, self.out, self._heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads

    def forward(self, states: Tensor, *, causal: bool = False, turn: Turn | None = None) -> Tensor:
        n, tokens, width = states.shape
        parts = self.qkv(states).view(n, tokens, 3, self._heads, width // self._heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        if turn is not None:
            query, key = _turned(query, turn), _turned(key, turn)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
        found: Tensor = self.out(mixed.transpose(1, 2).reshape(n, tokens, width))
        return found


class Frames(nn.Module):
    """Each patch looks at itself in the other frames of a film (LanguageBind's side of films)."""

    def __init__(self, width: int, heads: int, frames: int, *, epsilon: float) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.zeros(frames, width))
        self.norm, self.attention = nn.LayerNorm(width, eps=epsilon), Attention(width, heads)

    def forward(self, states: Tensor) -> Tensor:
        frames, width = self.places.shape
        own = states.view(-1, frames, states.shape[1], width).transpose(1, 2).flatten(0, 1) + self.places
        own = own + self.attention(self.norm(own))
        found: Tensor = own.view(-1, states.shape[1], frames, width).transpose(1, 2).reshape(states.shape)
        return found


class Block(nn.Module):
    """Attention, and what follows it, each upon its norm and beside what came in."""

    def __init__(self, weights: Mapping[str, Tensor], *, heads: int, how: How) -> None:
        super().__init__()
        width = len(weights["norm1.weight"])
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=how.epsilon), nn.LayerNorm(width, eps=how.epsilon)
        self.attention = Attention(width, heads)
        self.mlp: nn.Module
        if "mlp.gate.weight" in weights:
            inner, n = len(weights["mlp.experts.0.wide.weight"]), len(weights["mlp.gate.weight"])
            self.mlp = Experts(width, inner, n, quick=how.quick, used=how.used)
        else:
            self.mlp = Mlp(width, len(weights["mlp.wide.weight"]), quick=how.quick)
        places = weights.get("time.places")
        self.time = None if places is None else Frames(width, heads, len(places), epsilon=how.epsilon)

    def forward(self, states: Tensor, *, causal: bool = False, turn: Turn | None = None) -> Tensor:
        if self.time is not None:
            states = self.time(states)
        states = states + self.attention(self.norm1(states), causal=causal, turn=turn)
        found: Tensor = states + self.mlp(self.norm2(states))
        return found


class Seen(nn.Module):
    """The side of pictures. `places` are learnt, or patches are turned by where they stand (MLCD), and the first token by what
    was learnt for it."""

    def __init__(self, weights: Mapping[str, Tensor], *, how: How) -> None:
        super().__init__()
        width, channels, patch, _ = weights["patch.weight"].shape
        heads = _heads(width, how.seen_heads)
        self.patch = nn.Conv2d(channels, width, patch, stride=patch, bias=False)
        self.first = nn.Parameter(torch.zeros(width))
        self.places = nn.Parameter(torch.zeros_like(weights["places"])) if "places" in weights else None
        self.first_turn = nn.Parameter(torch.zeros(width // heads // 2)) if "first_turn" in weights else None
        self.before, self.after = nn.LayerNorm(width, eps=how.epsilon), nn.LayerNorm(width, eps=how.epsilon)
        self.blocks = _blocks(weights, heads=heads, how=how)
        project = weights.get("project.weight")
        self.project = nn.Identity() if project is None else nn.Linear(width, len(project), bias=False)
        self._theta, self._heads = how.theta, heads

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 3, height, width], or [n, 3, frames, height, width] of films -> float32 [n, dim], of any length."""
        n = len(pixels)
        if pixels.ndim == 5:
            pixels = pixels.transpose(1, 2).flatten(0, 1)
        grid = self.patch(pixels)
        states = torch.cat([self.first.expand(len(grid), 1, -1), grid.flatten(2).transpose(1, 2)], dim=1)
        states = self.before(states if self.places is None else states + self.places)
        turn = None if self.first_turn is None else self._turn(self.first_turn, grid.shape[2], grid.shape[3])
        for block in self.blocks:
            states = block(states, turn=turn)
        found: Tensor = self.project(self.after(states[:, 0]).view(n, -1, states.shape[2]).mean(dim=1))
        return found

    def _turn(self, first: Tensor, down: int, across: int) -> Turn:
        """A quarter of the angles by the row of the grid and a quarter by the column, and both once more."""
        quarter = len(first) // 2
        steps = self._theta ** -(torch.arange(quarter, device=first.device) / quarter)
        rows, columns = torch.meshgrid(torch.arange(down), torch.arange(across), indexing="ij")
        angles = torch.cat([each.reshape(-1, 1).to(first) * steps for each in (rows, columns)], dim=1)
        whole = torch.cat([first[None], angles]).repeat(1, 2)
        return whole.cos(), whole.sin()


class Said(nn.Module):
    """The side of texts: each token sees those before it, and the last one, which has the highest number, is the text."""

    def __init__(self, weights: Mapping[str, Tensor], *, how: How) -> None:
        super().__init__()
        n_words, width = weights["words.weight"].shape
        self.words = nn.Embedding(n_words, width)
        self.places = nn.Parameter(torch.zeros_like(weights["places"]))
        self.blocks = _blocks(weights, heads=_heads(width, how.said_heads), how=how)
        self.after = nn.LayerNorm(width, eps=how.epsilon)
        self.project = nn.Linear(width, len(weights["project.weight"]), bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """int [n, tokens], filled up behind the last -> float32 [n, dim], of any length."""
        states = self.words(ids) + self.places[: ids.shape[1]]
        for block in self.blocks:
            states = block(states, causal=True)
        found: Tensor = self.project(self.after(states[torch.arange(len(ids)), ids.argmax(dim=1)]))
        return found


def network_of(side: type[nn.Module], weights: Mapping[str, Tensor], how: How) -> nn.Module:
    """A side with its weights, ready to be read from.

    Raises:
        KeyError, RuntimeError, ValueError: a weight is missing, too many, or of a shape that does not fit the others.
    """
    with torch.device("meta"):  # nothing is drawn only to be written over
        network = side(weights, how=how)
    network.load_state_dict(dict(weights), assign=True)
    return network.eval().requires_grad_(False)


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): each for name, each in weights.items() if name.startswith(prefix)}


def _blocks(weights: Mapping[str, Tensor], *, heads: int, how: How) -> nn.ModuleList:
    numbers = {int(found[1]) for name in weights if (found := re.match(r"blocks\.(\d+)\.", name))}
    if numbers != {*range(len(numbers))}:
        raise ValueError(f"of {len(numbers)} layers the last has number {max(numbers)}")
    return nn.ModuleList(Block(_below(weights, f"blocks.{n}."), heads=heads, how=how) for n in sorted(numbers))


def _heads(width: int, said: int | None) -> int:
    heads = width // 64 if said is None else said
    if heads < 1 or width % heads:
        raise ValueError(f"{width} numbers a token cannot be shared by {heads} heads")
    return heads


def _turned(states: Tensor, turn: Turn) -> Tensor:
    """Halves of a head are the two coordinates that are turned."""
    left, right = states.chunk(2, dim=-1)
    return states * turn[0] + torch.cat([-right, left], dim=-1) * turn[1]
