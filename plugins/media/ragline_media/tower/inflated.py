"""The network that sees volumes (Merlin's): a ResNet (He et al., CVPR 2016) whose kernels are inflated along depth (Carreira and
Zisserman, CVPR 2017), and a head above the mean of its places.

How wide and deep it is stands in the shapes of its weights. Its steps do not: the first layer of the second, third and fourth
stage halves all three directions, the pooling does too, and the first kernel halves height and width alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

_STAGES = {"layer1": 1, "layer2": 2, "layer3": 2, "layer4": 2}
"""Stage -> the step of its first layer."""

_COLOURS = 3

Weights = Mapping[str, Tensor]


class Bottleneck(nn.Module):
    """Narrow, across places, wide again, beside what came in. Its step is that of the middle kernel."""

    def __init__(self, weights: Weights, at: str, *, into: int, step: int) -> None:
        super().__init__()
        steps = (step, step, step)
        self.conv1 = _kernel(weights, f"{at}conv1", into=into)
        self.conv2 = _kernel(weights, f"{at}conv2", into=self.conv1.out_channels, step=steps)
        self.conv3 = _kernel(weights, f"{at}conv3", into=self.conv2.out_channels)
        self.bn1, self.bn2, self.bn3 = (_norm(each) for each in (self.conv1, self.conv2, self.conv3))
        self.out_channels = self.conv3.out_channels
        self.downsample: nn.Module = nn.Identity()
        if f"{at}downsample.0.weight" in weights:
            reduced = _kernel(weights, f"{at}downsample.0", into=into, step=steps)
            self.downsample = nn.Sequential(reduced, _norm(reduced))
            into = reduced.out_channels
        if into != self.out_channels:
            raise ValueError(f"'{at}conv3.weight' makes {self.out_channels} channels, and {into} stand beside them")

    def forward(self, states: Tensor) -> Tensor:
        """float [n, channels, depth, height, width], and so for all below."""
        found = functional.relu(self.bn1(self.conv1(states)), inplace=True)
        found = functional.relu(self.bn2(self.conv2(found)), inplace=True)
        return functional.relu(self.bn3(self.conv3(found)) + self.downsample(states), inplace=True)


class Inflated(nn.Module):
    """The side of volumes."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.conv1 = _kernel(weights, "conv1", into=_COLOURS, step=(1, 2, 2))
        self.bn1 = _norm(self.conv1)
        stages, into = list[nn.Sequential](), self.conv1.out_channels
        for name, step in _STAGES.items():
            stage, into = _stage(weights, name, into=into, step=step)
            stages.append(stage)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.contrastive_head = _kernel(weights, "contrastive_head", into=into)

    def forward(self, volumes: Tensor) -> Tensor:
        """float32 [n, 1, depth, height, width], which is seen as three colours that are the same -> float32 [n, dim], of any
        length."""
        states = volumes.expand(-1, _COLOURS, -1, -1, -1)
        states = functional.relu(self.bn1(self.conv1(states)), inplace=True)
        states = functional.max_pool3d(states, 3, stride=2, padding=1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            states = stage(states)
        found: Tensor = self.contrastive_head(states.mean(dim=(2, 3, 4), keepdim=True)).flatten(1)
        return found


def inflated(weights: Weights) -> nn.Module:
    """With its weights, ready to be read from.

    Raises:
        KeyError, RuntimeError, ValueError: a weight is missing, too many, or of a shape that does not fit the others.
    """
    with torch.device("meta"):  # nothing is drawn only to be written over
        network = Inflated(weights)
    network.load_state_dict(dict(weights), assign=True)
    return network.eval().requires_grad_(False)


def _stage(weights: Weights, name: str, *, into: int, step: int) -> tuple[nn.Sequential, int]:
    """With how many channels it makes."""
    numbers = {int(found[1]) for key in weights if (found := re.match(rf"{name}\.(\d+)\.", key))}
    if not numbers or numbers != {*range(len(numbers))}:
        raise ValueError(f"of '{name}' there are the layers {sorted(numbers)}")
    made = list[Bottleneck]()
    for n in sorted(numbers):
        made.append(Bottleneck(weights, f"{name}.{n}.", into=into, step=1 if n else step))
        into = made[-1].out_channels
    return nn.Sequential(*made), into


def _kernel(weights: Weights, name: str, *, into: int, step: tuple[int, int, int] = (1, 1, 1)) -> nn.Conv3d:
    shape = tuple(weights[f"{name}.weight"].shape)
    if len(shape) != 5 or shape[1] != into:
        raise ValueError(f"'{name}.weight' has the shape {shape}; a kernel with a depth over {into} channels is wanted")
    deep, high, wide = shape[2:]
    around = (deep // 2, high // 2, wide // 2)
    bias = f"{name}.bias" in weights
    return nn.Conv3d(into, shape[0], (deep, high, wide), stride=step, padding=around, bias=bias)


def _norm(kernel: nn.Conv3d) -> nn.BatchNorm3d:
    return nn.BatchNorm3d(kernel.out_channels)
