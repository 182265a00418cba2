"""The network against plain sums, and against another library's where that is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.media.tests.drawn import drawings, encoded, random_tower
from rag.errors import SpecError
from ragline_media.tower.lite0 import Lite0, SameConv
from ragline_media.tower.packaged import TABLE, TOWER
from ragline_media.tower.tower import Tower


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (1, 1)])
def test_a_convolution_pads_as_tensorflow_does(size: int, kernel: int, stride: int) -> None:
    conv = SameConv(1, 1, kernel, stride=stride, bias=False)
    pixels = np.random.default_rng(size).normal(size=(size, size))
    weights = conv.weight.detach().numpy()[0, 0]
    after = -(-size // stride)
    before = max((after - 1) * stride + kernel - size, 0) // 2
    expected = np.zeros((after, after))
    for down in range(after):
        for across in range(after):
            for i in range(kernel):
                for j in range(kernel):
                    y, x = down * stride + i - before, across * stride + j - before
                    if 0 <= y < size and 0 <= x < size:
                        expected[down, across] += weights[i, j] * pixels[y, x]
    with torch.inference_mode():
        found = conv(torch.from_numpy(pixels[None, None]).float())
    assert np.allclose(found[0, 0].numpy(), expected, atol=1e-5)


def test_the_network_has_as_many_numbers_as_was_published() -> None:
    network = Lite0()
    assert sum(each.numel() for each in network.parameters()) == TABLE[TOWER].n_parameters
    assert len(network.state_dict()) == 296


def test_features_of_a_batch_are_those_of_each_picture(tmp_path: Path) -> None:
    tower = Tower(str(random_tower(tmp_path / "tower")))
    some = [encoded(each.picture(side)) for each, side in zip(drawings(1), (96, 130, 240, 96, 96), strict=False)]
    together = tower.features(some)
    assert (together.pooled.shape, together.logits.shape) == ((5, 1280), (5, 1000))
    for place, one in enumerate(some):
        alone = tower.features([one])
        assert np.allclose(alone.pooled[0], together.pooled[place], rtol=1e-3, atol=1e-12)
    tower.release()
    assert np.array_equal(tower.features(some).pooled, together.pooled)


def test_what_is_seen_through_lies_upon_white(tmp_path: Path) -> None:
    tower = Tower(str(random_tower(tmp_path / "tower")))
    clear = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    white = Image.new("RGB", (100, 100), "white")
    assert np.allclose(tower.features([encoded(clear)]).pooled, tower.features([encoded(white)]).pooled)


def test_what_is_no_picture_and_what_is_no_tower_are_told(tmp_path: Path) -> None:
    folder = random_tower(tmp_path / "tower")
    with pytest.raises(SpecError, match="a picture cannot be read"):
        Tower(str(folder)).features([b"no picture"])
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(SpecError, match="has no weights of EfficientNet-Lite0"):
        Tower(str(folder)).features([encoded(drawings(1)[0].picture())])


@pytest.mark.models
def test_the_packaged_weights_see_what_another_library_sees() -> None:
    timm = pytest.importorskip("timm")
    from safetensors.torch import load_file

    from rag.indexes import resolve

    weights = load_file(resolve(TOWER).path / "model.safetensors")
    other = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    published = [weights[name] for name in Lite0().state_dict()]
    other.load_state_dict(dict(zip(other.state_dict(), published, strict=True)))
    pixels = torch.randn(2, 3, 130, 130, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        pooled, logits = Lite0.of(weights)(pixels)
        assert torch.allclose(other(pixels), logits, atol=1e-4)
        assert torch.allclose(other.forward_head(other.forward_features(pixels), pre_logits=True), pooled, atol=1e-4)


@pytest.mark.models
def test_the_packaged_weights_know_a_traffic_light_that_is_drawn() -> None:
    light = Image.new("RGB", (224, 224), (120, 150, 190))
    from PIL import ImageDraw

    pen = ImageDraw.Draw(light)
    pen.rectangle((85, 30, 140, 200), fill=(20, 20, 20))
    for place, colour in enumerate(("red", "orange", "green")):
        pen.ellipse((95, 40 + 52 * place, 130, 75 + 52 * place), fill=colour)
    from ragline_media.tower.space import class_names

    [logits] = Tower(TOWER).features([encoded(light)]).logits
    assert class_names()[int(np.argmax(logits))] == "traffic light"
