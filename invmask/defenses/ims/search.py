"""The search: which label does a backdoor answer, and to which trigger? Ours, in front of the published phases.

For every label, and in each family of triggers, the smallest one that leads clean images there. A backdoor's label
needs a far smaller one than the others: it stands out. What was found is what the mask then learns to withstand. No
label of an image enters.
"""

import math
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Generator, Tensor

from invmask.defenses.base import Subject
from invmask.defenses.families import FAMILIES, ON_IMAGES, Channels, Led, Smooth
from invmask.defenses.ims.config import IMSConfig
from invmask.defenses.inversion import Inversion, advance
from invmask.masks.attach import gated_logits
from invmask.masks.constant import ConstantView

DROPS = ((0.4, 3, 4), (0.75, 5, 2))
"""After such a share of a family's rounds, one in so many labels is searched on, but no fewer than these."""
TRUST_A_NAT, LEAST_TRUST, MOST_TRUST = 2.5, 0.5, 2.0
"""See `trust`."""
SHARPENING = 60
"""Steps; see `sharpened`."""
GROWTH, MOST_GROWTH = 0.8, 1.5
"""A mended trigger may grow by so large a share of its lead, and by no more than so many nats."""
PLAIN = 3.0
"""A lead of so many times `clear_lead` ends the search: other families need not be looked at."""


@dataclass(frozen=True)
class Hypothesis:
    """A label and a trigger that might be the backdoor's.

    Attributes:
        family: of the trigger, one that changes images.
        label: that it leads to.
        lead: over the next label, in nats.
        largest: the size that it may grow to while it is mended.
        found: the numbers of the smallest trigger that the search found, [1, ...].
        kept_up: the same, mended from round to round so that it leads the pruned view too.
    """

    family: str
    label: int
    lead: float
    largest: float
    found: Tensor
    kept_up: Inversion


@dataclass(frozen=True)
class Search:
    """What the search knows: of every family that it has begun with, in order.

    Attributes:
        inversions: by family.
        rounds: taken with the last of them.
    """

    inversions: dict[str, Inversion] = field(default_factory=dict)
    rounds: int = 0

    @property
    def family(self) -> str | None:
        """The one at hand."""
        return next(reversed(self.inversions), None)

    def leads(self) -> dict[str, float]:
        """The lead of each family's smallest trigger, in nats; 0 where none has led its label."""
        return {name: of.lead() or 0.0 for name, of in self.inversions.items()}

    def clearest(self) -> tuple[str, float] | None:
        """The family with the largest lead, and that lead in nats; None before the first round."""
        leads = self.leads()
        return max(leads.items(), key=lambda of: of[1], default=None)

    def label(self, family: str) -> int:
        """The label that a family's smallest trigger leads to."""
        return int(self.inversions[family].order()[0])


