"""The measures of a player's cut and of the rivals', on the images that the run is measured on."""

from dataclasses import dataclass

import numpy as np

from invmask.evidence import challenge
from invmask.frames.channels import Channels
from invmask.masks.state import View
from invmask.measure.metrics import Measures
from invmask.ui.neurons import channel_data
from invmask.ui.neurons.channel_data import Base
from invmask.ui.neurons.neurons_choice import NOTHING, Decided


@dataclass(frozen=True)
class Rival:
    """One that cuts as many channels: its title, how it chooses, its points, and its measures (of random sets none)."""

    title: str
    words: str
    score: float
    measures: Measures | None


def with_cut(run: str, round_taken: int, cut: tuple[int, ...]) -> tuple[Measures, Measures]:
    """The measures of the original, and with these channels cut in it."""
    found = channel_data.what_if(run, round_taken, Base(NOTHING), Decided(tuple(sorted(cut)), ()))
    return found.original, found.now


def rivals(run: str, round_taken: int, found: Channels, budget: int) -> list[Rival]:
    """The rivals at this budget, the best first."""

    def rival(title: str, words: str, cut: tuple[int, ...]) -> Rival:
        original, now = with_cut(run, round_taken, cut)
        return Rival(title, words, challenge.score(original, now), now)

    gates = found.masks.gate(View.PRUNED).numpy()
    drawn = [with_cut(run, round_taken, cut) for cut in challenge.random_channels(found.layout.channels, budget)]
    random = challenge.mean_score(drawn[0][0], [now for _, now in drawn])
    return sorted(
        [
            Rival("Random", f"the mean of {challenge.DRAWS} random sets", random, None),
            rival("Ranked list", "the channels with the highest scores", tuple(found.order[:budget])),
            rival("Learned mask", "the channels with the lowest gates", challenge.lowest_gates(gates, budget)),
        ],
        key=lambda each: -each.score,
    )


def shading(found: Channels, name: str) -> np.ndarray | None:
    """A quantity's size as a share of its largest, float [channels] in [0, 1]; None if it is not known."""
    if name not in found.values:
        return None
    sizes = np.abs(np.nan_to_num(found.values[name].values))
    return sizes / sizes.max() if sizes.max() > 0 else None
