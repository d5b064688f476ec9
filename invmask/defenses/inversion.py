"""Trigger inversion: for every label, the smallest universal trigger of a family that leads clean images there.

After Wang et al. 2019, "Neural Cleanse": minimise -log p[label](x') + weight * size, with a weight that rises while the
trigger leads nearly all images and falls otherwise. All labels share one batch, and only their own trigger is theirs.
"""

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from invmask.defenses.base import PORTRAITS, Candidates
from invmask.defenses.families import FAMILIES, Family
from invmask.machine import Precision, autocast
from invmask.masks.repair import Network

FLIPS = 0.93
"""A trigger leads its label if so large a share of the images goes there that went elsewhere."""
FASTER = 1.12
"""A step's change of the weight of a trigger's size."""
BETAS = (0.5, 0.9)
PASS_IMAGES = 320
"""Triggered images a pass with a gradient: more do not go through faster."""


@dataclass(frozen=True)
class Inversion:
    """Triggers of one family, one for each of K labels, between two steps. Tensors alone, so that it can be stored.

    Attributes:
        numbers, mean, square: the triggers' numbers and Adam's running moments of them, [K, ...].
        weight: of the size in each label's loss, [K].
        smallest: the numbers of the smallest trigger so far that led its label, [K, ...].
        smallest_size: its size, [K]; infinite before there is one.
        flips: the share that each label's trigger led there in its last step, [K].
        loss: -log p[label] in that step, [K], nats.
        searched: the labels that are still looked at, int64, rising.
        steps: taken.
    """

    numbers: Tensor
    mean: Tensor
    square: Tensor
    weight: Tensor
    smallest: Tensor
    smallest_size: Tensor
    flips: Tensor
    loss: Tensor
    searched: Tensor
    steps: int = 0

    @classmethod
    def start(
        cls, family: Family, labels: int, image: tuple[int, int, int], generator: Generator, like: Tensor
    ) -> "Inversion":
        """Random triggers for `labels` labels and images of [C, H, W], on the device of `like`."""
        numbers = family.start(labels, image, generator).to(like)
        zeros = torch.zeros(labels, device=like.device)
        return cls(
            numbers=numbers,
            mean=torch.zeros_like(numbers),
            square=torch.zeros_like(numbers),
            weight=zeros + family.weight,
            smallest=numbers,
            smallest_size=zeros + torch.inf,
            flips=zeros,
            loss=zeros,
            searched=torch.arange(labels, device=like.device),
        )

    def order(self) -> Tensor:
        """The labels still searched, the smallest trigger first; those that led nowhere yet by their flips."""
        size, flips = self.smallest_size[self.searched], self.flips[self.searched]
        led = size.isfinite()
        key = torch.where(led, size, 2 - flips + size[led].amax() if led.any() else 2 - flips)
        return self.searched[key.argsort(stable=True)]

    def lead(self, family: Family) -> float | None:
        """How far the smallest trigger is ahead: log of the next one's size over its own, in nats, at least 0.

        A next one that has not led its label yet has to be larger than it is. None where none has led its label.
        """
        order = self.order()
        if len(order) < 2 or not self.smallest_size[order[0]].isfinite():
            return None
        first, second = order[:2]
        size = self.smallest_size[second]
        if not size.isfinite():
            size = family.size(self.numbers[second][None])[0]
        return max(0.0, float((size.double() / self.smallest_size[first].double()).log()))

    def keep(self, count: int) -> "Inversion":
        """The same with the `count` best labels searched on."""
        return replace(self, searched=self.order()[:count].sort().values)

    def of(self, labels: Tensor) -> "Inversion":
        """The smallest triggers of some labels alone, with fresh moments: as where a search would go on from."""
        zeros = torch.zeros_like(self.smallest[labels])
        return Inversion(
            numbers=self.smallest[labels],
            mean=zeros,
            square=zeros,
            weight=self.weight[labels],
            smallest=self.smallest[labels],
            smallest_size=self.smallest_size[labels],
            flips=self.flips[labels],
            loss=self.loss[labels],
            searched=torch.arange(len(labels), device=labels.device),
        )