def rounds_each(config: IMSConfig) -> int:
    """Rounds of a family."""
    return max(1, config.rounds_search // len(FAMILIES))


def rounds_taken(search: Search, config: IMSConfig) -> int:
    """Rounds that the search has taken, in all families."""
    return max(0, len(search.inversions) - 1) * rounds_each(config) + search.rounds


def searched(subject: Subject, search: Search, answers: Tensor, generator: Generator, config: IMSConfig) -> Search:
    """One round: `search_steps` steps of every label that is left, in the family at hand or the next one.

    `answers` are the original's labels of the clean budget, int64 [N].
    """
    each, led = rounds_each(config), original(subject)
    if search.family is None or search.rounds == each:
        name = next(name for name in FAMILIES if name not in search.inversions)
        started = Inversion.start(FAMILIES[name], subject.num_classes, led, generator, subject.images)
        search = Search({**search.inversions, name: started})
    family = search.family
    assert family is not None
    inversion, labels = search.inversions[family], torch.arange(subject.num_classes, device=subject.device)
    images, steps = config.search_images, config.search_steps
    inversion = _steps(subject, inversion, family, led, labels, answers, generator, images, steps)
    rounds = search.rounds + 1
    for share, one_in, least in DROPS:
        if rounds == max(1, round(share * each)):
            inversion = inversion.keep(max(least, -(-subject.num_classes // one_in)))
    return Search({**search.inversions, family: inversion}, rounds)


def original(subject: Subject) -> Led:
    """The undefended network."""
    return Led(subject.reference, partial(_gated, subject, None), subject.layout.channels, subject.shape)


def pruned(subject: Subject, gates: Tensor) -> Led:
    """The pruned view, with gates [channels]."""
    view = ConstantView(subject.model, subject.layout, gates)
    return Led(view, partial(_gated, subject, gates), subject.layout.channels, subject.shape)


def _gated(subject: Subject, own: Tensor | None, images: Tensor, gates: Tensor) -> Tensor:
    return gated_logits(subject.model, subject.layout, [(images, gates if own is None else own * gates)])[0]


def is_over(search: Search, config: IMSConfig) -> bool:
    """Whether the family at hand is done and there is no other, or no need of one."""
    if search.family is None or search.rounds < rounds_each(config):
        return False
    plain = 0 < PLAIN * config.clear_lead <= max(search.leads().values())
    return plain or len(search.inversions) == len(FAMILIES)


def standing_out(search: Search, config: IMSConfig) -> tuple[str, int, float] | None:
    """The family with the largest lead, its label and the lead in nats: above 0, and at least `clear_lead`."""
    family, lead = search.clearest() or ("", 0.0)
    if lead == 0 or lead < config.clear_lead:
        return None
    return family, search.label(family), lead


def hypotheses(search: Search, config: IMSConfig) -> tuple[Hypothesis, ...]:
    """What the mask shall withstand: triggers of the label with the largest lead.

    Its trigger of every family on images where it leads clearly. Where no label stands out, of every such family that
    has led to it at all, for then the search cannot tell the family either. If there is none, its smooth trigger.
    Mended triggers may grow, but only as far as their lead allows: a trigger as large as the next label's leads any
    network.
    """
    ahead, _ = search.clearest() or (Smooth.name, 0.0)
    label, leads, found = search.label(ahead), search.leads(), []
    on_images = {name: of for name, of in search.inversions.items() if name in ON_IMAGES}
    for name, of in on_images.items():
        lead = leads[name] if search.label(name) == label else 0.0
        clearly = 0 < lead >= config.clear_lead
        if clearly or (standing_out(search, config) is None and bool(of.smallest_size[label].isfinite())):
            found.append(_hypothesis(name, of, label, lead))
    return tuple(found) or (_hypothesis(Smooth.name, on_images[Smooth.name], label, 0.0),)


def sharpened(
    subject: Subject,
    search: Search,
    of: tuple[Hypothesis, ...],
    answers: Tensor,
    generator: Generator,
    config: IMSConfig,
) -> tuple[Hypothesis, ...]:
    """Every hypothesis with a smaller trigger, where no label stands out: `SHARPENING` further steps on the original.

    A few steps for every label do not always find how small a label's trigger can be. One label can have more of them.
    `answers` are the original's labels of the clean budget, int64 [N].
    """
    if standing_out(search, config) is not None:
        return of
    led, images, smaller = original(subject), config.search_images, []
    for each in of:
        labels = torch.tensor([each.label], device=subject.device)
        after = _steps(subject, each.kept_up, each.family, led, labels, answers, generator, images, SHARPENING)
        best = _smallest(after, 0)
        smaller.append(replace(each, found=best.numbers, kept_up=best))
    return tuple(smaller)


def _hypothesis(family: str, inversion: Inversion, label: int, lead: float) -> Hypothesis:
    best = _smallest(inversion, label)
    size = best.smallest_size if best.smallest_size.isfinite() else best.size
    largest = float(size[0]) * math.exp(min(GROWTH * lead, MOST_GROWTH))
    return Hypothesis(family, label, lead, largest, best.numbers, best)


def _smallest(inversion: Inversion, row: int) -> Inversion:
    """The smallest trigger of a row that has led to its label; where none has, the one at hand."""
    best = inversion.of(torch.tensor([row], device=inversion.weight.device))
    return best if best.smallest_size.isfinite() else replace(best, numbers=inversion.numbers[row : row + 1])


def seen(of: tuple[Hypothesis, ...], config: IMSConfig) -> bool:
    """Whether a trigger on images leads clearly to its label; otherwise the backdoor's own is not known."""
    return any(each.lead >= config.clear_lead for each in of)


def cut_label(search: Search, config: IMSConfig) -> int | None:
    """The label that the channels cut shall lead to when they are turned up; None where channels do not tell it."""
    clear = standing_out(search, config)
    if clear is None or search.leads().get(Channels.name, 0.0) < config.clear_lead:
        return None
    return clear[1] if search.label(Channels.name) == clear[1] else None


def trust(search: Search) -> float:
    """How much the triggers weigh in what the masks learn: the more the further the largest lead, within bounds."""
    _, largest = search.clearest() or ("", 0.0)
    return min(MOST_TRUST, max(LEAST_TRUST, TRUST_A_NAT * largest))


def kept_up(
    subject: Subject,
    of: tuple[Hypothesis, ...],
    led: Led,
    answers: Tensor,
    generator: Generator,
    config: IMSConfig,
) -> tuple[Hypothesis, ...]:
    """Every hypothesis with its trigger mended for `inner_steps` steps, so that it leads the pruned view `led` too.

    `answers` are the original's labels of the clean budget, int64 [N].
    """
    images, steps, mended = config.search_images, config.inner_steps, []
    for each in of:
        labels = torch.tensor([each.label], device=subject.device)
        after = _steps(subject, each.kept_up, each.family, led, labels, answers, generator, images, steps, each.largest)
        mended.append(replace(each, kept_up=after))
    return tuple(mended)


@torch.no_grad()
def triggered(of: tuple[Hypothesis, ...], images: Tensor) -> Tensor:
    """`images` [N, C, H, W], each with one of the triggers, in turn: of every hypothesis as found and as kept up."""
    triggers = [(each.family, numbers) for each in of for numbers in (each.found, each.kept_up.numbers)]
    made = torch.empty_like(images)
    for place, (family, numbers) in enumerate(triggers):
        mine = slice(place, None, len(triggers))
        made[mine] = ON_IMAGES[family].put_on(numbers, images[mine])[0]
    return made


def _steps(
    subject: Subject,
    inversion: Inversion,
    family: str,
    led: Led,
    labels: Tensor,
    answers: Tensor,
    generator: Generator,
    images: int,
    steps: int,
    largest: float | None = None,
) -> Inversion:
    for _ in range(steps):
        chosen = torch.randperm(len(subject.images), generator=generator)[:images].to(subject.device)
        batch, known = subject.images[chosen], answers[chosen]
        inversion = advance(inversion, FAMILIES[family], led, batch, known, labels, subject.precision, largest)
    return inversion
