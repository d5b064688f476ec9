"""What one round of IMS tells. Frozen, typed, JSON all the way down; equal rounds give equal records."""

from dataclasses import dataclass

from invmask.defenses.ims.config import Phase


@dataclass(frozen=True)
class InnerReport:
    """How well the inner problem did its work in a round, on the round's clean batch. Shares in [0, 1].

    Attributes:
        flipped: share of images whose reference answer the perturbation changes.
        flipped_to: for each label, how many images were flipped to it; length K.
        inverse_agrees: share of the flipped images to which the inverse answers as the reference does.
        pruned_restores: share of the flipped images to which the pruned view answers as the reference does to the
            clean one.
        largest: largest absolute change of a pixel, in the units of [0, 1].
        samples: images in the batch.
    """

    flipped: float
    flipped_to: tuple[int, ...]
    inverse_agrees: float
    pruned_restores: float
    largest: float
    samples: int


@dataclass(frozen=True)
class RoundRecord:
    """One round.

    Attributes:
        round: counted over all phases, from 1.
        phase: the phase it belongs to.
        round_in_phase: from 1.
        losses: every term of the outer loss by name, unweighted, before the step (nats; `sparsity` is mean(1 - s)).
        total: the weighted sum that was minimised.
        inner: None in a phase without inner problem.
        channels, selected, pruned, inverse_cut: counts after the step (s < 0.5, m < 0.5, m-bar < 0.5).
        rounds_without_progress: how long the total has not fallen enough; the phase ends above the configured patience.
        effort: what the next round's pressure or weight is multiplied by (`IMSConfig.keep_clean`); 1 without it.
        label: the label that the channels cut, turned up, are to lead to in the first phase, or to the end where it is
            held to (`IMSConfig.hold_lead`); while labels race for it, the one ahead; None where none is looked for or
            leads by enough.
        racing: labels still in the race after the round; 0 when there is none.
        lead: how far the one ahead is ahead of the next, in nats, mean over the race so far; None without one.
        held: whether `label` is held to after the round (`IMSConfig.hold_lead`, `IMSConfig.hold_images`).
        phase_ended: why the phase ended with this round, as a sentence; None if it goes on.
    """

    round: int
    phase: Phase
    round_in_phase: int
    losses: dict[str, float]
    total: float
    inner: InnerReport | None
    channels: int
    selected: int
    pruned: int
    inverse_cut: int
    rounds_without_progress: int
    phase_ended: str | None
    effort: float = 1.0
    label: int | None = None
    racing: int = 0
    lead: float | None = None
    held: bool = False
