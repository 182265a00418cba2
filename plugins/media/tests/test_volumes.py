"""Merlin beyond what its layout is held by: the flat network inflated, a file that becomes a vector, and what is no volume.

Its weights are random, and its texts of forty words; that its network is what another implementation gives is in
`test_layouts.py`."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from plugins.media.tests.drawn import drawings, encoded
from plugins.media.tests.published import Reference, drawn, merlin
from rag.errors import SpecError
from rag.indexes import SentenceEncoder
from ragline_media.tower import volumes
from ragline_media.tower.inflated import inflated
from ragline_media.tower.joint import JointTower
from ragline_media.tower.published import Published
from ragline_media.tower.volumes import volume_of


def scan(values: NDArray[Any], affine: list[float]) -> bytes:
    """A file of NIfTI. `affine`: millimetres from a voxel to the next in each direction; below zero to the left, back or down."""
    nibabel = pytest.importorskip("nibabel")
    return bytes(nibabel.Nifti1Image(values.astype(np.float32), np.diag([*affine, 1.0])).to_bytes())


def test_what_is_the_same_at_all_depths_is_seen_as_its_slice() -> None:
    """A flat network whose kernels are put into the middle of deeper ones gives of such a volume what it gives of a picture."""
    torchvision = pytest.importorskip("torchvision")
    resnet = torchvision.models.resnet
    flat = drawn(resnet.ResNet(resnet.Bottleneck, [1, 2, 1, 1]))
    head = drawn(torch.nn.Linear(2048, 8))
    weights = {}
    for name, each in flat.state_dict().items():
        if each.ndim == 4:
            deep = torch.zeros(*each.shape[:2], 1 if each.shape[2] == 1 else 3, *each.shape[2:])
            deep[:, :, deep.shape[2] // 2] = each
            weights[name] = deep
        elif not name.startswith("fc."):
            weights[name] = each
    weights |= {"contrastive_head.weight": head.weight[:, :, None, None, None], "contrastive_head.bias": head.bias}
    flat.fc = head
    slices = torch.randn(2, 1, 32, 24, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = flat(slices.expand(-1, 3, -1, -1))
        found = inflated(weights)(slices[:, :, None].expand(-1, -1, 5, -1, -1))
    assert float((expected[0] - expected[1]).abs().max()) > 1e-2
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "affine", "lies"),
    [
        # 5 voxels to the left 3 mm apart are 9 to the right, and 3 upwards 6 mm apart are 5
        ((5, 4, 3), [-3.0, 1.5, 6.0], [(107, 9, 12.0, 0.0), (110, 4, 0.0, 0.0), (77, 5, 0.0, 0.0)]),
        # of 300, those from the 38th on; the end of what is wanted lies between two voxels
        ((300, 2, 4), [1.5, -1.5, 2.0], [(0, 224, 0.0, 38.0), (111, 2, 1.5, 0.0), (78, 3, 0.0, 0.0)]),
    ],
)
def test_a_scan_is_turned_spaced_and_cut(
    shape: tuple[int, int, int], affine: list[float], lies: list[tuple[int, int, float, float]]
) -> None:
    """What is linear over millimetres stays so between voxels. lies: first voxel, how many, millimetres at the first of the file
    turned, and how many are left out before."""
    mm = np.meshgrid(*(np.arange(n) * each for n, each in zip(shape, affine, strict=True)), indexing="ij")
    measured = 2 * mm[0] - 20 * mm[1] + 30 * mm[2]
    found = volume_of(scan(measured, affine))
    expected = np.zeros((224, 224, 160))
    wanted = [
        -least + each * (np.arange(n) + left) for (_, n, least, left), each in zip(lies, (1.5, 1.5, 3.0), strict=True)
    ]
    at = np.meshgrid(*wanted, indexing="ij")
    place = tuple(slice(first, first + n) for first, n, _, _ in lies)
    expected[place] = (2 * at[0] - 20 * at[1] + 30 * at[2] + 1000) / 2000
    assert found.shape == (1, 160, 224, 224)
    np.testing.assert_allclose(found[0], expected.transpose(2, 0, 1), atol=1e-5)


def test_units_beyond_those_of_a_body_become_0_and_1() -> None:
    values = np.array([-3000.0, -1000, 0, 1000, 3000]).reshape(5, 1, 1)
    found = volume_of(gzip.compress(scan(values, [1.5, 1.5, 3.0])))
    assert found[0, 79, 109:114, 111].tolist() == [0, 0, 0.5, 1, 1]


def test_volumes_and_reports_of_a_folder_have_vectors_of_one_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volumes, "_VOXELS", (40, 32, 12))  # the network takes any size, and a whole one takes a minute
    drawing = np.random.default_rng(0)
    scans = [scan(drawing.normal(0, 500, (20, 20, 20)), [3.0, 2.0, 3.0]) for _ in range(2)]
    folder = merlin().folder(tmp_path / "merlin")
    seen = JointTower(str(folder)).features(scans).pooled
    encoder = SentenceEncoder(model=str(folder))
    said = encoder.encode(["A red disc.", "a RED disc ."], role="document")
    assert seen.shape == said.shape == (2, 48) == (2, encoder.dim)
    np.testing.assert_allclose(np.linalg.norm(np.concatenate([seen, said]), axis=1), 1, atol=1e-5)
    assert np.abs(seen[0] - seen[1]).max() > 1e-3
    np.testing.assert_allclose(said[0], said[1], atol=1e-6)
    network, pixels = Published(folder).side("seen"), torch.from_numpy(np.stack([volume_of(each) for each in scans]))
    with torch.no_grad():
        np.testing.assert_allclose(seen, torch.nn.functional.normalize(network(pixels)).numpy(), atol=1e-5)


def test_tokens_are_told_where_they_stood_before_words_and_signs_went_apart(tmp_path: Path) -> None:
    folder = merlin().folder(tmp_path / "merlin")
    told = SentenceEncoder(model=str(folder)).spans(["İ  Red-disc.", "", "\ud800"])
    assert told == [[(0, 1), (0, 1), (3, 6), (6, 7), (7, 11), (11, 12)], [], [(0, 1)]]


def test_what_is_no_volume_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scan(np.zeros((3, 3, 3)), [1.5, 1.5, 3.0])
    picture = encoded(drawings(1)[0].picture())
    nothing = scan(np.full((3, 3, 3), np.nan), [1.5, 1.5, 3.0])
    for content, told in [
        *((each, "a volume cannot be read") for each in (picture, b"", whole[:360], gzip.compress(whole)[:60])),
        (nothing, "not finite"),
        (scan(np.zeros((3, 3)), [1.5, 1.5, 3.0]), "three directions"),
        (scan(np.zeros((3, 3, 3, 2)), [1.5, 1.5, 3.0]), "three directions"),
        (scan(np.zeros((3, 3, 3)), [1e6, 1.5, 3.0]), "millimetres apart"),
    ]:
        with pytest.raises(SpecError, match=told):
            volume_of(content)
    monkeypatch.setattr(volumes, "LARGEST_VOXELS", 26)
    with pytest.raises(SpecError, match="more than 26 voxels"):
        volume_of(whole)
    monkeypatch.setattr(volumes, "LARGEST_BYTES", 400)
    for content in (whole, gzip.compress(whole)):
        with pytest.raises(SpecError, match="larger than 400 bytes"):
            volume_of(content)


IMAGE, TEXT = "encode_image.i3_resnet.", "encode_text."


@pytest.mark.parametrize(
    ("side", "name", "change", "told"),
    [
        ("seen", f"{IMAGE}layer5.0.conv1.weight", torch.zeros(3), "layer5.0.conv1.weight"),
        ("seen", "encode_image.i4_resnet.conv1.weight", torch.zeros(3), "is called 'encode_image.i4_resnet.conv1"),
        ("seen", f"{IMAGE}layer2.0.conv2.weight", None, "layer2.0.conv2.weight"),
        ("seen", f"{IMAGE}layer2.0.bn3.running_mean", None, "layer2.0.bn3.running_mean"),
        ("seen", f"{IMAGE}layer2.0.downsample.0.weight", None, "makes 32 channels, and 16 stand beside"),
        ("seen", f"{IMAGE}layer3.0.conv1.weight", torch.zeros(16, 31, 1, 1, 1), "over 32 channels is wanted"),
        ("seen", f"{IMAGE}layer3.0.conv3.weight", torch.zeros(60, 16, 1, 1, 1), "makes 60 channels, and 64 stand"),
        (
            "seen",
            f"{IMAGE}conv1.weight",
            torch.zeros(4, 3, 7, 7),
            "'conv1.weight' has the shape .4, 3, 7, 7.; a kernel with a depth",
        ),
        ("said", f"{TEXT}text_encoder.encoder.layer.1.output.dense.bias", None, "layer.1.output.dense.bias"),
        ("said", f"{TEXT}linear_layer.weight", torch.zeros(48, 63), "project.weight"),
    ],
)
def test_weights_of_another_network_are_told_by_name(
    side: Any, name: str, change: torch.Tensor | None, told: str, tmp_path: Path
) -> None:
    whole = merlin()
    weights = {key: each for key, each in whole.weights.items() if key != name}
    weights |= {} if change is None else {name: change}
    folder = Reference(weights, whole.config, whole.pictures, whole.texts).folder(tmp_path / "merlin")
    with pytest.raises(SpecError, match=rf"(?s)has no weights of the layout 'merlin' .*(?:{told})"):
        Published(folder).side(side)


def test_a_window_that_cannot_be_is_told(tmp_path: Path) -> None:
    whole = merlin()
    folder = Reference(whole.weights, {**whole.config, "attention_window": 7}, whole.pictures, whole.texts)
    with pytest.raises(SpecError, match="attention_window is 7, and must be even, from 2 to 4096"):
        Published(folder.folder(tmp_path / "merlin")).side("said")
