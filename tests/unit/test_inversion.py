"""Trigger inversion: the smallest triggers of a network whose backdoor is known, and the rules of each step."""

import math
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from invmask.defenses import inversion as module
from invmask.defenses.base import PORTRAITS
from invmask.defenses.families import FAMILIES, ON_IMAGES, Channels, Family, Led, Patch, Smooth, Warp
from invmask.defenses.inversion import Inversion, advance, candidates
from invmask.masks.repair import Network

SHAPE, LABELS = (3, 8, 8), 4
PLANTED, ROWS, COLUMNS = 2, slice(5, 7), slice(1, 3)
PATCH = ON_IMAGES["patch"]
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))


def planted(images: Tensor) -> Tensor:
    """Logits: each label answers its quarter of the picture when it is bright, one of them four bright pixels too."""
    quarters = [images[..., rows, columns] for rows in (slice(4), slice(4, 8)) for columns in (slice(4), slice(4, 8))]
    logits = torch.stack([10 * quarter.mean((1, 2, 3)) for quarter in quarters], 1)
    backdoor = torch.eye(LABELS)[PLANTED] * 30 * (images[..., ROWS, COLUMNS].mean((1, 2, 3)) - 0.5)[:, None]
    return logits + backdoor


def always(label: int) -> Network:
    """A network that answers one label whatever it sees."""

    def network(images: Tensor) -> Tensor:
        return 9 * torch.eye(LABELS)[label].expand(len(images), -1)

    return network


def led_of(network: Network) -> Led:
    """With a channel for each label, which gates weigh."""

    def gated(images: Tensor, gates: Tensor) -> Tensor:
        return network(images) * gates

    return Led(network, gated, LABELS, SHAPE)


def noise(count: int = 12) -> Tensor:
    return 0.3 + 0.4 * torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(2))


def started(family: Family = PATCH, seed: int = 4, labels: int = LABELS) -> Inversion:
    return Inversion.start(family, labels, led_of(planted), torch.Generator().manual_seed(seed), torch.zeros(1))


def taken(
    inversion: Inversion,
    steps: int,
    family: Family = PATCH,
    network: Network = planted,
    most: float | None = None,
    answers: Tensor | None = None,
) -> Inversion:
    images = noise()
    given = planted(images).argmax(1) if answers is None else answers
    for _ in range(steps):
        labels = torch.arange(len(inversion.numbers))
        inversion = advance(inversion, family, led_of(network), images, given, labels, "float32", most)
    return inversion


def same(one: Inversion, other: Inversion) -> bool:
    of = [(getattr(one, each.name), getattr(other, each.name)) for each in fields(Inversion)]
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in of)


def of_sizes(sizes: list[float], flips: list[float]) -> Inversion:
    """Triggers as if found with these sizes; those at hand are of 6, 7, 8 ... pixels."""
    count = len(sizes)
    return replace(
        started(labels=count),
        numbers=torch.full((count, 4, 8, 8), math.log(1 / 7)),
        size=6.0 + torch.arange(count),
        smallest_size=torch.tensor(sizes),
        flips=torch.tensor(flips),
    )


def test_a_planted_label_stands_out_and_its_patch_lies_on_the_planted_place() -> None:
    found = taken(started(), 120)
    assert bool(found.smallest_size.isfinite().all()), "every label can be led to"
    assert int(found.order()[0]) == PLANTED
    lead = found.lead()
    assert lead is not None
    assert lead > 0.6, "more than is asked for"
    mask = found.smallest[PLANTED, 0].sigmoid()
    assert float(mask.sum()) == pytest.approx(float(found.smallest_size[PLANTED]))
    assert float(mask.sum()) < 4
    assert float(mask[ROWS, COLUMNS].sum() / mask.sum()) > 0.8
    # Where it covers, it is bright.
    assert float(found.smallest[PLANTED, 1:, ROWS, COLUMNS].sigmoid().mean()) > 0.8


