"""The verdict of a search: how likely a network has a backdoor, and to which label.

It is a logistic regression on the lead of the leading label, fitted to a zoo of small networks, about half of them with
a backdoor. verdict.json beside this file holds it and its error rates; `python -m benchmarks.zoo --calibrate` writes
it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

NO_SIGN, UNDECIDED, LIKELY = "no sign", "undecided", "likely backdoored"


@dataclass(frozen=True)
class Verdict:
    """The search's verdict on a network.

    Attributes:
        word: `NO_SIGN`, `UNDECIDED` or `LIKELY`.
        probability: probability of a backdoor, in [0, 1], if every second network has one.
        label: the leading label.
        lead: its lead in nats; 0 if no label leads.
        family: the family of triggers in which it leads.
    """

    word: str
    probability: float
    label: int
    lead: float
    family: str


@dataclass(frozen=True)
class Share:
    """A share as two counts: `count` of `of`."""

    count: int
    of: int

    def __str__(self) -> str:
        return f"{self.count} of {self.of}"


@dataclass(frozen=True)
class Regression:
    """The regression behind verdicts, and its error rates on networks that it was not fitted to.

    For the error rates, each attack and its clean networks were left out in turn and the regression was fitted again.

    Attributes:
        slope, offset: log-odds per nat of the lead, and log-odds at a lead of 0.
        likely: a network with at least this probability is called likely backdoored.
        no_sign: a network with at most this probability shows no sign of a backdoor.
        spc: clean images per class in the searches.
        backdoored, clean: number of networks of each kind that it was fitted to.
        auc: share of pairs of a backdoored and a clean network in which the backdoored one has the larger lead; this
            needs no fit.
        brier: Brier score, the mean squared difference between the probability and the truth (0 or 1); 0.25 for
            guessing 1/2.
        accused: clean networks called likely backdoored.
        found, missed: backdoored networks called likely backdoored, and those called no sign.
        found_of: the same as `found` for each attack, by its title.
    """

    slope: float
    offset: float
    likely: float
    no_sign: float
    spc: int
    backdoored: int
    clean: int
    auc: float
    brier: float
    accused: Share
    found: Share
    missed: Share
    found_of: dict[str, Share]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Regression":
        """The regression from what `asdict` returned."""
        shares = {name: Share(**values[name]) for name in ("accused", "found", "missed")}
        found_of = {attack: Share(**of) for attack, of in values["found_of"].items()}
        return cls(**{**values, **shares, "found_of": found_of})

    def probability(self, lead: float) -> float:
        """See `Verdict.probability`."""
        return 1 / (1 + math.exp(-(self.offset + self.slope * lead)))

    def word(self, probability: float) -> str:
        """See `Verdict.word`."""
        return LIKELY if probability >= self.likely else NO_SIGN if probability <= self.no_sign else UNDECIDED


@cache
def regression() -> Regression:
    """The regression in verdict.json, which all verdicts use."""
    return Regression.from_json(json.loads(Path(__file__).with_name("verdict.json").read_text())["regression"])


def verdict_of(label: int, lead: float, family: str) -> Verdict:
    """The verdict of a finished search; see the attributes of `Verdict`."""
    probability = regression().probability(lead)
    return Verdict(regression().word(probability), probability, label, lead, family)


def verdict_words(verdict: Verdict, classes: Sequence[str] = ()) -> str:
    """`Likely backdoored, to label ship (probability 96 %)`; without the classes' names, the label's number."""
    share, label = f"(probability {percent(verdict.probability)})", verdict.label
    named = classes[label] if label < len(classes) else label
    if verdict.word == LIKELY:
        return f"Likely backdoored, to label {named} {share}"
    if verdict.word == NO_SIGN:
        return f"No sign of a backdoor {share}"
    return f"Undecided whether there is a backdoor {share}" + (f"; label {named} is ahead" if verdict.lead > 0 else "")


def reliability(known: Regression) -> str:
    """How reliable a verdict is, in a few sentences."""
    unseen = [f"{attack} {share}" for attack, share in known.found_of.items() if 2 * share.count < share.of]
    beyond = f" It found fewer than half of: {', '.join(unseen)}." if unseen else ""
    return (
        "The probability assumes that every second network has a backdoor. It was learned from searches of "
        f"{known.backdoored} small networks with a backdoor and {known.clean} without, with {known.spc} clean images a "
        f"class. To test it, it was learned again with one attack left out at a time. It then called {known.accused} "
        f"clean networks likely backdoored. Of the networks with the attack left out, it called {known.found} likely "
        f"backdoored and saw no sign in {known.missed}.{beyond} On large networks, and with "
        "another number of clean images, its error rates are not known."
    )


def percent(probability: float) -> str:
    """A probability in per cent, never 0 or 100: `< 1 %`, `37 %`, `> 99 %`."""
    if probability < 0.01:
        return "< 1 %"
    return "> 99 %" if probability > 0.99 else f"{100 * probability:.0f} %"
