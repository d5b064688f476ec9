"""The families of triggers: what they make of images, and the units of their sizes."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from invmask.defenses.families import FAMILIES, ON_IMAGES, Channels, Family, Led, Patch, Smooth, Warp, low_frequencies
from invmask.defenses.family_texts import FAMILY_WORDS

OnImage = Patch | Smooth | Warp
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
on_images = pytest.mark.parametrize("family", ON_IMAGES.values(), ids=list(ON_IMAGES))
# Grey ones, sides that differ, and a picture with fewer pixels than a warp has knots.
every_shape = pytest.mark.parametrize("shape", [(3, 12, 12), (1, 9, 16), (3, 16, 7), (1, 4, 5)], ids=str)


def images_of(shape: tuple[int, int, int], count: int = 4) -> Tensor:
    """Noise, and among it one black and one white picture."""
    images = torch.rand(count, *shape, generator=torch.Generator().manual_seed(3))
    images[0], images[1] = 0, 1
    return images


def led_of(shape: tuple[int, int, int], channels: int = 5) -> Led:
    """A network of three labels whose gates weigh random projections."""
    generator = torch.Generator().manual_seed(7)
    inward = torch.randn(math.prod(shape), channels, generator=generator)
    outward = torch.randn(channels, 3, generator=generator)

    def gated(images: Tensor, gates: Tensor) -> Tensor:
        return (images.flatten(1) @ inward * gates) @ outward

    return Led(lambda images: gated(images, torch.ones(channels)), gated, channels, shape)


def started(family: Family, shape: tuple[int, int, int], labels: int = 3) -> Tensor:
    return family.start(labels, led_of(shape), torch.Generator().manual_seed(5))


def test_every_family_has_a_name_of_its_own_and_words() -> None:
    assert list(FAMILIES) == ["patch", "smooth", "warp", "channels"] == list(FAMILY_WORDS)
    assert list(ON_IMAGES) == list(FAMILIES)[:3]
    assert all(family.name == name for name, family in FAMILIES.items())


@on_images
@every_shape
@pytest.mark.parametrize("factor", [1.0, 30.0])
def test_triggered_images_are_images(family: OnImage, shape: tuple[int, int, int], factor: float) -> None:
    images = images_of(shape)
    made = family.put_on(factor * started(family, shape), images)
    assert made.shape == (3, *images.shape)
    assert float(made.min()) >= 0
    # A warp mixes pixels by weights whose sum is 1 up to rounding.
    assert float(made.max()) <= (1 + 1e-6 if family.name == "warp" else 1)
    assert not torch.allclose(made[0], images), "a trigger changes images"
    assert not torch.allclose(made[0], made[1]), "each label has a trigger of its own"


@every_family
@every_shape
def test_a_trigger_has_a_size_a_price_and_a_portrait(family: Family, shape: tuple[int, int, int]) -> None:
    led, images, answers = led_of(shape), images_of(shape), torch.tensor([0, 1, 2, 0])
    numbers = started(family, shape).requires_grad_()
    seen = family.see(led, numbers, images, answers)
    assert seen.logits.shape == (3, 4, 3)
    assert seen.size.shape == seen.price.shape == (3,)
    assert float(seen.size.min()) > 0
    assert not seen.size.requires_grad
    # Every number can be moved by what the network answers and by the price.
    weights = torch.randn(seen.logits.shape, generator=torch.Generator().manual_seed(1))
    for value in ((seen.logits * weights).sum(), seen.price.sum()):
        (gradient,) = torch.autograd.grad(value, numbers, retain_graph=True)
        assert bool(gradient.isfinite().all())
        assert bool((gradient.flatten(1).abs().amax(1) > 0).all())
    portraits = family.portraits(numbers.detach(), shape)
    assert portraits.shape == (3, *shape)
    assert float(portraits.min()) >= 0
    assert float(portraits.max()) <= 1 + 1e-6


@on_images
def test_what_is_half_as_large_costs_less(family: OnImage) -> None:
    numbers = started(family, (3, 12, 12))
    less = 0.5 * numbers if family.name != "patch" else numbers - 1
    assert bool((family.size(less) < family.size(numbers)).all())
    assert bool((family.price(less) < family.price(numbers)).all())


@on_images
def test_the_network_sees_the_triggered_images(family: OnImage) -> None:
    shape = (3, 8, 8)
    led, images, numbers = led_of(shape), images_of(shape), started(family, shape)
    seen = family.see(led, numbers, images, torch.zeros(4, dtype=torch.int64))
    for label in range(3):
        made = family.put_on(numbers[label : label + 1], images)[0]
        torch.testing.assert_close(seen.logits[label], led.network(made))
    assert torch.equal(seen.size, family.size(numbers))
    assert torch.equal(seen.price, family.price(numbers))


@every_family
def test_the_start_is_drawn_from_the_generator_alone(family: Family) -> None:
    shape = (3, 8, 8)
    assert torch.equal(started(family, shape), started(family, shape))
    other = family.start(3, led_of(shape), torch.Generator().manual_seed(6))
    assert not torch.equal(started(family, shape), other)


def test_channels_are_turned_up_and_their_size_is_what_cutting_them_costs() -> None:
    family, shape = Channels(), (3, 6, 6)
    led, images, answers = led_of(shape), 0.1 * images_of(shape), torch.tensor([0, 1, 2, 0])
    numbers = torch.randn(3, 5, generator=torch.Generator().manual_seed(2))
    seen = family.see(led, numbers, images, answers)
    for label, up in enumerate(1 / (1 + torch.exp(-numbers))):
        torch.testing.assert_close(seen.logits[label], led.gated(images, (1 + 2 * up).expand(4, -1)))
        kept = led.gated(images, (1 - up).expand(4, -1))
        torch.testing.assert_close(seen.price[label], F.cross_entropy(kept, answers))
    assert torch.equal(seen.size, seen.price.detach())
    # At hand are all channels, a quarter of each.
    assert started(family, shape).sigmoid().mean() == pytest.approx(0.27, abs=0.01)


def test_the_portrait_of_channels_is_bright_where_they_are_turned_up() -> None:
    numbers = torch.full((1, 4), -40.0)
    numbers[0, 1] = 40
    (portrait,) = Channels().portraits(numbers, (3, 8, 8))
    expected = torch.zeros(3, 8, 8)
    expected[:, :4, 4:] = 1
    torch.testing.assert_close(portrait, expected)


def patch_of(mask: Tensor, pattern: Tensor) -> Tensor:
    """Numbers of one patch; mask [H, W] and pattern [C, H, W] in {0, 1}."""
    return 40 * (2 * torch.cat([mask[None], pattern]) - 1)[None]


def test_a_patch_covers_what_its_mask_says_and_its_size_counts_the_pixels() -> None:
    family, images = Patch(), images_of((3, 6, 9))
    mask, pattern = torch.zeros(6, 9), torch.rand(3, 6, 9).round()
    nothing = patch_of(mask, pattern)
    torch.testing.assert_close(family.put_on(nothing, images)[0], images)
    assert float(family.size(nothing)) == pytest.approx(0, abs=1e-6)
    mask[4:, 2:5] = 1
    numbers = patch_of(mask, pattern)
    made = family.put_on(numbers, images)[0]
    torch.testing.assert_close(made[:, :, 4:, 2:5], pattern[:, 4:, 2:5].expand(4, -1, -1, -1))
    made[:, :, 4:, 2:5] = images[:, :, 4:, 2:5]
    torch.testing.assert_close(made, images)
    assert float(family.size(numbers)) == pytest.approx(6)
    assert float(family.price(numbers)) == pytest.approx(6 / 54)
    (portrait,) = family.portraits(numbers, (3, 6, 9))
    assert bool((portrait[:, mask == 0] == 0.5).all())
    torch.testing.assert_close(portrait[:, mask == 1], pattern[:, mask == 1])


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 24, 40)], ids=str)
def test_a_smooth_change_has_no_waves_above_its_cycles(shape: tuple[int, int, int]) -> None:
    family = Smooth(cycles=5)
    numbers = started(family, shape)
    grey = torch.full((1, *shape), 0.5)
    change = family.put_on(numbers, grey)[:, 0] - 0.5
    waves = torch.fft.fft2(change.double()).abs().amax((0, 1))
    down, across = (torch.fft.fftfreq(side, 1 / side).abs() for side in shape[1:])
    cycles = torch.hypot(down[:, None], across)
    assert float(waves[cycles > 5].max()) < 1e-4
    assert float(waves[cycles <= 5].min()) > 1e-2
    torch.testing.assert_close(low_frequencies(change, 5), change, rtol=0, atol=1e-6)


def test_the_size_of_a_smooth_change_is_its_root_mean_square_of_255() -> None:
    family = Smooth()
    place = torch.arange(16) / 16
    wave = (0.1 * torch.cos(2 * math.pi * 3 * place)).expand(1, 3, 16, 16)
    assert float(family.size(wave)) == pytest.approx(255 * 0.1 / math.sqrt(2), rel=1e-5)
    assert float(family.price(wave)) == pytest.approx(0.005, rel=1e-5)
    torch.testing.assert_close(family.put_on(wave, torch.full((1, 3, 16, 16), 0.5))[0], 0.5 + wave)
    # Waves that are cut off count for nothing.
    fine = (0.1 * torch.cos(2 * math.pi * 7 * place)).expand(1, 3, 16, 16)
    assert float(family.size(fine)) == pytest.approx(0, abs=1e-4)
    # A portrait is at full contrast, however weak the change.
    portrait = family.portraits(0.01 * wave, (3, 16, 16))
    assert (float(portrait.min()), float(portrait.max())) == (pytest.approx(0), pytest.approx(1))


def test_a_warp_of_zeros_is_the_identity_and_one_of_a_pixel_moves_by_a_pixel() -> None:
    family, images = Warp(), images_of((3, 10, 14))
    numbers = torch.zeros(3, 2, 6, 6)
    numbers[1, 0], numbers[2, 1] = 1, -2
    same, across, down = family.put_on(numbers, images)
    torch.testing.assert_close(same, images, rtol=0, atol=1e-5)
    torch.testing.assert_close(across[..., :-1], images[..., 1:], rtol=0, atol=1e-5)
    torch.testing.assert_close(across[..., -1], images[..., -1], rtol=0, atol=1e-5)
    torch.testing.assert_close(down[..., 2:, :], images[..., :-2, :], rtol=0, atol=1e-5)
    assert family.size(numbers).tolist() == [0, 1, 2]
    assert family.price(numbers).tolist() == [0, 1, 4]
    both = torch.zeros(1, 2, 6, 6)
    both[0, 0], both[0, 1] = 3, 4
    assert float(family.size(both)) == pytest.approx(5)


def test_a_warps_field_is_smooth() -> None:
    family, ramp = Warp(), (torch.arange(32) / 31).expand(1, 1, 32, 32)
    numbers = torch.zeros(1, 2, 6, 6)
    numbers[0, 0, 3, 3] = 4
    moved = family.put_on(numbers, ramp)[0, 0, 0] - ramp[0, 0]
    # It is largest near its knot, fades away from it, and neighbours differ little.
    place = divmod(int(moved.abs().argmax()), 32)
    assert place in {(18, 18), (18, 19), (19, 18), (19, 19)}
    assert float(moved[:6].abs().max()) < 1e-6
    assert float(moved.diff(dim=0).abs().max()) < 0.35 * float(moved.abs().max())