def advance(
    inversion: Inversion,
    family: Family,
    network: Network,
    images: Tensor,
    answers: Tensor,
    labels: Tensor,
    precision: Precision,
    most: float | None = None,
) -> Inversion:
    """One step of Adam for every label that is searched.

    Args:
        network: what is to be led.
        images: x, [N, C, H, W].
        answers: the original network's labels of them, int64 [N]; an image that has the label already says nothing.
        labels: which label each row of the inversion is, int64 [K].
        most: the size above which a trigger is made smaller whether it leads or not.
    """
    rows = inversion.searched
    numbers = inversion.numbers[rows].clone().requires_grad_()
    gradient, flips, losses = torch.zeros_like(numbers), [], []
    at_once = max(1, PASS_IMAGES // len(images))
    for part in torch.arange(len(rows), device=rows.device).split(at_once):
        mine = numbers[part]
        triggered = family.put_on(mine, images)
        with autocast(precision, images.device.type):
            logits = network(triggered.flatten(0, 1))
        wanted = labels[rows[part]]
        targets = wanted[:, None].expand(-1, len(images))
        others = (answers != targets).to(images.dtype)
        count = others.sum(1).clamp(min=1)
        each = F.cross_entropy(logits, targets.flatten(), reduction="none").view_as(others)
        loss = (each * others).sum(1) / count
        total = loss + inversion.weight[rows[part]] * family.price(mine)
        gradient += torch.autograd.grad(total.sum(), numbers)[0]
        led = (logits.argmax(1).view_as(targets) == targets) * others
        flips.append(led.sum(1) / count)
        losses.append(loss.detach())
    return _stepped(inversion, family, numbers.detach(), gradient, torch.cat(flips), torch.cat(losses), most)


def _stepped(
    inversion: Inversion,
    family: Family,
    numbers: Tensor,
    gradient: Tensor,
    flips: Tensor,
    losses: Tensor,
    most: float | None,
) -> Inversion:
    rows, steps = inversion.searched, inversion.steps + 1
    sizes, leads = family.size(numbers), flips >= FLIPS
    smaller = leads & (sizes < inversion.smallest_size[rows])
    smallest, smallest_size = inversion.smallest.clone(), inversion.smallest_size.clone()
    smallest[rows[smaller]], smallest_size[rows[smaller]] = numbers[smaller], sizes[smaller]
    shrinks = leads if most is None else leads | (sizes > most)
    weight = inversion.weight.clone()
    weight[rows] *= torch.where(shrinks, FASTER, 1 / FASTER)
    mean, square = inversion.mean.clone(), inversion.square.clone()
    mean[rows] = mean[rows].lerp(gradient, 1 - BETAS[0])
    square[rows] = square[rows].lerp(gradient.square(), 1 - BETAS[1])
    step = (mean[rows] / (1 - BETAS[0] ** steps)) / ((square[rows] / (1 - BETAS[1] ** steps)).sqrt() + 1e-8)
    after, all_flips, loss = inversion.numbers.clone(), inversion.flips.clone(), inversion.loss.clone()
    after[rows], all_flips[rows], loss[rows] = numbers - family.rate * step, flips, losses
    return Inversion(after, mean, square, weight, smallest, smallest_size, all_flips, loss, rows, steps)


def candidates(inversion: Inversion, family: str, image: tuple[int, int, int], clear_lead: float) -> Candidates:
    """What people see of a search: see `defenses.base.Candidates`.

    Args:
        image: C, H, W.
        clear_lead: a label stands out if it leads by so much, in nats.
    """
    made = FAMILIES[family]
    order, lead = inversion.order(), inversion.lead(made)
    dropped = torch.ones_like(inversion.flips, dtype=torch.bool)
    dropped[inversion.searched] = False
    best = torch.cat([order, dropped.nonzero()[:, 0]])[:PORTRAITS].sort().values
    # The smallest trigger that leads, or the one at hand where none does yet.
    led = inversion.smallest_size[best].isfinite()
    numbers = torch.where(_like(led, inversion.numbers), inversion.smallest[best], inversion.numbers[best])
    return Candidates(
        family=family,
        labels=best.cpu(),
        portraits=made.portraits(numbers, image).cpu(),
        sizes=made.size(numbers).cpu(),
        flips=inversion.flips[best].cpu(),
        searched=~dropped[best].cpu(),
        standing_out=int(order[0]) if lead is not None and lead >= clear_lead else None,
        lead=lead,
    )


def _like(truths: Tensor, numbers: Tensor) -> Tensor:
    return truths.reshape(-1, *[1] * (numbers.dim() - 1))
