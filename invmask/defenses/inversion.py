"""Trigger inversion: for every label, the smallest universal trigger of a family that leads clean images to it.

After Wang et al. 2019, "Neural Cleanse": minimise -log p[label](x') + weight * price. The weight rises while the
trigger leads nearly all images to the label, and falls otherwise. All labels share one batch; each label has its own
trigger.
"""

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from invmask.defenses.base import PORTRAITS, Candidates
from invmask.defenses.families import FAMILIES, Family, Led
from invmask.machine import Precision, autocast

FLIPS = 0.93
"""A trigger leads to its label if at least this share of the images with another label goes there."""
BETAS = (0.5, 0.9)
PASS_IMAGES = 320
"""Triggered images per pass with a gradient; larger passes are not faster."""


@dataclass(frozen=True)
class Inversion:
    """Triggers of one family, one for each of K labels, between two steps. It holds only tensors, so it can be stored.

    Attributes:
        numbers, mean, square: the triggers' parameters and Adam's running moments of their gradients, [K, ...].
        weight: weight of the price in each label's loss, [K].
        size: size of each trigger in its last step, [K]; infinite before.
        smallest: parameters of the smallest trigger so far that led to its label, [K, ...].
        smallest_size, smallest_flips: its size and the share of images it led, [K]; infinite and 0 before there is one.
        flips: share of images that each label's trigger led to the label in its last step, [K].
        loss: -log p[label] in that step, [K], nats.
        searched: the labels that are still searched, int64, rising.
        steps: number of steps taken.
    """

    numbers: Tensor
    mean: Tensor
    square: Tensor
    weight: Tensor
    size: Tensor
    smallest: Tensor
    smallest_size: Tensor
    smallest_flips: Tensor
    flips: Tensor
    loss: Tensor
    searched: Tensor
    steps: int = 0

    @classmethod
    def start(cls, family: Family, labels: int, led: Led, generator: Generator, like: Tensor) -> "Inversion":
        """Random triggers for `labels` labels, with the device and dtype of `like`."""
        numbers = family.start(labels, led, generator).to(like)
        zeros = like.new_zeros(labels)
        return cls(
            numbers=numbers,
            mean=torch.zeros_like(numbers),
            square=torch.zeros_like(numbers),
            weight=zeros + family.weight,
            size=zeros + torch.inf,
            smallest=numbers,
            smallest_size=zeros + torch.inf,
            smallest_flips=zeros,
            flips=zeros,
            loss=zeros,
            searched=torch.arange(labels, device=like.device),
        )

    def order(self) -> Tensor:
        """The labels still searched, smallest trigger first; labels not reached yet come last, ordered by flips."""
        size, flips = self.smallest_size[self.searched], self.flips[self.searched]
        led = size.isfinite()
        key = torch.where(led, size, 2 - flips + size[led].amax() if led.any() else 2 - flips)
        return self.searched[key.argsort(stable=True)]

    def lead(self) -> float | None:
        """The lead of the smallest trigger: log of the next trigger's size over its own, in nats, at least 0.

        If the next trigger has not led to its label yet, its present size is a lower bound. None if no trigger has.
        """
        order = self.order()
        if len(order) < 2 or not self.smallest_size[order[0]].isfinite():
            return None
        first, second = order[:2]
        size = self.smallest_size[second]
        if not size.isfinite():
            size = self.size[second]
        return max(0.0, float((size.double() / self.smallest_size[first].double()).log()))

    def keep(self, count: int) -> "Inversion":
        """The same inversion, in which only the `count` best labels are still searched."""
        return replace(self, searched=self.order()[:count].sort().values)

    def of(self, labels: Tensor) -> "Inversion":
        """The smallest triggers of some labels only, with fresh moments, as a starting point for a further search."""
        zeros = torch.zeros_like(self.smallest[labels])
        return Inversion(
            numbers=self.smallest[labels],
            mean=zeros,
            square=zeros,
            weight=self.weight[labels],
            size=self.size[labels],
            smallest=self.smallest[labels],
            smallest_size=self.smallest_size[labels],
            smallest_flips=self.smallest_flips[labels],
            flips=self.flips[labels],
            loss=self.loss[labels],
            searched=torch.arange(len(labels), device=labels.device),
        )