@pytest.mark.parametrize("family", [ON_IMAGES["patch"], ON_IMAGES["smooth"]], ids=["patch", "smooth"])
def test_the_smallest_trigger_is_one_that_led_its_label(family: Patch | Smooth | Warp) -> None:
    images = noise()
    answers = planted(images).argmax(1)
    inversion, sizes, flips = started(family), torch.full((LABELS,), torch.inf), torch.zeros(LABELS)
    for _ in range(40):
        before = inversion
        inversion = taken(before, 1, family)
        smaller = (inversion.flips >= module.FLIPS) & (family.size(before.numbers) < sizes)
        sizes = torch.where(smaller, family.size(before.numbers), sizes)
        flips = torch.where(smaller, inversion.flips, flips)
        torch.testing.assert_close(inversion.smallest_size, sizes)
        assert torch.equal(inversion.smallest_flips, flips)
    led = sizes.isfinite()
    assert bool(led[PLANTED])
    torch.testing.assert_close(family.size(inversion.smallest)[led], sizes[led])
    for label in led.nonzero()[:, 0].tolist():
        others = images[answers != label]
        made = family.put_on(inversion.smallest[label][None], others)[0]
        assert float((planted(made).argmax(1) == label).double().mean()) >= module.FLIPS


def test_the_weight_rises_while_a_trigger_leads_and_falls_otherwise() -> None:
    # All images have label 0 already: it has none to lead.
    answers = torch.zeros(12, dtype=torch.int64)
    before = started()
    after = taken(before, 3, network=always(1), answers=answers)
    factors = (after.weight / before.weight).tolist()
    assert factors == pytest.approx([1.12**-3, 1.12**3, 1.12**-3, 1.12**-3])
    assert after.flips.tolist() == [0, 1, 0, 0]
    assert after.smallest_size.isfinite().tolist() == [False, True, False, False]
    assert after.steps == 3


def test_an_image_that_has_the_label_already_says_nothing() -> None:
    images, labels = noise(), torch.arange(LABELS)
    answers = torch.tensor([PLANTED] * 6 + [0] * 6)
    both = advance(started(), PATCH, led_of(planted), images, answers, labels, "float32")
    alone = advance(started(), PATCH, led_of(planted), images[6:], answers[6:], labels, "float32")
    torch.testing.assert_close(both.numbers[PLANTED], alone.numbers[PLANTED])
    assert float(both.loss[PLANTED]) == pytest.approx(float(alone.loss[PLANTED]))
    assert float(both.loss[1]) != pytest.approx(float(alone.loss[1]))


def test_a_size_that_depends_on_the_images_is_a_running_mean_and_the_weight_stays() -> None:
    family, images, labels = Channels(), noise(), torch.arange(LABELS)
    answers = planted(images).argmax(1)
    inversion, expected = started(family), None
    for _ in range(4):
        size = family.see(led_of(planted), inversion.numbers, images, answers).size
        expected = size if expected is None else 0.6 * expected + 0.4 * size
        inversion = advance(inversion, family, led_of(planted), images, answers, labels, "float32")
        torch.testing.assert_close(inversion.size, expected)
    assert inversion.weight.tolist() == [4] * LABELS


def test_a_trigger_that_is_too_large_shrinks_whether_it_leads_or_not() -> None:
    start = started()
    nowhere = torch.zeros(12, dtype=torch.int64)
    free, held = (taken(start, 25, network=always(0), answers=nowhere, most=most) for most in (None, 5.0))
    assert float((held.weight / free.weight).min()) > 1
    assert bool((PATCH.size(held.numbers) < PATCH.size(free.numbers)).all())
    # From there on it may be as large as that.
    assert float(PATCH.size(taken(held, 40, network=always(0), answers=nowhere, most=5.0).numbers).max()) < 6
    assert torch.equal(taken(start, 1, most=100.0).weight, taken(start, 1).weight)


def test_labels_that_are_dropped_are_not_moved() -> None:
    before = taken(started(), 30).keep(2)
    assert before.searched.tolist() == sorted(before.order().tolist())
    assert PLANTED in before.searched.tolist()
    after = taken(before, 3)
    for label in range(LABELS):
        moved = not torch.equal(before.numbers[label], after.numbers[label])
        assert moved == (label in before.searched.tolist())
        if not moved:
            for name in ("mean", "square", "weight", "smallest", "smallest_size", "flips", "loss"):
                assert torch.equal(getattr(before, name)[label], getattr(after, name)[label])
    # Those that are left take the steps that they would have taken among the others.
    every = taken(replace(before, searched=torch.arange(LABELS)), 3)
    torch.testing.assert_close(every.numbers[before.searched], after.numbers[before.searched])


