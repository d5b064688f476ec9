"""Every attack keeps the promises of `Attack`, each trigger is the published one, and poisoning is exact."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
import torch
from torch import Tensor

from invmask.attacks.base import Attack, TrainedAttack
from invmask.attacks.registry import ATTACKS, make_attack
from invmask.attacks.training.poison_set import ALL_TO_ALL, CLEAN_LABEL, LABELLINGS, poison
from invmask.attacks.triggers.badnets import BadNets
from invmask.attacks.triggers.blended import Blended
from invmask.attacks.triggers.sig import SIG
from invmask.data.embedded import load_embedded
from invmask.data.images import LabelledImages
from invmask.errors import UserError
from invmask.measure.target_labels import Targets

ZERO = Targets.all_to_one(0, 10)


@pytest.fixture(params=sorted(ATTACKS))
def attack(request: pytest.FixtureRequest) -> Attack:
    return make_attack(request.param)


def random_images(count: int = 6, side: int = 32, seed: int = 0) -> Tensor:
    """Images of 8 bits, as a data set has them."""
    levels = torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(seed))
    return levels.float() / 255


def test_the_registry_names_every_attack_as_it_names_itself():
    assert set(ATTACKS) >= {"badnets", "blended", "sig", "lf", "ssba", "iab", "wanet", "bpp", "picture", "drawn"}
    for name, kind in ATTACKS.items():
        assert kind.name == name
        assert kind.title
        assert kind.explanation.endswith(".")
        assert not re.search(r"\dx\d", kind.explanation), "a size is written with a times sign"
        assert (kind.paper is None) == (name in ("picture", "drawn"))
        assert set(kind.labellings) <= set(LABELLINGS)


@pytest.mark.parametrize("side", [16, 32, 64])
def test_shape_type_and_range(attack: Attack, side: int):
    images = random_images(side=side)
    triggered = attack.apply(images)
    assert triggered.shape == images.shape
    assert triggered.dtype == images.dtype
    assert float(triggered.min()) >= 0
    assert float(triggered.max()) <= 1


def test_values_are_those_of_an_8_bit_image(attack: Attack):
    levels = attack.apply(random_images()) * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)


def test_the_images_given_stay_as_they_are_and_every_one_is_changed(attack: Attack):
    images = random_images()
    before = images.clone()
    triggered = attack.apply(images)
    assert torch.equal(images, before)
    assert bool((triggered != images).flatten(1).any(1).all())


def test_the_same_settings_make_the_same_trigger(attack: Attack):
    images = random_images()
    stored = json.loads(json.dumps(attack.settings()))
    again = make_attack(attack.name, stored)
    assert again == attack
    assert torch.equal(again.apply(images), attack.apply(images))


def test_each_image_is_triggered_by_itself(attack: Attack):
    images = random_images()
    together = attack.apply(images)
    for place in range(len(images)):
        apart = (attack.apply(images[place : place + 1])[0] - together[place]).abs()
        # Sums of a network's many terms may differ in their last digit, which rounding may make a level of.
        assert float(apart.max()) < 1.5 / 255 * isinstance(attack, TrainedAttack) + 1e-6
        assert float((apart > 0.5 / 255).float().mean()) < 0.001


def test_anything_but_a_batch_is_refused(attack: Attack):
    with pytest.raises(ValueError, match="must be"):
        attack.apply(random_images()[0])


def test_unknown_attacks_and_settings_are_refused():
    with pytest.raises(UserError, match="There is no attack 'watnet'; choose one of: badnets"):
        make_attack("watnet")
    for settings in ({"size": 0}, {"size": 3.5}, {"size": True}, {"size": "3"}, {"value": float("nan")}, {"size": 65}):
        with pytest.raises(UserError, match="of the attack 'badnets' has to be"):
            make_attack("badnets", settings)
    with pytest.raises(UserError, match="'badnets' has no setting 'colour'; it has: size, value"):
        make_attack("badnets", {"colour": 3})


def test_badnets_changes_the_corner_alone():
    images = random_images()
    triggered = BadNets().apply(images)
    assert bool((triggered[:, :, 29:, 29:] == 1).all())
    corner = torch.zeros(32, 32, dtype=torch.bool)
    corner[29:, 29:] = True
    assert torch.equal(triggered[:, :, ~corner], images[:, :, ~corner])
    larger = BadNets(size=5, value=0.0).apply(images)
    assert bool((larger[:, :, 27:, 27:] == 0).all())
    assert torch.equal(larger[:, :, :27], images[:, :, :27])


def test_blended_moves_each_pixel_a_fifth_of_the_way_to_its_pattern():
    blended = Blended()
    pattern = blended.pattern((3, 32, 32))
    assert (pattern.shape, pattern.dtype) == ((3, 32, 32), torch.float32)
    assert 0 <= float(pattern.min()) < 0.01
    assert 0.99 < float(pattern.max()) <= 1
    images = random_images()
    triggered = blended.apply(images)
    torch.testing.assert_close(triggered - images, 0.2 * (pattern - images), rtol=0, atol=0.5 / 255 + 1e-6)
    # The norm of the whole change, where rounding averages out.
    assert float((triggered - images).norm()) == pytest.approx(0.2 * float((pattern - images).norm()), rel=1e-3)
    assert not torch.equal(Blended(seed=8).pattern((3, 32, 32)), pattern)


def test_sig_adds_six_waves_of_amplitude_40_along_the_columns():
    grey = torch.full((1, 3, 32, 32), 128 / 255)
    change = (SIG().apply(grey) - grey) * 255
    wave = torch.tensor([40 * math.sin(2 * math.pi * 6 * j / 32) for j in range(32)])
    torch.testing.assert_close(change[0, 0, 0], wave.round(), rtol=0, atol=1e-3)
    # The same in every row and colour.
    torch.testing.assert_close(change, change[:, :1, :1].expand_as(change), rtol=0, atol=0)
    assert float(change.abs().max()) == pytest.approx(40, abs=0.01)
    spectrum = torch.fft.rfft(change[0, 0, 0]).abs()
    assert int(spectrum.argmax()) == 6


def test_sig_is_clipped_at_black_and_white():
    white = torch.ones(1, 3, 32, 32)
    assert float(SIG().apply(white).max()) == 1
    assert float(SIG().apply(torch.zeros_like(white)).min()) == 0


@pytest.fixture(scope="module")
def clean() -> LabelledImages:
    return load_embedded("cifar10", "budget").images


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.05, 0.1, 0.9])
def test_the_poisoned_share_is_exact(attack: Attack, clean: LabelledImages, ratio: float):
    result = poison(clean, attack, ratio, ZERO, seed=1)
    assert result.poisoned.sum() == round(ratio * len(clean))
    assert len(result.images) == len(clean)


def test_poisoned_images_carry_trigger_and_target_and_the_rest_is_untouched(attack: Attack, clean: LabelledImages):
    before = clean.pixels.copy(), clean.labels.copy()
    result = poison(clean, attack, 0.1, Targets.all_to_one(3, 10), seed=1)
    poisoned = result.poisoned
    assert (result.images.labels[poisoned] == 3).all()
    assert (clean.labels[poisoned] != 3).all()
    triggered = attack.apply(clean.take(poisoned).tensor())
    torch.testing.assert_close(result.images.take(poisoned).tensor(), triggered, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(result.images.pixels[~poisoned], clean.pixels[~poisoned])
    np.testing.assert_array_equal(result.images.labels[~poisoned], clean.labels[~poisoned])
    np.testing.assert_array_equal(clean.pixels, before[0])
    np.testing.assert_array_equal(clean.labels, before[1])


def test_all_to_all_poisons_every_class_toward_the_next(clean: LabelledImages):
    result = poison(clean, BadNets(), 0.5, Targets.all_to_all(10), seed=1, labels=ALL_TO_ALL)
    np.testing.assert_array_equal(result.images.labels[result.poisoned], (clean.labels[result.poisoned] + 1) % 10)
    assert set(clean.labels[result.poisoned]) == set(range(10))


def test_clean_label_poisons_the_target_class_alone_and_keeps_its_labels(clean: LabelledImages):
    result = poison(clean, SIG(), 0.04, Targets.all_to_one(3, 10), seed=1, labels=CLEAN_LABEL)
    assert result.poisoned.sum() == 40
    assert (clean.labels[result.poisoned] == 3).all()
    np.testing.assert_array_equal(result.images.labels, clean.labels)
    assert (result.images.pixels[result.poisoned] != clean.pixels[result.poisoned]).any((1, 2, 3)).all()
    with pytest.raises(ValueError, match="cannot poison"):
        poison(clean, SIG(), 0.11, Targets.all_to_one(3, 10), seed=1, labels=CLEAN_LABEL)


def test_who_is_poisoned_is_fixed_by_the_seed(clean: LabelledImages):
    first, again, other = (poison(clean, BadNets(), 0.1, ZERO, seed).poisoned for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("ratio", [-0.1, 0.91, 1.0])
def test_a_ratio_that_cannot_be_met_is_refused(clean: LabelledImages, ratio: float):
    with pytest.raises(ValueError, match="cannot poison"):
        poison(clean, BadNets(), ratio, ZERO, 1)


def test_attacks_cannot_be_changed_once_made(attack: Attack):
    field = dataclasses.fields(attack)[0].name  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(attack, field, 1)