def advance(
    inversion: Inversion,
    family: Family,
    led: Led,
    images: Tensor,
    answers: Tensor,
    labels: Tensor,
    precision: Precision,
    most: float | None = None,
) -> Inversion:
    """One step of Adam for every label that is searched.

    Args:
        images: x, [N, C, H, W] in [0, 1].
        answers: the original network's labels for the images, int64 [N]; an image with the label itself is ignored.
        labels: the label of each row of the inversion, int64 [K].
        most: the size above which a trigger is made smaller even if it does not lead to its label.
    """
    rows = inversion.searched
    numbers = inversion.numbers[rows].clone().requires_grad_()
    gradient, told = torch.zeros_like(numbers), []
    at_once = max(1, PASS_IMAGES // len(images))
    for part in torch.arange(len(rows), device=rows.device).split(at_once):
        with autocast(precision, images.device.type):
            seen = family.see(led, numbers[part], images, answers)
        targets = labels[rows[part]][:, None].expand(-1, len(images))
        others = (answers != targets).to(images.dtype)
        count = others.sum(1).clamp(min=1)
        each = F.cross_entropy(seen.logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(others)
        loss = (each * others).sum(1) / count
        total = loss + inversion.weight[rows[part]] * seen.price
        gradient += torch.autograd.grad(total.sum(), numbers)[0]
        flips = ((seen.logits.argmax(2) == targets) * others).sum(1) / count
        told.append(torch.stack([seen.size, flips, loss.detach()]))
    sizes, flips, losses = torch.cat(told, 1)
    before = inversion.size[rows]
    sizes = torch.where(before.isfinite(), before * family.memory + sizes * (1 - family.memory), sizes)
    leads = flips >= FLIPS
    smaller = leads & (sizes < inversion.smallest_size[rows])
    now = numbers.detach()
    shrinks = leads if most is None else leads | (sizes > most)
    weight = inversion.weight[rows]
    stepped, mean, square = _adam(inversion, now, gradient, family.rate)
    return replace(
        inversion,
        numbers=_put(inversion.numbers, rows, stepped),
        mean=_put(inversion.mean, rows, mean),
        square=_put(inversion.square, rows, square),
        weight=_put(inversion.weight, rows, torch.where(shrinks, weight * family.faster, weight * (1 / family.faster))),
        size=_put(inversion.size, rows, sizes),
        smallest=_put(inversion.smallest, rows[smaller], now[smaller]),
        smallest_size=_put(inversion.smallest_size, rows[smaller], sizes[smaller]),
        smallest_flips=_put(inversion.smallest_flips, rows[smaller], flips[smaller]),
        flips=_put(inversion.flips, rows, flips),
        loss=_put(inversion.loss, rows, losses),
        steps=inversion.steps + 1,
    )


def _adam(inversion: Inversion, numbers: Tensor, gradient: Tensor, rate: float) -> tuple[Tensor, Tensor, Tensor]:
    """The searched labels' parameters after a step of Adam, and their moments."""
    rows, steps = inversion.searched, inversion.steps + 1
    mean = inversion.mean[rows].lerp(gradient, 1 - BETAS[0])
    square = inversion.square[rows].lerp(gradient.square(), 1 - BETAS[1])
    unbiased = (square / (1 - BETAS[1] ** steps)).sqrt() + 1e-8
    return numbers - rate * (mean / (1 - BETAS[0] ** steps)) / unbiased, mean, square


def _put(whole: Tensor, rows: Tensor, some: Tensor) -> Tensor:
    """A copy of `whole` whose `rows` are replaced by `some`."""
    after = whole.clone()
    after[rows] = some
    return after


def candidates(inversion: Inversion, family: str, image: tuple[int, int, int], clear_lead: float) -> Candidates:
    """What is shown of a search; see `defenses.base.Candidates`.

    Args:
        image: C, H, W.
        clear_lead: the lead, in nats, from which a label stands out.
    """
    order, lead = inversion.order(), inversion.lead()
    dropped = torch.ones_like(inversion.flips, dtype=torch.bool)
    dropped[inversion.searched] = False
    out = dropped.nonzero()[:, 0]
    out = out[inversion.smallest_size[out].argsort(stable=True)]
    best = torch.cat([order, out])[:PORTRAITS].sort().values
    # The smallest trigger that leads to its label, or the present one if there is none yet.
    led = inversion.smallest_size[best].isfinite()
    numbers = torch.where(_like(led, inversion.numbers), inversion.smallest[best], inversion.numbers[best])
    return Candidates(
        family=family,
        labels=best.cpu(),
        portraits=FAMILIES[family].portraits(numbers, image).cpu(),
        sizes=torch.where(led, inversion.smallest_size[best], inversion.size[best]).cpu(),
        flips=torch.where(led, inversion.smallest_flips[best], inversion.flips[best]).cpu(),
        searched=~dropped[best].cpu(),
        standing_out=int(order[0]) if lead and lead >= clear_lead else None,
        lead=lead,
    )


def _like(truths: Tensor, numbers: Tensor) -> Tensor:
    return truths.reshape(-1, *[1] * (numbers.dim() - 1))