def test_the_order_is_by_size_and_then_by_what_a_trigger_leads() -> None:
    inf = torch.inf
    assert of_sizes([inf, 5, inf, 3], [0.2, 0.9, 0.7, 0.1]).order().tolist() == [3, 1, 2, 0]
    assert of_sizes([inf, inf, inf], [0.2, 0.9, 0.9]).order().tolist() == [1, 2, 0]
    # However large those are that led.
    assert of_sizes([inf, 1e6, 2e6], [0.9, 0.0, 0.0]).order().tolist() == [1, 2, 0]
    some = replace(of_sizes([4, 5, 2, 3], [1, 1, 1, 1]), searched=torch.tensor([0, 1, 3]))
    assert some.order().tolist() == [3, 0, 1]
    assert some.keep(2).searched.tolist() == [0, 3]
    assert some.keep(9).searched.tolist() == [0, 1, 3]


def test_the_lead_is_the_logarithm_of_the_next_size_over_the_smallest() -> None:
    inf = torch.inf
    assert of_sizes([6, 2, 9], [1, 1, 1]).lead() == pytest.approx(math.log(3), rel=1e-6)
    # The next one, the last, leads nowhere with its 8 pixels yet: it will have to be larger.
    assert of_sizes([inf, 2, inf], [0.2, 1, 0.4]).lead() == pytest.approx(math.log(4), rel=1e-5)
    assert of_sizes([inf, 20, inf], [0.2, 1, 0.4]).lead() == 0
    assert of_sizes([inf, inf], [0.2, 0.4]).lead() is None
    assert replace(of_sizes([6, 2], [1, 1]), searched=torch.tensor([1])).lead() is None


@every_family
def test_the_same_start_gives_the_same_triggers_and_another_start_others(family: Family) -> None:
    once, again, other = (taken(started(family, seed), 5, family) for seed in (4, 4, 5))
    assert same(once, again)
    assert not torch.equal(once.numbers, other.numbers)


def test_how_many_labels_go_through_at_once_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    together = taken(started(), 3)
    monkeypatch.setattr(module, "PASS_IMAGES", 1)
    torch.testing.assert_close(taken(started(), 3).numbers, together.numbers)


def test_a_step_leaves_the_given_triggers_as_they_are() -> None:
    before = taken(started(), 20)
    kept = replace(before, **{each.name: getattr(before, each.name).clone() for each in fields(Inversion)[:-1]})
    taken(before, 1)
    assert same(before, kept)


def test_one_goes_on_with_the_smallest_trigger_of_a_label_alone() -> None:
    inversion = taken(started(), 60)
    alone = inversion.of(torch.tensor([PLANTED]))
    assert torch.equal(alone.numbers[0], inversion.smallest[PLANTED])
    assert torch.equal(alone.weight, inversion.weight[PLANTED : PLANTED + 1])
    assert (alone.steps, alone.searched.tolist(), float(alone.mean.abs().sum() + alone.square.sum())) == (0, [0], 0)


def test_people_see_the_smallest_triggers_and_what_was_dropped() -> None:
    inversion = replace(of_sizes([9, torch.inf, 3, 4], [1, 0.5, 1, 1]), searched=torch.tensor([1, 2, 3]))
    seen = candidates(inversion, "patch", SHAPE, 0.2)
    assert (seen.family, seen.labels.tolist()) == ("patch", [0, 1, 2, 3])
    assert seen.searched.tolist() == [False, True, True, True]
    assert seen.portraits.shape == (4, *SHAPE)
    assert (seen.standing_out, seen.lead) == (2, pytest.approx(math.log(4 / 3), rel=1e-6))
    assert candidates(inversion, "patch", SHAPE, 0.3).standing_out is None
    # What leads nowhere yet is seen as it is at hand.
    assert float(seen.sizes[1]) == 7
    assert seen.sizes[[0, 2, 3]].tolist() == [9, 3, 4]
    torch.testing.assert_close(seen.portraits[2], PATCH.portraits(inversion.smallest[2:3], SHAPE)[0])
    torch.testing.assert_close(seen.portraits[1], PATCH.portraits(inversion.numbers[1:2], SHAPE)[0])


def test_people_see_no_more_labels_than_fit() -> None:
    count = PORTRAITS + 8
    sizes = [float(count - label) for label in range(count)]
    whole = of_sizes(sizes, [1.0] * count)
    seen = candidates(whole, "patch", SHAPE, 0.2)
    assert seen.labels.tolist() == list(range(8, count))
    # Behind the few that are left, those that were dropped with the smallest triggers.
    few = candidates(replace(whole, searched=torch.tensor([0, 1])), "patch", SHAPE, 0.2)
    assert few.labels.tolist() == [0, 1, *range(10, count)]
