"""EfficientNet-Lite0 (Tan and Le, ICML 2019; the Lite variant has no squeeze-and-excitation, and ReLU6): picture -> features.

Names of modules are those of the published weights, so that these load without a table of keys. Convolutions pad as TensorFlow
does: where a stride leaves an odd pixel, it goes to the right and the bottom.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES, POOLED = 1000, 1280
"""Logits and pooled numbers of a picture."""

_STEM = 32
_BLOCKS = (
    # kernel, stride, expansion, channels, times
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_EPSILON = 1e-3


class SameConv(nn.Conv2d):
    """A convolution whose output has a pixel for each `stride` pixels of its input, the last of which may be cut."""

    def forward(self, pixels: Tensor) -> Tensor:
        """float [n, channels, height, width]."""
        [(kernel, stride)] = {*zip(self.kernel_size, self.stride, strict=True)}
        down, across = (max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in pixels.shape[-2:])
        padded = functional.pad(pixels, (across // 2, across - across // 2, down // 2, down - down // 2))
        return functional.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)


def _conv(before: int, after: int, kernel: int, *, stride: int = 1, groups: int = 1) -> SameConv:
    return SameConv(before, after, kernel, stride=stride, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON)


class Block(nn.Module):
    """An inverted bottleneck (Sandler et al., CVPR 2018): wider, each channel for itself, narrow; beside what came in."""

    def __init__(self, before: int, after: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        self._widens = expansion > 1
        if self._widens:
            self._expand_conv, self._bn0 = _conv(before, wide, 1), _norm(wide)
        self._depthwise_conv, self._bn1 = _conv(wide, wide, kernel, stride=stride, groups=wide), _norm(wide)
        self._project_conv, self._bn2 = _conv(wide, after, 1), _norm(after)
        self._adds = stride == 1 and before == after

    def forward(self, pixels: Tensor) -> Tensor:
        """float [n, before, h, w] -> float [n, after, h / stride, w / stride]."""
        wide = functional.relu6(self._bn0(self._expand_conv(pixels))) if self._widens else pixels
        wide = functional.relu6(self._bn1(self._depthwise_conv(wide)))
        narrow: Tensor = self._bn2(self._project_conv(wide))
        return pixels + narrow if self._adds else narrow


class Lite0(nn.Module):
    """The whole network, to be read from: nothing of it is trained here."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _conv(3, _STEM, 3, stride=2), _norm(_STEM)
        blocks, before = list[Block](), _STEM
        for kernel, stride, expansion, after, times in _BLOCKS:
            for number in range(times):
                first = stride if number == 0 else 1
                blocks.append(Block(before, after, kernel=kernel, stride=first, expansion=expansion))
                before = after
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = _conv(before, POOLED, 1), _norm(POOLED)
        self._fc = nn.Linear(POOLED, CLASSES)

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> Lite0:
        """With the published weights, ready to be read from.

        Raises:
            RuntimeError: a weight is missing, of another shape, or none of this network.
        """
        network = cls()
        network.load_state_dict(dict(weights))
        return network.eval()

    def grid(self, pixels: Tensor) -> Tensor:
        """float32 [n, 3, height, width], (value - 127) / 128 of 0 to 255 -> [n, 1280, height / 32, width / 32]."""
        seen = functional.relu6(self._bn0(self._conv_stem(pixels)))
        for block in self._blocks:
            seen = block(seen)
        return functional.relu6(self._bn1(self._conv_head(seen)))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The same pixels -> pooled [n, 1280] and logits [n, 1000]."""
        pooled = torch.flatten(functional.adaptive_avg_pool2d(self.grid(pixels), 1), 1)
        return pooled, self._fc(pooled)
