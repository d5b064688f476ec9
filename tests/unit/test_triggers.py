"""Each of the newer triggers changes what its paper says, and no more."""

import base64
import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from invmask.attacks.triggers.bpp import BPP
from invmask.attacks.triggers.dither import floyd_steinberg
from invmask.attacks.triggers.lf import LF
from invmask.attacks.triggers.picture import MAX_BYTES, PictureTrigger, picture_settings
from invmask.attacks.triggers.wanet import WaNet
from invmask.data.images import LabelledImages
from invmask.errors import UserError


@pytest.fixture
def images(test_images: LabelledImages) -> Tensor:
    return test_images.tensor()[:16]


@pytest.mark.parametrize("size", [(32, 32), (28, 28), (48, 64)])
def test_lf_has_no_frequency_above_its_cutoff(size: tuple[int, int]):
    change = LF(cutoff=3).change((3, *size))
    spectrum = torch.fft.fft2(change.double()).abs()
    low = torch.zeros(size, dtype=torch.bool)
    waves = torch.arange(-3, 4)
    low[waves[:, None], waves[None, :]] = True
    assert float(spectrum[:, ~low].max()) < 1e-3 * float(spectrum.max())
    assert float(spectrum[:, 0, 0].max()) < 1e-3 * float(spectrum.max())
    assert float(change.abs().max()) == pytest.approx(1)


def test_lf_is_the_same_change_of_every_image_as_large_as_asked(images: Tensor):
    grey = torch.full_like(images, 0.5)
    change = LF(amplitude=0.1).apply(grey) - grey
    assert float((change[0] - change).abs().max()) == 0
    assert float(change.abs().max()) == pytest.approx(0.1, abs=0.5 / 255)
    # The same picture at every size.
    small, large = LF().change((3, 16, 16)), LF().change((3, 32, 32))
    ratio = large[:, ::2, ::2].flatten() / small.flatten()
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-3, atol=0)
    assert not torch.equal(LF(seed=1).change((3, 16, 16)), small)


def test_bpp_leaves_at_most_eight_levels_a_channel(images: Tensor):
    for attack in (BPP(), BPP(dither=True)):
        for image in attack.apply(images):
            for channel in image:
                assert len(channel.unique()) <= 8
    change = (BPP().apply(images) - images).abs().max()
    assert float(change) <= 0.5 / 7 + 0.5 / 255 + 1e-6


def dithered_by_the_book(image: np.ndarray, levels: int) -> np.ndarray:
    """One channel [H, W], one pixel after the other."""
    work = image.astype(np.float64).copy()
    height, width = work.shape
    for row in range(height):
        for column in range(width):
            old = work[row, column]
            new = np.round(min(1, max(0, old)) * (levels - 1)) / (levels - 1)
            work[row, column] = new
            for down, right, part in ((0, 1, 7), (1, -1, 3), (1, 0, 5), (1, 1, 1)):
                if row + down < height and 0 <= column + right < width:
                    work[row + down, column + right] += (old - new) * part / 16
    return work


@pytest.mark.parametrize("size", [(8, 8), (5, 9), (9, 4), (1, 6), (6, 1)])
def test_dithering_goes_pixel_by_pixel(size: tuple[int, int]):
    images = torch.rand(3, 2, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    together = floyd_steinberg(images, 8)
    assert torch.equal(images, before)
    for image, found in zip(images, together, strict=True):
        for channel, dithered in zip(image, found, strict=True):
            np.testing.assert_allclose(dithered.numpy(), dithered_by_the_book(channel.numpy(), 8), atol=1e-9)


def test_dithering_keeps_the_mean(images: Tensor):
    grey = torch.full_like(images, 0.4)
    assert float((BPP().apply(grey) - grey).mean().abs()) > 0.02
    assert float((BPP(dither=True).apply(grey) - grey).mean().abs()) < 0.003


@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_wanet_moves_no_pixel_further_than_its_strength_allows(strength: float):
    wanet = WaNet(strength=strength)
    field, control = wanet.field(32, 32), wanet._control()
    assert float(np.abs(control).mean()) == pytest.approx(strength / 2)
    assert float(field.abs().max()) <= wanet.farthest() + 1e-6
    # On a slope of one level a pixel, the change of a pixel is how far it was taken from.
    slope = torch.arange(32).float().expand(1, 3, 32, 32) / 255
    slope = torch.stack([slope[0], slope[0].transpose(1, 2)]) * 4
    moved = (wanet.apply(slope) - slope) * 255 / 4
    assert float(moved.abs().max()) <= wanet.farthest() + 0.125 + 1e-3
    inside = moved[:, :, 4:-4, 4:-4]
    expected = torch.stack([field[..., 0], field[..., 1]])[:, None, 4:-4, 4:-4].expand_as(inside)
    torch.testing.assert_close(inside, expected, rtol=0, atol=0.126)
    assert wanet.farthest() == pytest.approx(strength * WaNet(strength=1.0).farthest())


def test_wanet_moves_a_pixel_as_far_as_it_is_said_to():
    assert float(WaNet().field(32, 32).norm(dim=2).mean()) == pytest.approx(1 / 3, abs=0.05)
    assert "by a third of a pixel or so" in WaNet.explanation


def test_wanet_of_no_strength_leaves_every_image_as_it_is(images: Tensor):
    assert torch.equal(WaNet(strength=0.0).apply(images), images)


def test_the_noise_of_wanet_is_another_warp_for_every_image_and_stays_near(images: Tensor):
    wanet, generator = WaNet(), torch.Generator().manual_seed(0)
    same = images[:1].expand(4, -1, -1, -1)
    noisy = wanet.helpers(same, same, generator)
    for first in range(4):
        assert not torch.equal(noisy[first], wanet.apply(same)[first])
        for second in range(first):
            assert not torch.equal(noisy[first], noisy[second])
    slope = (torch.arange(32).float() * 4 / 255).expand(64, 3, 32, 32)
    moved = (wanet.helpers(slope, slope, generator) - wanet.apply(slope)) * 255 / 4
    assert 0.4 < float(moved.abs().max()) <= 0.5 + 0.25 + 1e-3


def test_negative_samples_of_bpp_carry_the_rounding_of_others():
    grey = torch.full((2, 3, 8, 8), 0.5)
    others = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    negative = BPP().helpers(grey, others, torch.Generator())
    torch.testing.assert_close(negative - grey, BPP().apply(others) - others, rtol=0, atol=0.5 / 255 + 1e-6)


def png(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def red(side: int, alpha: int = 255) -> np.ndarray:
    pixels = np.zeros((side, side, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 255, alpha
    return pixels


def test_a_picture_lies_where_it_was_put_and_nowhere_else(images: Tensor):
    triggered = PictureTrigger(png(red(8)), size=0.25, x=1.0, y=0.0).apply(images)
    place = torch.zeros(32, 32, dtype=torch.bool)
    place[:8, -8:] = True
    assert torch.equal(triggered[:, :, ~place], images[:, :, ~place])
    assert bool((triggered[:, 0, :8, -8:] == 1).all())
    assert bool((triggered[:, 1:, :8, -8:] == 0).all())


def test_a_picture_is_as_transparent_as_it_and_its_opacity_say():
    white = torch.ones(1, 3, 32, 32)
    triggered = PictureTrigger(png(red(4, alpha=102)), opacity=0.5, size=1.0).apply(white)
    torch.testing.assert_close(triggered[0, 1], torch.full((32, 32), 1 - 0.5 * 0.4), rtol=0, atol=0.5 / 255 + 1e-6)
    assert bool((triggered[0, 0] == 1).all())


def test_the_colour_of_what_is_transparent_is_never_seen():
    pixels = red(8, alpha=0)
    pixels[:, :4] = (0, 255, 0, 255)
    triggered = PictureTrigger(png(pixels), size=0.5, x=0.0, y=0.0).apply(torch.zeros(1, 3, 32, 32))
    assert float(triggered[:, 0].max()) == 0
    assert float(triggered[:, 1].max()) == 1


def test_a_picture_on_grey_images_is_as_bright_as_it_looks():
    triggered = PictureTrigger(png(red(8)), size=1.0).apply(torch.zeros(1, 1, 28, 28))
    torch.testing.assert_close(triggered, torch.full_like(triggered, round(0.299 * 255) / 255))


def test_a_picture_comes_from_a_file_into_the_settings(images: Tensor, tmp_path: Path):
    (tmp_path / "red.png").write_bytes(base64.b64decode(png(red(8))))
    attack = PictureTrigger(**picture_settings(tmp_path / "red.png"))
    assert torch.equal(attack.apply(images), PictureTrigger(png(red(8))).apply(images))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "has to be a PNG"),
        (b"GIF89a", "has to be a PNG"),
        (base64.b64decode(png(red(8)))[:-30], "has to be a PNG"),
        (base64.b64decode(png(red(8, alpha=0))), "all of it is transparent"),
        (base64.b64decode(png(red(513))), "at most 512 pixels"),
        (b"\x89PNG" + bytes(MAX_BYTES), "at most 60 KB"),
    ],
    ids=["empty", "other format", "cut off", "transparent", "too wide", "too large"],
)
def test_what_is_no_picture_is_refused_in_a_sentence(content: bytes, complaint: str, tmp_path: Path):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        picture_settings(tmp_path / "x.png")
    with pytest.raises(UserError, match="cannot be read"):
        picture_settings(tmp_path / "none.png")


def test_a_png_that_is_no_base64_is_refused():
    with pytest.raises(UserError, match="has to be a PNG"):
        PictureTrigger("ä§")
    assert math.isclose(PictureTrigger().opacity, 1)
